"""The strata in which two sets of rows are compared: their classes, or all rows together where these are too many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.drift.reliance_gap import MIN_ROWS
from keras_xai.records import Blindness

MIN_COVERED = 0.5  # of the rows of each set, in classes that both sets hold: fewer would leave most rows out
MAX_CLASS_DIFFERENCE = 0.2  # total variation of the class shares, beyond chance, up to which all rows are one stratum

Classes = NDArray[np.int64]


class Strata(NamedTuple):
    """The stratum of each row of both sets, and why they cannot be compared, "" where they can."""

    live: Classes  # (n)
    probe: Classes  # (m)
    blind: Blindness = ""


def strata(live: Classes, probe: Classes) -> Strata:
    """Choose the strata of two sets of rows by their classes.

    Args:
        live: (n) classes of training rows.
        probe: (m) classes of held-out rows.

    Returns:
        The classes themselves where those with four rows in both sets hold half of the rows; else one stratum, where both sets
        hold the classes in about the same shares.

    Example:
        >>> classes = np.arange(100) % 50
        >>> np.unique(strata(classes, classes).live).tolist()
        [0]
    """
    values, codes = np.unique(np.concatenate([live, probe]), return_inverse=True)
    live_counts = np.bincount(codes[: len(live)], minlength=len(values))
    probe_counts = np.bincount(codes[len(live) :], minlength=len(values))
    is_compared = np.minimum(live_counts, probe_counts) >= MIN_ROWS
    covered = min(live_counts[is_compared].sum() / len(live), probe_counts[is_compared].sum() / len(probe))
    if covered >= MIN_COVERED:
        return Strata(live, probe)
    if min(len(live), len(probe)) < MIN_ROWS:
        return Strata(live, probe, "too few rows of each class")
    shares = (live_counts + probe_counts) / (len(live) + len(probe))
    difference = np.abs(live_counts / len(live) - probe_counts / len(probe)).sum() / 2
    # E|p̂ − q̂| of two samples of one distribution, each difference about normal.
    by_chance = np.sqrt(2 / np.pi * shares * (1 - shares) * (1 / len(live) + 1 / len(probe))).sum() / 2
    if difference - by_chance > MAX_CLASS_DIFFERENCE:
        return Strata(live, probe, "class shares that differ")
    return Strata(np.zeros_like(live), np.zeros_like(probe))
