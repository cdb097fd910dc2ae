"""The order of a `tf.data.Dataset` when it is read; Keras trains on them with every framework."""

from __future__ import annotations

from typing import Any


def reshuffles(source: Any) -> bool:
    """Return True where a `tf.data.Dataset` has a `shuffle` in its chain that draws a new order at each iteration.

    Reading such a one moves its generator, and with it the order that training sees. What lies inside the function of an
    `interleave` or `flat_map` is not looked into.
    """
    if not is_dataset(source):
        return False
    # Neither the chain nor the flag is public; without them a shuffle is found by reading twice.
    if getattr(source, "_reshuffle_each_iteration", False):
        return True
    return any(reshuffles(part) for part in getattr(source, "_inputs", list)())


def is_dataset(source: Any) -> bool:
    """Return True for a `tf.data.Dataset`, whether or not Keras runs on TensorFlow."""
    return any(cls.__name__ == "DatasetV2" and cls.__module__.startswith("tensorflow.") for cls in type(source).__mro__)
