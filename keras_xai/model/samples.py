"""Samples as a program takes them, converted when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Converted:
    """An array (B, ...) whose rows come in another dtype: what a large probe of bytes or of float64 holds is not held twice.

    Args:
        array: as the user gave it.
        dtype: of the rows.
    """

    def __init__(self, array: NDArray[Any], dtype: DTypeLike) -> None:
        self._array = array
        self.dtype = np.dtype(dtype)
        self.shape: tuple[int, ...] = array.shape

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return np.asarray(self._array[rows]).astype(self.dtype)


Samples = NDArray[Any] | Converted


def converted(array: NDArray[Any], dtype: DTypeLike) -> Samples:
    """The array itself where it has that dtype, else its rows in it."""
    return array if array.dtype == dtype else Converted(array, dtype)


def take_rows(arrays: Sequence[Samples], rows: Any) -> list[NDArray[Any]]:
    """Some rows of each input."""
    return [array[rows] for array in arrays]


def sample_bytes(shapes: list[tuple[int, ...]]) -> int:
    """The bytes that one sample of all inputs takes as float32, from their shapes (B, ...)."""
    return 4 * sum(int(np.prod(shape[1:], dtype=np.int64)) for shape in shapes)
