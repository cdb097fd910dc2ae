"""How many copies of a model train together, and which process writes."""

from __future__ import annotations

from typing import Any


def replicas(model: Any) -> int:
    """How many copies of the model train in step."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def chief(model: Any) -> bool:
    """Whether this process is the one that writes, where several train one model together."""
    return bool(model.distribute_strategy.extended.should_save_summary)
