"""Text from the change, the repository or the model, made fit to be shown or sent: a module for each place."""
