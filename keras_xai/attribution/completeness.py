"""Whether a method's values sum to what they should, and what is done where they do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.method import Method, Tensor
from keras_xai.records import Attribution

ENOUGH = 0.01  # completeness error above which `attribute` takes more steps
WORTH = 0.05  # and above which a callback does, and a word is said
MORE_STEPS = 64
SMALL = 0.02  # of the map: a miss that is less is large beside the difference alone, and the map is sound
MANY = 0.1  # of the samples
ROUNDING = 1e-5  # of the numbers that are summed: what single precision may lose


def completeness_error(
    values: list[NDArray[Any]], score: NDArray[Any], baseline_score: NDArray[Any]
) -> NDArray[np.floating[Any]]:
    """(B,) |Σ values − (score − baseline score)| relative to the difference, which counts as 1e-6 at least."""
    total = sum(v.reshape(len(v), -1).sum(1, dtype=np.float64) for v in values)
    difference = score.astype(np.float64) - baseline_score
    found: NDArray[np.floating[Any]] = np.abs(total - difference) / np.maximum(np.abs(difference), 1e-6)
    return found


def relative(miss: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """(n,) Σ |miss| / Σ |values| over all inputs, in a graph; 0 where there is nothing."""
    ops = keras.ops
    lost, whole = (
        sum(ops.sum(ops.reshape(ops.abs(part), (part.shape[0], -1)), axis=1) for part in parts)
        for parts in (miss, values)
    )
    there = whole > 0
    return ops.where(there, lost / ops.where(there, whole, 1.0), 0.0)


def finer(method: Method) -> Method | None:
    """The same method with as many steps as are taken where its own are too few; None where it has those, or no steps."""
    if not isinstance(method, IntegratedGradients) or method.n_steps >= MORE_STEPS:
        return None
    return dataclasses.replace(method, n_steps=MORE_STEPS)


def incomplete(found: Attribution, limit: float, of_map: float = 0.0) -> NDArray[np.int64]:
    """The rows whose completeness error is above a limit, the worst first.

    Args:
        found: what is not finite has no error that could be mended.
        limit: of the difference between the scores.
        of_map: and by how much of Σ |values| they miss it at least.
    """
    if found.completeness_error is None or found.baseline_score is None:
        return np.zeros(0, np.int64)
    error = np.asarray(found.completeness_error, np.float64)
    difference = np.abs(np.asarray(found.score, np.float64) - found.baseline_score)
    missed = error * np.maximum(difference, 1e-6)
    whole = magnitude(found.values)
    size = np.abs(found.score) + np.abs(found.baseline_score) + whole
    rows = np.flatnonzero((error > limit) & (missed > ROUNDING * size) & (missed > of_map * whole))
    return rows[np.argsort(-error[rows], kind="stable")]


def magnitude(values: Any) -> NDArray[np.float64]:
    """(B,) Σ |values| over all inputs."""
    parts = list(values.values()) if isinstance(values, Mapping) else values if isinstance(values, list) else [values]
    return np.asarray(sum(np.abs(part).reshape(len(part), -1).sum(1, dtype=np.float64) for part in parts))


def are_many_incomplete(found: Attribution) -> bool:
    """Whether a tenth of the samples or more are: some rows beside a kink of the model are nothing to warn of in every fit."""
    return len(incomplete(found, WORTH, of_map=SMALL)) >= MANY * len(found.score)


def said_of_incomplete(method: Method, found: Attribution) -> str:
    """The warning where values miss their sum by more than 5 %, and by no small part of themselves; "" where none do."""
    rows = incomplete(found, WORTH, of_map=SMALL)
    if not len(rows) or found.completeness_error is None:
        return ""
    worst, size = float(found.completeness_error[rows[0]]), len(found.completeness_error)
    cause = (
        "On the way from the baseline the score jumps (at a mask value, at a threshold) or turns more often than the steps "
        "follow: take another baseline=, more n_steps=, or kernel_shap, which goes no way."
        if method.path
        else "The values are large beside the difference, and single precision rounds them."
    )
    return (
        f"{found.method}: the values of {len(rows)} of {size} samples miss the score less the baseline's by more than "
        f"{WORTH:.0%}, at worst by {worst:.0%} of it (`completeness_error`). {cause}"
    )
