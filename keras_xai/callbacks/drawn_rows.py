"""The training rows to watch, drawn once from arrays: of every class its share, and a few of a rare one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_xai.labels import guess_classes

MIN_ROWS_OF_CLASS = 8  # or all that there are: a comparison within a class takes four


def drawn_rows(y: NDArray[np.generic], count: int, *, may_be_classes: bool = True) -> NDArray[np.int64]:
    """Return the numbers of some rows, sorted, the same for the same labels.

    Args:
        y: (B, ...) labels of all rows.
        count: rows to draw.
        may_be_classes: False for labels of pixels or steps, which are not of a row.

    Returns:
        (n,) n at most `count`; all rows where there are no more. Labels that are no classes are drawn evenly over their order.

    Example:
        >>> rows = drawn_rows(np.repeat([0, 1], [990, 10]), 100)
        >>> len(rows), int((rows >= 990).sum())
        (100, 8)
    """
    size = len(y)
    if size <= count:
        return np.arange(size)
    generator = np.random.default_rng(0)
    classes = guess_classes(y) if may_be_classes else None
    if classes is None:
        return np.sort(generator.choice(size, count, replace=False))
    values, sizes = np.unique(classes, return_counts=True)
    quotas = _quotas(sizes, count)
    drawn = []
    for value, quota in zip(values, quotas, strict=True):
        drawn.append(generator.choice(np.flatnonzero(classes == value), quota, replace=False))
    return np.sort(np.concatenate(drawn))


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return how many rows of each class are drawn: its share of all, but a few of a rare one; `count` together at most."""
    least = np.minimum(sizes, max(1, min(MIN_ROWS_OF_CLASS, count // len(sizes))))
    if len(sizes) > count:  # a row of each of the largest
        quotas = np.zeros_like(sizes)
        quotas[np.argsort(-sizes, kind="stable")[:count]] = 1
        return quotas
    quotas = np.maximum(least, np.floor(count * sizes / sizes.sum()).astype(np.int64))
    while quotas.sum() > count:
        quotas[np.argmax(quotas - least)] -= 1
    # What rounding left over goes to the classes that are furthest below their share.
    while quotas.sum() < count:
        quotas[np.argmax(np.where(quotas < sizes, count * sizes / sizes.sum() - quotas, -np.inf))] += 1
    return quotas
