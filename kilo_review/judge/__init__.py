"""From the model's words to findings that may be believed."""
