"""The columns of a table with their names, numbers or categories, whatever structure the model takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe

MAX_CODES = 20  # values of a column of integers that is read as categories


class Column(NamedTuple):
    """One column of a table."""

    name: str
    values: NDArray[np.float64]  # (n) numbers; the numbers of the categories in their sorted order
    is_category: bool  # texts, or few different integers in an array of integers


def columns_of(rows: Probe, like: Probe | None = None) -> list[Column]:
    """Return the columns of a table; [] of rows of another kind.

    Args:
        rows: a probe, or live rows.
        like: a probe of the same columns, whose names they have; by default the rows themselves.
    """
    if rows.kind != "table" or (len(rows.shapes) > 1 and not rows.is_columns):
        return []
    columns: list[Column] = []
    arrays = [array.reshape(rows.size, -1) for array in rows.inputs]
    names = iter(_names(like or rows, sum(array.shape[1] for array in arrays)))
    for array in arrays:
        columns += [_column(next(names), array[:, k]) for k in range(array.shape[1])]
    return columns


def _names(rows: Probe, count: int) -> Sequence[str]:
    for names in (rows.feature_names, rows.keys):
        if names is not None and len(names) == count:
            return names
    return [f"column {k}" for k in range(count)]


def _column(name: str, values: NDArray[np.generic]) -> Column:
    if values.dtype.kind in "OSU":
        _, codes = np.unique(values.astype(str), return_inverse=True)
        return Column(name, codes.astype(np.float64), True)
    if values.dtype.kind in "iu":
        different = np.unique(values)
        return Column(name, values.astype(np.float64), 2 < len(different) <= MAX_CODES)
    return Column(name, values.astype(np.float64), False)
