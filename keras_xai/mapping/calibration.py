"""Calibration: how far a model's confidence is from its accuracy."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE_BINS = 15
FLOOR_SIMULATIONS = 100


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
    sums = np.bincount(_bin_numbers(certainty), excess, CONFIDENCE_BINS)
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
    membership = np.eye(CONFIDENCE_BINS)[_bin_numbers(certainty)]  # (B, bins)
    return float(np.abs((certainty - correct) @ membership).sum(1).mean() / len(certainty))


@functools.lru_cache(maxsize=4)
def _uniform_draws(samples: int) -> Array:
    """Random numbers (simulations, B) from 0 to 1, the same at every epoch."""
    return np.random.default_rng(0).random((FLOOR_SIMULATIONS, samples))


def _bin_numbers(certainty: Array) -> NDArray[np.int64]:
    """The number of each sample's bin (B); the bins are (0, 1/15], (1/15, 2/15], … as in the paper."""
    return np.clip(np.ceil(certainty * CONFIDENCE_BINS).astype(np.int64) - 1, 0, CONFIDENCE_BINS - 1)
