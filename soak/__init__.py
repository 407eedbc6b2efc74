"""`make soak`: thousands of reviews against servers that fail at random, held against what the servers know."""
