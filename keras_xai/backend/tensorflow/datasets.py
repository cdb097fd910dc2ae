"""The order of a `tf.data.Dataset` when it is read."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def reshuffles(source: Any) -> bool:
    """Return True where a `tf.data.Dataset` has a `shuffle` in its chain that draws a new order at each iteration.

    Reading such a one moves its generator, and with it the order that training sees. What lies inside the function of an
    `interleave` or `flat_map` is not looked into.
    """
    if not isinstance(source, tf.data.Dataset):
        return False
    # Neither the chain nor the flag is public; without them a shuffle is found by reading twice.
    if getattr(source, "_reshuffle_each_iteration", False):
        return True
    return any(reshuffles(part) for part in getattr(source, "_inputs", list)())
