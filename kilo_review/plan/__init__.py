"""What of a change is shown to the model, with what around it, in which portions."""
