"""The rows of a probe that are looked at one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.tree import leaves

Rows = NDArray[np.int64]


def balanced_rows(classes: NDArray[np.int64] | None, size: int, count: int) -> Rows:
    """Choose rows class by class: as many of each as go in evenly, in row order, the remainder from the largest classes.

    Args:
        classes: (B,) the class of each row; None where there are no classes, and the first rows are taken.
        size: B.
        count: rows to choose; at most B are.

    Returns:
        Row numbers, grouped by class.

    Example:
        >>> balanced_rows(np.array([0, 0, 0, 1, 1, 2]), 6, 4).tolist()
        [0, 1, 3, 5]
    """
    count = min(count, size)
    if classes is None:
        return np.arange(count)
    labels, class_sizes = np.unique(classes, return_counts=True)
    largest_first = np.argsort(-class_sizes, kind="stable")
    chosen_of_class = np.zeros(len(labels), np.int64)
    while chosen_of_class.sum() < count:
        # One more of every class that still has rows, the largest classes first when not all fit.
        with_rows_left = [k for k in largest_first if chosen_of_class[k] < class_sizes[k]]
        for k in with_rows_left[: count - chosen_of_class.sum()]:
            chosen_of_class[k] += 1
    rows = [np.flatnonzero(classes == label)[:n] for label, n in zip(labels, chosen_of_class, strict=True)]
    return np.concatenate(rows).astype(np.int64)


def rows_of_baseline(baseline: Any, x: Any, rows: Rows) -> Any:
    """Return the baseline of some rows: one for each where there is one for each, else the same for all.

    Args:
        baseline: None, an array, or a list or dict of such.
        x: the samples, in their structure.
        rows: row numbers.
    """

    def take(base: Any, array: NDArray[Any]) -> Any:
        return np.asarray(base)[rows] if np.shape(base) == array.shape else base

    if isinstance(baseline, Mapping):
        arrays = x if isinstance(x, dict) else {}
        return {name: take(base, arrays[name]) if name in arrays else base for name, base in baseline.items()}
    if isinstance(baseline, (list, tuple)) and len(leaves(x)) > 1:
        return [take(base, array) for base, array in zip(baseline, leaves(x), strict=False)]
    return take(baseline, leaves(x)[0])
