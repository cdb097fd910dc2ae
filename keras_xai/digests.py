"""The digest of a row: 64 bits of its values, by which a row of a shuffled training is known again.

Each value becomes 32 bits: a float as float32, a whole number modulo 2^32, a truth value as 0 or 1. The two halves of the
digest are sums Σ aⱼ·mⱼ modulo 2^32 over the flattened row, with fixed odd numbers aⱼ and mⱼ = vⱼ xor (vⱼ >> 16): few
operations of 32 bits, so that a device computes them beside a step. Zeros at the end add nothing: rows that are padded to
different lengths agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput

PERIOD = 1 << 16  # of the numbers aⱼ


def row_digest(x: Any) -> NDArray[np.int64]:
    """Return the digest of each row of a model's inputs, as `TrainingRows` computes it in the train step.

    Two rows of other values have the same one by chance, once in 2^50 pairs or less often. The dtype matters only where it
    rounds: a float64 has the digest of its float32, a whole number not that of the float of its value.

    Args:
        x: (n, ...) one array, a list or dict of arrays: in the form in which `fit` gets them.

    Returns:
        (n) int64.

    Raises:
        InvalidInput: text or other objects, or inputs of different lengths.

    Cost: one pass over the values on the host, about 1 s for a GB.

    Example:
        >>> row_digest(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])).tolist()
        [2653996221043189888, -2316597878078438016, 2653996221043189888]
    """
    halves: NDArray[np.int32] | None = None
    for number, leaf in enumerate(_leaves(x)):
        bits = _bits(leaf)
        mixed = bits ^ (bits >> 16)
        factors = multipliers(number, mixed.shape[1])
        sums = np.stack([np.sum(mixed * half, 1, dtype=np.int32) for half in factors], 1)
        if halves is not None and len(halves) != len(sums):
            raise InvalidInput(f"x has inputs of {len(halves)} and of {len(sums)} rows: one row a sample is expected.")
        halves = sums if halves is None else halves + sums
    if halves is None:
        raise InvalidInput("x has no array: a row needs at least one value.")
    return joined(halves)


def joined(halves: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the two halves (n, 2) of digests as one number each."""
    high, low = halves[:, 0].astype(np.int64), halves[:, 1].astype(np.int64)
    return (high << 32) | (low & 0xFFFFFFFF)


def multipliers(leaf: int, size: int) -> NDArray[np.int32]:
    """Return the odd numbers (2, size) that the values of one input are multiplied with, for both halves.

    Args:
        leaf: the number of the input, in the order in which Keras flattens them.
        size: the values of a row of it.
    """
    counter = np.arange(min(size, PERIOD), dtype=np.uint64) + np.uint64(leaf * PERIOD + 1)
    mixed = counter * np.uint64(0x9E3779B97F4A7C15)  # SplitMix64 (Steele et al. 2014)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    halves = np.stack([mixed >> np.uint64(32), mixed & np.uint64(0xFFFFFFFF)]).astype(np.uint32) | np.uint32(1)
    return np.tile(halves, -(-size // PERIOD) or 1)[:, :size].astype(np.int32)


def _leaves(x: Any) -> list[Any]:
    """Return the arrays of nested inputs in the order in which Keras flattens them: dicts by their sorted keys."""
    if x is None:
        return []
    if isinstance(x, Mapping):
        parts = [x[key] for key in sorted(x)]
    elif isinstance(x, (list, tuple)) and not all(np.isscalar(part) or np.ndim(part) == 0 for part in x):
        parts = list(x)
    else:
        return [x]
    return [leaf for part in parts for leaf in _leaves(part)]


def _bits(leaf: Any) -> NDArray[np.int32]:
    """Return the values (n, …) of an input as 32 bits each, (n, F)."""
    array = as_array(leaf)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise InvalidInput(
            f"x has dtype {array.dtype} and shape {array.shape}: a digest needs rows of numbers, as the model takes them."
        )
    flat = array.reshape(len(array), -1 if array.size else int(np.prod(array.shape[1:])))
    with np.errstate(over="ignore"):
        return flat.astype(np.float32).view(np.int32) if array.dtype.kind == "f" else flat.astype(np.int32)
