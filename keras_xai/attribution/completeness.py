"""Completeness: by how much a method's values miss the sum that they should have, and what is done about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.method import Method
from keras_xai.backend.protocol import Tensor
from keras_xai.records import Attribution
from keras_xai.tree import leaves

REFINED_ABOVE = 0.01  # completeness error above which `attribute` takes more steps
REPORTED_ABOVE = 0.05  # and above which a callback does, and warns
REFINED_STEPS = 64
FINER_ABOVE = 0.03  # of a graded rule: above it, it takes `FINER_STEPS`, before it takes 64
FINER_STEPS = 24
NEGLIGIBLE_SHARE = 0.02  # of the map: a smaller miss is large beside the difference alone, and the map is sound
REPORTED_SAMPLES = 0.1  # of the samples, from which on a fit is told of incomplete ones
ROUNDING = 1e-5  # of the numbers that are summed: what single precision may lose


def completeness_error(
    values: list[NDArray[Any]], score: NDArray[Any], baseline_score: NDArray[Any]
) -> NDArray[np.floating[Any]]:
    """(B,) |Σ values − (score − baseline score)| relative to the difference, which counts as 1e-6 at least."""
    total = sum(v.reshape(len(v), -1).sum(1, dtype=np.float64) for v in values)
    difference = score.astype(np.float64) - baseline_score
    return np.asarray(np.abs(total - difference) / np.maximum(np.abs(difference), 1e-6))


def relative_magnitude(difference: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """(n,) Σ |difference| / Σ |values| over all inputs, inside a program; 0 where all values are."""
    ops = keras.ops
    part, whole = _magnitude_of_tensors(difference), _magnitude_of_tensors(values)
    has_values = whole > 0
    return ops.where(has_values, part / ops.where(has_values, whole, 1.0), 0.0)


def _magnitude_of_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """(n,) Σ |values| over all of (n, ...)."""
    ops = keras.ops
    return sum(ops.sum(ops.reshape(ops.abs(tensor), (tensor.shape[0], -1)), axis=1) for tensor in tensors)


def refined_method(method: Method) -> Method | None:
    """The same method with as many steps as are taken where its own are too few; None where it has those, or no steps."""
    if not isinstance(method, IntegratedGradients) or method.n_steps >= REFINED_STEPS:
        return None
    return dataclasses.replace(method, n_steps=REFINED_STEPS)


def finer_methods(method: Method) -> list[tuple[float, Method]]:
    """The completeness errors above which a callback takes values again, each with the method that it takes, in order.

    A user's own number of steps goes to 64 at once, above 5 %.
    """
    last = refined_method(method)
    if last is None:
        return []
    ladder: list[tuple[float, Method]] = [(REPORTED_ABOVE, last)]
    if isinstance(method, IntegratedGradients) and method.is_graded and method.n_steps < FINER_STEPS:
        ladder.insert(0, (FINER_ABOVE, dataclasses.replace(method, n_steps=FINER_STEPS)))
    return ladder


def incomplete(attribution: Attribution, limit: float, of_map: float = 0.0) -> NDArray[np.int64]:
    """The rows whose completeness error is above a limit, the worst first.

    Args:
        attribution: what is not finite has no error that could be mended.
        limit: of the difference between the scores.
        of_map: and by how much of Σ |values| they miss it at least.
    """
    if attribution.completeness_error is None or attribution.baseline_score is None:
        return np.zeros(0, np.int64)
    error = np.asarray(attribution.completeness_error, np.float64)
    difference = np.abs(np.asarray(attribution.score, np.float64) - attribution.baseline_score)
    missed = error * np.maximum(difference, 1e-6)
    whole = magnitude(attribution.values)
    size = np.abs(attribution.score) + np.abs(attribution.baseline_score) + whole
    rows = np.flatnonzero((error > limit) & (missed > ROUNDING * size) & (missed > of_map * whole))
    return rows[np.argsort(-error[rows], kind="stable")]


def magnitude(values: Any) -> NDArray[np.float64]:
    """(B,) Σ |values| over all inputs."""
    return np.asarray(sum(np.abs(part).reshape(len(part), -1).sum(1, dtype=np.float64) for part in leaves(values)))


def are_many_incomplete(attribution: Attribution) -> bool:
    """True where a tenth of the samples or more are: some rows beside a kink of the model are nothing to warn of in a fit."""
    rows = incomplete(attribution, REPORTED_ABOVE, of_map=NEGLIGIBLE_SHARE)
    return len(rows) >= REPORTED_SAMPLES * len(attribution.score)


def sentence_on_incomplete(method: Method, attribution: Attribution) -> str:
    """The warning where values miss their sum by more than 5 %, and by no small part of themselves; "" where none do."""
    unknown = ~np.isfinite(magnitude(attribution.values))
    if method.satisfies_completeness and unknown.any() and np.isfinite(attribution.score[unknown]).any():
        return (
            f"{attribution.method}: the values of {int(unknown.sum())} of {len(unknown)} samples are not finite, though the "
            f"score is: an operation of the model has an infinite value or slope at the baseline or on the way from there, as a "
            f"division by the norm of zeros has. Take another baseline=, or a method without one."
        )
    rows = incomplete(attribution, REPORTED_ABOVE, of_map=NEGLIGIBLE_SHARE)
    if not len(rows) or attribution.completeness_error is None:
        return ""
    worst, size = float(attribution.completeness_error[rows[0]]), len(attribution.completeness_error)
    if not method.is_of_input:
        cause = (
            "Either ways from the inputs to the score lead around the layer, whose units then do not account for all of it, "
            "or the score turns more often on the way from the baseline than the steps follow: take more n_steps=."
        )
    elif method.follows_path:
        cause = (
            "On the way from the baseline the score jumps (at a mask value, at a threshold) or turns more often than the steps "
            "follow: take another baseline=, more n_steps=, or kernel_shap, which goes no way."
        )
    else:
        cause = "The values are large beside the difference, and single precision rounds them."
    return (
        f"{attribution.method}: the values of {len(rows)} of {size} samples miss the score less the baseline's by more than "
        f"{REPORTED_ABOVE:.0%}, at worst by {worst:.0%} of it (`completeness_error`). {cause}"
    )
