"""Arrays worked on a few rows at a time, so that of a large probe no second copy is made."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 2**24  # of the rows of a chunk as float64


def row_chunks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array into views of its rows, in order.

    Args:
        array: (B, ...), one row or more.

    Returns:
        Views of as many rows as make up 16 MiB, all of one size or of one row less.

    Example:
        >>> [len(rows) for rows in row_chunks(np.zeros((5, 2**20)))]
        [1, 2, 2]
    """
    size = len(array)
    rows = max(1, CHUNK_BYTES // max(1, 8 * math.prod(array.shape[1:])))
    edges = np.linspace(0, size, max(1, -(-size // rows)) + 1).astype(int)
    return (array[begin:end] for begin, end in itertools.pairwise(edges))


def update_digest(digest: Any, array: NDArray[Any]) -> None:
    """Feed a digest of `hashlib` the contents of an array, without a copy of all its bytes."""
    if array.dtype == object:
        digest.update(repr(array.tolist()).encode())
        return
    for rows in row_chunks(np.atleast_1d(array)):
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))
