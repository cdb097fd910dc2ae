"""All training rows: the figures that a train step has of each, gathered over the epochs."""
