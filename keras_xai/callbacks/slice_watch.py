"""The slices of a probe, looked at together with the probe: what all callbacks that run the model on it record of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.importance import PooledRows
from keras_xai.drift.slices import accuracy_by_slice, importance_by_slice
from keras_xai.drift.top_features import TopFeatures
from keras_xai.mapping.decision import LinearProbe, Target
from keras_xai.mapping.row_predictions import RowFigures
from keras_xai.model.dense import Positions, means_of_rows
from keras_xai.probe import Probe
from keras_xai.records import SliceImportance, SliceReadout, Slices


def slices_of_figures(update: int, probe: Probe, figures: RowFigures) -> Slices:
    """Return accuracy and confidence by slice, of figures of each row."""
    return accuracy_by_slice(update, probe.slices, figures.right, figures.true_probability)


def slices_of_positions(update: int, probe: Probe, positions: Positions) -> Slices:
    """Return accuracy and confidence by slice of a dense output: of each row the means over its pixels, steps or boxes."""
    with np.errstate(all="ignore"):
        return accuracy_by_slice(update, probe.slices, *means_of_rows(positions))


def with_importance(
    record: Slices,
    probe: Probe,
    pooled: PooledRows,
    top_features: TopFeatures,
    unmeasured: NDArray[np.bool_],
) -> Slices:
    """Return a record with the importance by slice, of a probe whose attributions were all taken.

    Args:
        record: of accuracy and confidence.
        probe: with slices.
        pooled: its attributions, row by row.
        top_features: that are recorded by themselves; before these are known there is no importance.
        unmeasured: (F) True for features that the method cannot measure.
    """
    if not top_features.is_fixed:
        return record
    of_all = importance_by_slice(probe.slices, pooled.magnitude, probe.features, unmeasured)
    importance = SliceImportance(
        features=top_features.names,
        share=top_features.sum_others(of_all.share),
        overall=top_features.sum_others(of_all.overall),
    )
    return dataclasses.replace(record, importance=importance)


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
