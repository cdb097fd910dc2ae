"""Conclusions from the accuracies of slices: the worst one, the largest gap to the whole, and how sure that is of so few rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import Slices, SliceValue

MIN_ROWS = 8  # of a value: of fewer rows an accuracy is a coin or two
NORMAL_95 = 1.959964  # normal deviates that hold 95 %

Array = NDArray[np.float64]


class WorstSlice(NamedTuple):
    """The value of a slice with the lowest accuracy."""

    value: SliceValue
    accuracy: float
    low: float  # of the 95 % interval
    high: float


class SliceGap(NamedTuple):
    """The part of its accuracy that a model loses on the rows of one value."""

    value: SliceValue
    gap: float  # accuracy of the whole − that of the value, −1 to 1
    standard_error: float


def wilson_interval(accuracy: Array, rows: Array) -> tuple[Array, Array]:
    """Return the 95 % interval of accuracies over so many rows (Wilson 1927), which is right for few rows, and for 0 and 1, too.

    Example:
        >>> low, high = wilson_interval(np.array([1.0]), np.array([8]))
        >>> low.round(2).tolist(), high.round(2).tolist()
        ([0.68], [1.0])
    """
    share, count = np.clip(np.asarray(accuracy, np.float64), 0, 1), np.asarray(rows, np.float64)
    with np.errstate(all="ignore"):
        square = NORMAL_95**2 / count
        centre = (share + square / 2) / (1 + square)
        half = NORMAL_95 * np.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def worst_slice(record: Slices) -> WorstSlice | None:
    """Return the value with the lowest accuracy over at least `MIN_ROWS` rows, of equal ones the first by name.

    None where no value has so many rows and an accuracy.
    """
    ranked = [
        (float(accuracy), value.slice, value.value, k)
        for k, (value, accuracy) in enumerate(zip(record.values, record.accuracy, strict=True))
        if value.rows >= MIN_ROWS and np.isfinite(accuracy)
    ]
    if not ranked:
        return None
    accuracy, *_, worst = min(ranked)
    value = record.values[worst]
    low, high = wilson_interval(np.asarray(accuracy), np.asarray(value.rows))
    return WorstSlice(value, accuracy, float(low), float(high))


def largest_gap(record: Slices, slice_name: str | None = None) -> SliceGap | None:
    """Return the gap that is largest beyond chance: that of which most is left after two standard errors are taken off.

    By itself the largest gap is that of the smallest value, since few rows scatter most.

    Args:
        record: of one epoch.
        slice_name: look at the values of this slice alone.

    Returns:
        The gap; None where the whole has no accuracy, or no value of `MIN_ROWS` rows has one.
    """
    if not np.isfinite(record.overall_accuracy):
        return None
    gaps = [
        _gap(record, k)
        for k, value in enumerate(record.values)
        if slice_name in (None, value.slice) and value.rows >= MIN_ROWS and np.isfinite(record.accuracy[k])
    ]
    return max(gaps, key=lambda gap: gap.gap - 2 * gap.standard_error, default=None)


def _gap(record: Slices, k: int) -> SliceGap:
    """Return the gap of one value.

    The whole holds the rows of the value: their difference is that to the other rows, times the share of these. Its variance
    is that of two proportions, each with one success and one failure added, since all right of few rows is no certainty
    (Agresti and Caffo 2000).
    """
    value, others = record.values[k], record.size - record.values[k].rows
    right = float(record.accuracy[k]) * value.rows
    gap = record.overall_accuracy - float(record.accuracy[k])
    if not others:
        return SliceGap(value, gap, 0.0)
    right_of_others = record.overall_accuracy * record.size - right
    variance = _smoothed_variance(right, value.rows) + _smoothed_variance(right_of_others, others)
    return SliceGap(value, gap, others / record.size * variance**0.5)


def _smoothed_variance(right: float, rows: int) -> float:
    share = min(max((right + 1) / (rows + 2), 0.0), 1.0)  # a file may hold accuracies that do not go together
    return share * (1 - share) / (rows + 2)
