"""The order of a `torch.utils.data.DataLoader` when it is read."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

_DRAWING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def reshuffles(source: Any) -> bool:
    """Return True where a `DataLoader` draws a new order at each iteration, as `shuffle=True` has it.

    Reading such a one moves a generator, and with it the order that training sees.
    """
    if not isinstance(source, DataLoader):
        return False
    # A batch sampler of the user's own may hold the sampler that draws.
    samplers = (source.sampler, source.batch_sampler, getattr(source.batch_sampler, "sampler", None))
    return any(isinstance(sampler, _DRAWING) for sampler in samplers)
