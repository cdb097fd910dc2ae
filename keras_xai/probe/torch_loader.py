"""Batches of a `torch.utils.data.DataLoader`, in the order of its data set and without its iterator.

An iterator of a loader draws from torch's global generator even where nothing is shuffled; with it, the order that training sees
would change. Reading samples of the data set by themselves draws nothing, unless they are augmented at random: for that the
generators are restored.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_xai.errors import InvalidInput

# Samplers of torch's that go through the whole data set, in whatever order.
WHOLE = ("SequentialSampler", "RandomSampler", "WeightedRandomSampler")


def is_loader(source: Any) -> bool:
    """Return True for a `DataLoader` of torch's."""
    return any(
        cls.__name__ == "DataLoader" and cls.__module__.startswith("torch.utils.data") for cls in type(source).__mro__
    )


def loader_batches(loader: Any) -> Iterator[Any]:
    """Iterate over the batches of a loader, without shuffling: those of the data set's own order.

    Raises:
        InvalidInput: it has a sampler of the user's own, whose samples cannot be told without drawing.
    """
    samples = _samples(loader)
    if loader.batch_size is None and loader.batch_sampler is None:  # the data set gives batches
        return _collated(loader, ([batch] for batch in samples), is_batched=False)
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 32
    chunks = iter(lambda: list(itertools.islice(samples, size)), [])
    return _collated(loader, chunks, is_batched=True)


def _samples(loader: Any) -> Iterator[Any]:
    dataset = loader.dataset
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        return iter(dataset)
    batch_sampler = loader.batch_sampler
    sampler = loader.sampler if batch_sampler is None else getattr(batch_sampler, "sampler", batch_sampler)
    indices: Iterable[int] | None = None
    if type(sampler).__name__ in WHOLE:
        indices = range(len(dataset))
    elif type(sampler).__name__ == "SubsetRandomSampler":
        indices = sampler.indices
    if indices is None:
        raise InvalidInput(
            f"The DataLoader has a sampler of its own ({type(sampler).__name__}), and which samples it gives cannot be told"
            f" without drawing from it. Expected a second loader of the same samples, as"
            f" DataLoader(dataset, batch_size=32, shuffle=False)."
        )
    return (dataset[index] for index in indices)


def _collated(loader: Any, chunks: Iterator[list[Any]], *, is_batched: bool) -> Iterator[Any]:
    while True:
        with _generators_kept():
            chunk = next(chunks, None)
            if chunk is None:
                return
            batch = loader.collate_fn(chunk if is_batched else chunk[0])
        yield batch


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore, after the block, the generators of Python, NumPy and torch."""
    torch = sys.modules["torch"]  # there is a loader, so that it was imported
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
