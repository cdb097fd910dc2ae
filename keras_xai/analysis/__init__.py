"""Facts and words about a run, worked out from its records: numpy and text. Nothing here draws or answers a request."""
