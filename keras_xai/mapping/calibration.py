"""Calibration: whether a model is right as often as it is confident."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE_BINS = 15
SIMULATIONS = 100  # behind the floor


def calibration_error(certainty: Array, correct: NDArray[np.bool_]) -> float:
    """The expected calibration error (Naeini et al. 2015): the mean |certainty − accuracy| of a bin, weighted by its samples.

    Args:
        certainty: (B) 0 to 1, the highest probability of each sample; 15 bins of equal width.
        correct: (B).

    Returns:
        0 to 1; NaN where a certainty is NaN.
    """
    if not np.isfinite(certainty).all():
        return np.nan
    excess = certainty - np.asarray(correct, np.float64)
    sums = np.bincount(_bin_numbers(certainty), excess, CONFIDENCE_BINS)
    return float(np.abs(sums).sum() / len(certainty))


def calibration_floor(certainty: Array) -> float:
    """The mean calibration error of a model that is right exactly as often as it says.

    That is what chance alone gives for so few samples, by 100 seeded simulations; no global generator is moved.

    Args:
        certainty: (B) 0 to 1.
    """
    if not np.isfinite(certainty).all():
        return np.nan
    correct = _uniform_draws(len(certainty)) < certainty  # (simulations, B)
    membership = np.eye(CONFIDENCE_BINS)[_bin_numbers(certainty)]  # (B, bins)
    return float(np.abs((certainty - correct) @ membership).sum(1).mean() / len(certainty))


@functools.lru_cache(maxsize=4)
def _uniform_draws(samples: int) -> Array:
    """(simulations, B); they are the same at every epoch."""
    return np.random.default_rng(0).random((SIMULATIONS, samples))


def _bin_numbers(certainty: Array) -> NDArray[np.int64]:
    """(B) the bins are (0, 1/15], (1/15, 2/15], …, as the paper has them."""
    return np.clip(np.ceil(certainty * CONFIDENCE_BINS).astype(np.int64) - 1, 0, CONFIDENCE_BINS - 1)
