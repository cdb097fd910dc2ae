"""How far two importances lie apart: for display, never for an alarm (see `detector`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Share = NDArray[np.floating]


def total_variation(p: Share, q: Share) -> float:
    """Half the sum of |p − q|: the mass that moved, 0 to 1. Both (F), each sums to 1."""
    return float(np.abs(np.asarray(p, np.float64) - q).sum() / 2)


def jensen_shannon(p: Share, q: Share) -> float:
    """The Jensen–Shannon distance (Endres & Schindelin 2003): the root of the divergence in bits, 0 to 1."""
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    middle = (p + q) / 2

    def divergence(a: Share) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return float(np.sqrt(max(0.0, (divergence(p) + divergence(q)) / 2)))


def spearman(p: Share, q: Share) -> float:
    """One minus Spearman's rank correlation (1904), ties by their mean rank: 0 the same order, 2 the reverse.
    NaN where one of them is constant: it has no order."""
    a, b = _ranks(p), _ranks(q)
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float(1 - (a * b).sum() / norm) if norm > 0 else float("nan")


def _ranks(values: Share) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


DISTANCES: dict[str, Callable[[Share, Share], float]] = {
    "total_variation": total_variation,
    "jensen_shannon": jensen_shannon,
    "spearman": spearman,
}
