"""The influence of training rows on what a model says of a row: TracIn on the last layer."""
