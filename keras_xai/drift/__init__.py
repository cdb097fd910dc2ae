"""The decision that a move of importance is news: control charts on numpy arrays, no framework."""
