"""One review: from what was asked for to an outcome."""
