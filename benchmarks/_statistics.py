"""Proportions and medians with their intervals, as the benchmarks print them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def wilson(successes: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927)."""
    if of == 0:
        return 0.0, 1.0
    p, shrink = successes / of, 1 + z**2 / of
    middle = (p + z**2 / (2 * of)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    return max(0.0, middle - half), min(1.0, middle + half)


class Share(NamedTuple):
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "–"
        low, high = wilson(self.count, self.of)
        return f"{self.count}/{self.of} = {self.count / self.of:.0%} [{low:.0%}, {high:.0%}]"

    def reaches(self, bar: float) -> bool:
        """Return whether a bar is not missed: the interval's upper end is not below it."""
        return wilson(self.count, self.of)[1] >= bar


class MedianInterval(NamedTuple):
    """A median and the ends of its 95 % interval."""

    median: float
    low: float
    high: float


def median_interval(values: np.ndarray | Sequence[float], draws: int = 10_000) -> MedianInterval:
    """Return the median of some values and its 95 % bootstrap interval."""
    resampled = np.random.default_rng(0).choice(np.asarray(values), (draws, len(values)))
    low, high = np.quantile(np.median(resampled, 1), (0.025, 0.975))
    return MedianInterval(float(np.median(values)), float(low), float(high))
