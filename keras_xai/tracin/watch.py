"""The influence of live rows on the probe and on alerts, summed over the updates of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.model.inputs import prepare_inputs
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.probe.features import Words
from keras_xai.records import Alert, AlertReference, InfluenceRanks, RowInfluences
from keras_xai.tracin.last_layer import LastLayer, RowGradients
from keras_xai.tracin.of_model import gradient_lengths, joined, products
from keras_xai.tracin.row_loss import labels_of_loss

RANKS = 10  # of either side, of each row
MAX_BYTES = 1 << 17  # of the ranks of an update, before they are compressed: 16 bytes a rank
RANK_BYTES = 16
SEED = 0  # of the probe's rows that lend their values


class InfluenceWatch:
    """Measures the influence of the live rows of one training.

    Args:
        model: built, compiled.
        probe: labelled.
        rows: the live rows as they were first read, labelled.

    Raises:
        InvalidInput: rows without labels, outputs at many positions, a last layer that is no `Dense`.
    """

    def __init__(self, model: keras.Model, probe: Probe, rows: Probe) -> None:
        check_may_watch(probe)
        if rows.y is None:
            raise InvalidInput("Influence needs the labels of the live rows: give live=(x, y).")
        self._model, self._probe = model, probe
        self._x = prepare_inputs(model, probe.inputs, probe.x)
        self._y = labels_of_loss(np.asarray(probe.y), "y of the probe")
        self._last = LastLayer(model, self._x, probe.x, probe.output)
        self._sum = np.zeros((probe.size, rows.size))
        self._checkpoints = 0
        self._ranks = max(1, min(RANKS, MAX_BYTES // (RANK_BYTES * probe.size)))

    def update(
        self, update: int, rows: Probe, numbers: NDArray[np.int64], rate: float, alerts: Sequence[Alert]
    ) -> RowInfluences:
        """Add the influence with the present weights, and return the record.

        Args:
            update: its number.
            rows: the live rows.
            numbers: (L) of them in their source.
            rate: the learning rate; where it is not finite 1 is taken, at every update.
            alerts: of this update.
        """
        rate = rate if np.isfinite(rate) else 1.0
        live = self._of_rows(rows, rows.inputs)
        probe = joined(list(self._last.gradients(self._x, self._y)))
        lengths = gradient_lengths(live, uses_bias=self._last.uses_bias)
        self._sum += (
            rate * products(probe, live, uses_bias=self._last.uses_bias) / np.where(lengths > 0, lengths, np.inf)
        )
        self._checkpoints += 1
        references, scores = [], []
        for alert in alerts:
            features = self._features_of(alert)
            if features and alert.is_alarm and alert.event is not None:
                references.append(AlertReference(alert.source, alert.event, tuple(features)))
                scores.append(self._on_evidence(rows, live, list(features.values())))
        on_alerts = np.stack(scores) if scores else np.zeros((0, rows.size))
        labels = np.asarray(rows.y).reshape(rows.size, -1)
        is_stored = labels.shape[1] == 1 and self._probe.store == "inputs"
        return RowInfluences(
            epoch=update,
            layer=self._last.path,
            loss=self._last.loss,
            live=np.asarray(numbers, np.int64),
            labels=labels[:, 0].astype(np.float32) if is_stored else None,
            checkpoints=self._checkpoints,
            probe=ranks_of(self._sum, numbers, self._ranks),
            alerts=tuple(references),
            on_alerts=ranks_of(on_alerts, numbers, self._ranks),
        )

    def _of_rows(self, rows: Probe, inputs: list[NDArray[Any]]) -> RowGradients:
        """Return the gradients of the live rows, with these values in their inputs."""
        labels = labels_of_loss(np.asarray(rows.y), "y of the live rows")
        return joined(list(self._last.gradients(prepare_inputs(self._model, inputs, rows.x), labels)))

    def _features_of(self, alert: Alert) -> dict[str, int]:
        """Return the features of an alert by their names; none of words, which have no place in a row, and none of "other"."""
        features = self._probe.feature_map
        if any(isinstance(layout, Words) for layout in features.layouts):
            return {}
        place = {name: k for k, name in enumerate(features.names)}
        return {move.name: place[move.name] for move in alert.features if move.name in place}

    def _on_evidence(self, rows: Probe, live: RowGradients, features: list[int]) -> NDArray[np.float64]:
        """Return how much a step on each live row (L) would strengthen what some features say for the label, in the last layer.

        What they say in a row is the part of the layer's sum that goes with their values: (h − h′)·W toward the direction of the
        row's error, for the features h′ of the row with values of the probe in their place. Its gradient is (h − h′) ê, and the
        score the mean over rows of its inner product with the gradient of the live row's loss, divided by the norm of that
        gradient: a row that taught the shortcut has a small error as soon as it is learnt, and whatever is still wrong would
        outweigh it (the renormalised influence of Hammoudeh & Lowd 2022, arXiv 2201.10055).
        """
        lent = self._of_rows(rows, with_values_of(rows, self._probe, features))
        moved = live.features.astype(np.float64) - lent.features
        evidence = moved.T @ _unit_rows(live.errors) / len(moved)
        bias = np.full((len(moved), int(self._last.uses_bias)), 1.0)
        unit = _unit_rows(np.concatenate([live.features, bias], 1))[:, : moved.shape[1]]
        scores: NDArray[np.float64] = ((unit @ evidence) * _unit_rows(live.errors)).sum(1)
        return scores


def check_may_watch(probe: Probe) -> None:
    """Raise where a probe has no labels, or is one of outputs at many positions.

    Raises:
        InvalidInput: so.
    """
    if probe.y is None:
        raise InvalidInput(
            "Influence is measured on the loss of the probe's rows, which have no labels: give Probe(x, y)."
        )
    if isinstance(probe.output, Dense) or callable(probe.output):
        raise InvalidInput(
            "Influence needs a row of scores with a loss of its own for each row of the probe: leave output= out, or influence."
        )


def with_values_of(rows: Probe, probe: Probe, features: Sequence[int]) -> list[NDArray[Any]]:
    """Return the inputs of rows with values of the probe's rows in some features; the same draw at each call."""
    donors = np.random.default_rng(SEED).integers(0, probe.size, rows.size)
    arrays: list[NDArray[Any]] = []
    for array, lender, parts in zip(rows.inputs, probe.inputs, probe.feature_map.parts(), strict=True):
        arrays.append(np.where(np.isin(parts, features), lender[donors].astype(array.dtype), array))
    return arrays


def ranks_of(scores: NDArray[np.float64], numbers: NDArray[np.int64], count: int) -> InfluenceRanks:
    """Return the strongest rows of scores (n, L) on either side.

    Args:
        scores: NaN is on neither.
        numbers: (L) of the rows.
        count: k, or L where there are not as many rows.

    Example:
        >>> ranks_of(np.array([[0.5, -2.0, 0.0]]), np.array([10, 20, 30]), 2).opponents.tolist()
        [[20, -1]]
    """
    columns = []
    for sign in (1, -1):
        signed = np.nan_to_num(sign * scores, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
        order = np.argsort(-signed, axis=1, kind="stable")[:, :count]
        strongest = np.take_along_axis(signed, order, 1)
        is_of_side = strongest > 0
        columns += [np.where(is_of_side, numbers[order], -1), np.where(is_of_side, sign * strongest, np.nan)]
    return InfluenceRanks(*columns)


def _unit_rows(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return vectors (n, D) divided by their lengths; zeros stay zero."""
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float64)
