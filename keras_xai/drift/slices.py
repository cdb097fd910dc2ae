"""Accuracy, confidence, importance and gaps by slice: of the rows of a probe that have one value, from figures of each row.

NumPy alone: the outputs and attributions behind the figures are computed by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.drift.reliance_gap import Evidence, reliance_gap
from keras_xai.drift.strata import strata
from keras_xai.records import SliceGaps, SliceImportance, Slices, SliceValue

Array = NDArray[np.float64]
# By the name of a slice its values as text, and the number of each row's, as `Probe.slices` has them.
Codes = Mapping[str, tuple[Sequence[str], NDArray[np.int64]]]


def slice_values(slices: Codes) -> tuple[SliceValue, ...]:
    """Return the values of all slices, slice after slice, with the number of rows that have each."""
    values = []
    for name, (labels, codes) in slices.items():
        rows = np.bincount(codes, minlength=len(labels))
        values += [SliceValue(name, label, int(count)) for label, count in zip(labels, rows, strict=True)]
    return tuple(values)


def slice_means(slices: Codes, figures: NDArray[Any]) -> Array:
    """Average figures (B, ...) of the rows over those of each value: (V, ...); NaN for a value without rows."""
    figures = np.asarray(figures, np.float64)
    means = []
    for labels, codes in slices.values():
        for code in range(len(labels)):
            rows = figures[codes == code]
            means.append(rows.mean(0) if len(rows) else np.full(figures.shape[1:], np.nan))
    return np.stack(means)


def accuracy_by_slice(epoch: int, slices: Codes, right: Array, confidence: Array) -> Slices:
    """Return the record of an epoch, with accuracy and confidence alone.

    Args:
        epoch: of the record.
        slices: of the probe.
        right: (B) 1 for a row that is predicted right, 0 for another one; NaN where that is not known.
        confidence: (B) the probability of the true class, NaN where that is not known.

    Example:
        >>> slices = {"sex": (("f", "m"), np.array([0, 0, 1, 1]))}
        >>> record = accuracy_by_slice(0, slices, np.array([1, 1, 0, 1.0]), np.full(4, 0.5))
        >>> record.accuracy.tolist(), record.overall_accuracy
        ([1.0, 0.5], 0.75)
    """
    return Slices(
        epoch=epoch,
        values=slice_values(slices),
        size=len(right),
        accuracy=slice_means(slices, right),
        confidence=slice_means(slices, confidence),
        overall_accuracy=float(np.mean(right)),
        overall_confidence=float(np.mean(confidence)),
    )


def importance_by_slice(
    slices: Codes, magnitude: Array, features: Sequence[str], unmeasured: NDArray[np.bool_] | None = None
) -> SliceImportance:
    """Return each feature's share of the importance in the rows of each value.

    Args:
        slices: of the probe.
        magnitude: (B, F) |attribution| of each row, 0 or more.
        features: (F) names.
        unmeasured: (F) True for features that the method cannot measure: NaN, and no part of the total.
    """
    hidden = np.zeros(len(features), bool) if unmeasured is None else unmeasured
    magnitude = np.asarray(magnitude, np.float64)
    return SliceImportance(
        features=tuple(features),
        share=_shares(slice_means(slices, magnitude), hidden),
        overall=_shares(magnitude.mean(0, keepdims=True), hidden)[0],
    )


def gaps_by_slice(slices: Codes, evidence: Evidence, features: Sequence[str]) -> SliceGaps:
    """Return, of the rows of each value against all others, the feature with the largest `reliance_gap`.

    A feature that speaks for the label in one hospital and not in the others is that hospital's shortcut. Of several values and
    many features some z is large by chance: see `GAP_LIMIT`, and look for one that stays over updates.

    Args:
        slices: of the probe.
        evidence: of all its rows.
        features: (F) names.

    Cost:
        That of a `reliance_gap` for each value.
    """
    names: list[str] = []
    z: list[float] = []
    for labels, codes in slices.values():
        for code in range(len(labels)):
            name, deviate = _largest_z(evidence, codes == code, features)
            names.append(name)
            z.append(deviate)
    return SliceGaps(tuple(names), np.asarray(z))


def _largest_z(evidence: Evidence, inside: NDArray[np.bool_], features: Sequence[str]) -> tuple[str, float]:
    if not inside.any() or inside.all():
        return "", float("nan")
    chosen = strata(evidence.strata[inside], evidence.strata[~inside])
    if chosen.blind:
        return "", float("nan")
    gap = reliance_gap(
        Evidence(evidence.contributions[inside], chosen.live, evidence.direction[inside]),
        Evidence(evidence.contributions[~inside], chosen.probe, evidence.direction[~inside]),
    )
    if not gap.strata:
        return "", float("nan")
    z = np.nan_to_num(gap.z, nan=0.0)
    feature = int(z.argmax())
    return (features[feature] if z[feature] > 0 else ""), float(z[feature])


def _shares(importance: Array, hidden: NDArray[np.bool_]) -> Array:
    """Divide importance (N, F) by each row's sum over the features that are not hidden; NaN where that is 0 or not finite."""
    total = np.where(hidden, 0.0, importance).sum(1, keepdims=True)
    usable = np.isfinite(total) & (total > 0)
    return np.where(usable & ~hidden, importance / np.where(usable, total, 1.0), np.nan)
