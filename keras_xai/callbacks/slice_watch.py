"""The slices of a probe, looked at together with the probe: what all callbacks that run the model on it record of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.engine import RECORDED_COLUMNS
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.importance import PooledRows
from keras_xai.drift.slices import accuracy_by_slice, importance_by_slice
from keras_xai.drift.top_features import TopFeatures
from keras_xai.errors import InvalidInput
from keras_xai.mapping.decision import LinearProbe, Target
from keras_xai.mapping.predictions import Predictions
from keras_xai.mapping.result import RowAccuracy
from keras_xai.mapping.task import predictions_from_outputs, true_labels
from keras_xai.model.task import Task
from keras_xai.probe import Probe
from keras_xai.records import Attribution, SliceImportance, SliceReadout, Slices


class OutputsOfParts:
    """Attributions that pass by some rows at a time, and the outputs of the model for all rows that went by."""

    def __init__(self, parts: Iterable[Attribution]) -> None:
        self._parts = parts
        self._outputs: list[NDArray[Any]] = []

    def __iter__(self) -> Iterator[Attribution]:
        for part in self._parts:
            assert part.outputs is not None
            self._outputs.append(part.outputs)
            yield part

    def of(self, explainer: ProbeExplainer) -> NDArray[Any]:
        """Return the outputs (B, K); where an attribution does not hold all columns, by one more pass of its explainer."""
        if explainer.task.width > RECORDED_COLUMNS:
            return explainer.outputs()
        return np.concatenate(self._outputs)


def slices_of_outputs(update: int, probe: Probe, task: Task, outputs: NDArray[Any]) -> Slices:
    """Return accuracy and confidence by slice.

    Args:
        update: its number.
        probe: with slices.
        task: what the outputs say.
        outputs: (B, K) of the model.
    """
    try:
        label = true_labels(task, probe)
    except InvalidInput:
        if not callable(probe.output):
            raise
        label = None  # a function of the user's own may give something else than the labels are about
    # A model whose weights are NaN is recorded as well: no warning of NumPy's for each figure.
    with np.errstate(all="ignore"):
        return slices_of_predictions(update, probe, predictions_from_outputs(task, outputs), label)


def slices_of_positions(update: int, probe: Probe, explainer: ProbeExplainer) -> Slices:
    """Return accuracy and confidence by slice of a dense output: of each row the means over its pixels, steps or boxes."""
    with np.errstate(all="ignore"):
        right, confidence = explainer.row_accuracy(probe)
        return accuracy_by_slice(update, probe.slices, right, confidence)


def slices_of_update(
    update: int,
    explainer: ProbeExplainer,
    parts: OutputsOfParts,
    pooled: PooledRows,
    top_features: TopFeatures,
    unmeasured: NDArray[np.bool_],
) -> Slices:
    """Return accuracy, confidence and importance by slice, of a probe whose attributions were all taken.

    Args:
        update: its number.
        explainer: of the probe.
        parts: attributions that it gave.
        pooled: the same, row by row.
        top_features: that are recorded by themselves.
        unmeasured: (F) True for features that the method cannot measure.
    """
    probe = explainer.probe
    if explainer.dense is None:
        record = slices_of_outputs(update, probe, explainer.task, parts.of(explainer))
    else:
        record = slices_of_positions(update, probe, explainer)
    if not top_features.is_fixed:
        return record
    of_all = importance_by_slice(probe.slices, pooled.magnitude, probe.features, unmeasured)
    importance = SliceImportance(
        features=top_features.names,
        share=top_features.sum_others(of_all.share),
        overall=top_features.sum_others(of_all.overall),
    )
    return dataclasses.replace(record, importance=importance)


def slices_of_predictions(update: int, probe: Probe, predictions: Predictions, label: NDArray[Any] | None) -> Slices:
    """Return accuracy and confidence by slice, of predictions and true labels."""
    rows = RowAccuracy.of(predictions, label)
    return accuracy_by_slice(update, probe.slices, rows.right, rows.confidence)


def slice_targets(probe: Probe) -> list[Target]:
    """Return each slice as the target of linear probes."""
    return [Target(codes, "class", len(labels)) for labels, codes in probe.slices.values()]


def slice_readout(
    probe: Probe, layers: Sequence[str], targets: Sequence[Target], probes: Sequence[Sequence[LinearProbe]]
) -> SliceReadout:
    """Return how well each layer tells each slice.

    Args:
        probe: with slices.
        layers: (L) names.
        targets: (S) as `slice_targets` gives them.
        probes: (S, L) the linear probes of each target.
    """
    shape = len(targets), len(layers)
    linear_probes = [linear_probe for of_target in probes for linear_probe in of_target]
    score = np.asarray([linear_probe.score for linear_probe in linear_probes], np.float32)
    standard_error = np.asarray([linear_probe.standard_error for linear_probe in linear_probes], np.float32)
    return SliceReadout(
        layers=tuple(layers),
        slices=tuple(probe.slices),
        readability=score.reshape(shape).T,
        standard_error=standard_error.reshape(shape).T,
        chance=np.asarray([target.chance for target in targets], np.float32),
    )
