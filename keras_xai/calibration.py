"""Calibration: how far a model's confidence is from its accuracy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CERTAINTY_BINS = 15  # by the probability of the prediction
TRUTH_BINS = 20  # by the probability of the true class
FLOOR_SIMULATIONS = 100


def bin_numbers(probabilities: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """Return the number of each probability's bin; the bins are (0, 1/n], (1/n, 2/n], … as in Naeini et al. 2015.

    Args:
        probabilities: (…) finite, 0 to 1.
        bins: n, of equal width.

    Example:
        >>> bin_numbers(np.array([0.0, 0.1, 0.11, 1.0]), 10).tolist()
        [0, 0, 1, 9]
    """
    return np.clip(np.ceil(np.asarray(probabilities, np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_error(certainty: Array, correct: NDArray[np.bool_ | np.floating]) -> float:
    """The expected calibration error (Naeini et al. 2015): |mean certainty − accuracy| of 15 bins, weighted by their samples.

    Args:
        certainty: (B) 0 to 1, the highest probability of each sample; the bins divide it evenly.
        correct: (B) True, or 1, where the prediction is right.

    Returns:
        0 to 1; NaN where a certainty is NaN.
    """
    if not np.isfinite(certainty).all():
        return np.nan
    excess = certainty - np.asarray(correct, np.float64)
    sums = np.bincount(bin_numbers(certainty, CERTAINTY_BINS), excess, CERTAINTY_BINS)
    return float(np.abs(sums).sum() / len(certainty))


def calibration_floor(certainty: Array) -> float:
    """The expected calibration error that a perfectly calibrated model has by chance, for so few samples.

    The mean of 100 seeded simulations, in which each sample is right with the probability `certainty`; no global generator
    is used.

    Args:
        certainty: (B) 0 to 1.

    Returns:
        0 to 1; NaN where a certainty is NaN.
    """
    if not np.isfinite(certainty).all():
        return np.nan
    correct = _uniform_draws(len(certainty)) < certainty  # (simulations, B)
    membership = np.eye(CERTAINTY_BINS)[bin_numbers(certainty, CERTAINTY_BINS)]  # (B, bins)
    return float(np.abs((certainty - correct) @ membership).sum(1).mean() / len(certainty))


@functools.lru_cache(maxsize=4)
def _uniform_draws(samples: int) -> Array:
    """Random numbers (simulations, B) from 0 to 1, the same at every epoch."""
    return np.random.default_rng(0).random((FLOOR_SIMULATIONS, samples))
