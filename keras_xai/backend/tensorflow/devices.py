"""The copies of a model that train together, and the process that writes."""

from __future__ import annotations

import keras


def num_replicas(model: keras.Model) -> int:
    """Return how many copies of the model train in step."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def is_chief(model: keras.Model) -> bool:
    """Return True where this process is the one that writes, of several that train one model together."""
    return bool(model.distribute_strategy.extended.should_save_summary)
