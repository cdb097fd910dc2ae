"""The values of rows, feature by feature, as numbers that two sets of rows can be compared by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.callbacks.fingerprint import as_numbers
from keras_xai.drift.row_comparison import RowComparison
from keras_xai.probe import Probe
from keras_xai.probe.features import Words

MAX_CATEGORIES = 50  # of a column, each compared by itself; of more the column is compared as a number
MAX_CODES = 20  # the same of a column of integers

Array = NDArray[np.float64]


class RowValues(NamedTuple):
    """Values of rows in columns, some of which belong to one feature: the members of a group, the categories of a column."""

    values: Array  # (n, P)
    owners: NDArray[np.int64]  # (P) the feature of each column


def row_values(live: Probe, probe: Probe) -> tuple[RowValues, RowValues]:
    """Return the values of two sets of rows in the features of `probe`, in the same columns.

    Columns of a table stand for themselves, those of a group each for itself, a category for its own column of 0 and 1. Cells
    of an image and channels of a series are sums, words are counts.
    """
    if probe.kind == "table" and not _is_nested(probe):
        return _of_table(live, probe)
    features = np.arange(probe.feature_count)
    return RowValues(_pooled(live, probe), features), RowValues(_pooled(probe, probe), features)


def by_feature(comparison: RowComparison, owners: NDArray[np.int64], count: int) -> RowComparison:
    """Return a comparison of columns (P) as one of features (F): of each the column that says most.

    Args:
        comparison: of columns.
        owners: (P) the feature of each column.
        count: F.
    """
    common, dependent, shift = np.zeros(count), np.zeros(count), np.zeros(count)
    for feature in range(count):
        columns = np.flatnonzero(owners == feature)
        if not len(columns):
            continue
        furthest = columns[np.argmax(np.abs(comparison.common[columns]))]
        common[feature], shift[feature] = comparison.common[furthest], comparison.shift[furthest]
        dependent[feature] = comparison.dependent[columns].max()
    return RowComparison(common, dependent, shift, comparison.strata)


def _is_nested(probe: Probe) -> bool:
    """Return True for several inputs of which one is no column."""
    return len(probe.shapes) > 1 and not probe.is_columns


def _of_table(live: Probe, probe: Probe) -> tuple[RowValues, RowValues]:
    (owners_of_columns,) = probe.feature_map.owners()
    owners_of_columns = owners_of_columns.reshape(-1)
    pairs = list(zip(_columns(live), _columns(probe), strict=True))
    live_parts, probe_parts, owners = [], [], []
    for owner, (a, b) in zip(owners_of_columns.tolist(), pairs, strict=True):
        for values in _in_numbers(a, b):
            live_parts.append(values[: len(a)])
            probe_parts.append(values[len(a) :])
            owners.append(owner)
    number = np.asarray(owners, np.int64)
    return RowValues(np.stack(live_parts, 1), number), RowValues(np.stack(probe_parts, 1), number)


def _columns(rows: Probe) -> list[NDArray[Any]]:
    """Return the columns (n) of a table."""
    columns: list[NDArray[Any]] = []
    for array in rows.inputs:
        columns += list(array.reshape(rows.size, -1).T)
    return columns


def _in_numbers(live: NDArray[Any], probe: NDArray[Any]) -> list[Array]:
    """Return a column of both sets, one after the other, as numbers; a category as a column of 0 and 1."""
    both = np.concatenate([live, probe])
    is_text = both.dtype.kind in "OSU"
    if not is_text and both.dtype.kind not in "iu":
        return [both.astype(np.float64)]
    values = np.unique(both.astype(str) if is_text else both)
    most = MAX_CATEGORIES if is_text else MAX_CODES
    if len(values) > most or (not is_text and len(values) <= 2):
        return [np.asarray(as_numbers(both), np.float64)]
    both = both.astype(str) if is_text else both
    return [(both == value).astype(np.float64) for value in values]


def _pooled(rows: Probe, probe: Probe) -> Array:
    """Return the sums over each feature (n, F): of values, and of words how often they occur."""
    arrays = []
    for array, layout in zip(rows.inputs, probe.feature_map.layouts, strict=True):
        arrays.append(np.ones(array.shape) if isinstance(layout, Words) else as_numbers(array))
    values = arrays[0] if not isinstance(rows.x, (dict, list)) else arrays
    if isinstance(rows.x, dict):
        values = dict(zip(rows.x, arrays, strict=True))
    return probe.pooled(values, samples=rows.inputs)
