"""Figures of each row's prediction, and the record of all of them: what a run keeps of the predictions at an update.

A record takes about 20 bytes a row; where that is not enough, or too much, counts stand in the place of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.calibration import CERTAINTY_BINS, TRUTH_BINS, bin_numbers
from keras_xai.mapping.predictions import Predictions
from keras_xai.model.dense import Positions, means_of_rows
from keras_xai.model.positions import PositionLabels
from keras_xai.model.task import Task
from keras_xai.probe import Probe
from keras_xai.probe.losses import SMALLEST_PROBABILITY, class_losses, label_losses, number_losses
from keras_xai.records import Answer, PredictionCounts, ProbePredictions

Array = NDArray[np.float64]

MAX_ROWS = 4096  # that are recorded
MAX_LABEL_ENTRIES = 2**16  # rows times labels, whose probabilities are recorded one by one
MAX_NUMBERS = 16  # of a row, each recorded by itself
MAX_CELLS = 4096  # of a confusion matrix, as many as one of 64 classes has
MAX_LABELS = 2**14  # of a row, each of which is counted
NOT_FINITE = -1  # in the place of a class


class RowFigures(NamedTuple):
    """Figures of each row (B); NaN where they are not known."""

    answer: Answer
    classes: int
    prediction: NDArray[Any]  # (B), (B, K) of 0 and 1, or (B, K) numbers; −1 for a class that is not finite
    probability: Array | None  # (B) of the prediction, or (B, K) of each label
    true_probability: Array  # (B) of several labels the mean
    right: Array  # (B) 1 or 0; of several labels a row the share that is right
    loss: Array  # (B) −ln of the probability of the truth; of numbers the mean squared error

    @classmethod
    def of(cls, predictions: Predictions, label: NDArray[Any] | None) -> RowFigures:
        """Return them for predictions, and labels (B) or (B, K) where there are some."""
        probabilities, answer, size = predictions.probabilities, predictions.answer, len(predictions.logits)
        if probabilities is None:
            numbers = predictions.logits
            unknown = np.full(size, np.nan)
            loss = unknown if label is None else number_losses(numbers, label)
            return cls(answer, predictions.classes, numbers, None, unknown, unknown, loss)
        if answer == "labels":
            return cls._of_labels(probabilities, predictions.prediction, label)
        prediction = np.asarray(predictions.prediction)
        if probabilities.shape[1] == 1:
            probabilities = np.concatenate([1 - probabilities, probabilities], 1)
        rows = np.arange(size)
        certainty = probabilities[rows, prediction]
        finite = np.isfinite(certainty)
        truth = np.full(size, np.nan) if label is None else probabilities[rows, label.reshape(-1)]
        right = truth if label is None else np.where(finite, prediction == label.reshape(-1), np.nan)
        prediction = np.where(finite, prediction, NOT_FINITE)
        loss = truth if label is None else class_losses(probabilities, label.reshape(-1))
        return cls(answer, predictions.classes, prediction, certainty, truth, right, loss)

    @classmethod
    def _of_labels(cls, probability: Array, prediction: NDArray[Any], label: NDArray[Any] | None) -> RowFigures:
        size, width = probability.shape
        finite = np.isfinite(probability)
        marked = np.where(finite, prediction, NOT_FINITE)
        if label is None:
            unknown = np.full(size, np.nan)
            return cls("labels", width, marked, probability, unknown, unknown, unknown)
        true = label.reshape(size, -1) == 1
        truth = np.where(true, probability, 1 - probability)
        right = np.where(finite, (prediction == 1) == true, np.nan)
        return cls("labels", width, marked, probability, truth.mean(1), right.mean(1), label_losses(probability, true))

    @classmethod
    def joined(cls, parts: Sequence[RowFigures]) -> RowFigures:
        """Return the figures of rows that came some at a time."""
        if len(parts) == 1:
            return parts[0]
        arrays = []
        for columns in zip(*(part[2:] for part in parts), strict=True):
            arrays.append(None if columns[0] is None else np.concatenate(columns))
        return cls(parts[0].answer, parts[0].classes, *arrays)  # type: ignore[arg-type]


def predictions_of_rows(
    update: int, figures: RowFigures, label: NDArray[Any] | None, probe: Probe, task: Task
) -> ProbePredictions:
    """Return the record of an update.

    Args:
        update: its number.
        figures: of the rows of the probe.
        label: (B) true classes, (B, K) labels of 0 and 1, or numbers; None without.
        probe: whose rows they are of.
        task: of the model's outputs.
    """
    size, answer, width = probe.size, figures.answer, figures.classes
    true = None if label is None else np.asarray(label).reshape(size, -1)
    has_columns = True
    if answer == "labels":
        has_columns = size * width <= MAX_LABEL_ENTRIES
    elif answer == "value":
        has_columns = width <= MAX_NUMBERS
    counts = None
    is_counted = answer == "class" or (answer == "labels" and width <= MAX_LABELS)
    if true is not None and is_counted and (probe.store != "inputs" or not has_columns):
        counts = _counts_of_rows(figures, true)
    if true is not None:
        true = true[:, 0].astype(np.int64) if answer == "class" else true
    rows = np.linspace(0, size - 1, MAX_ROWS).round().astype(np.int64) if size > MAX_ROWS else None
    recorded = slice(None) if rows is None else rows
    of_truth = [figures.right, figures.true_probability, figures.loss]
    if probe.store != "inputs":  # beside the prediction they would say what the label is
        of_truth = [np.full(size, np.nan)] * 3
    right, true_probability, loss = (_within_float32(figure[recorded]) for figure in of_truth)
    return ProbePredictions(
        epoch=update,
        answer=answer,
        classes=width,
        size=size,
        right=right,
        true_probability=true_probability,
        loss=loss,
        prediction=_as_recorded(figures.prediction[recorded], answer) if has_columns else None,
        probability=_float32(figures.probability, recorded) if has_columns else None,
        true=None
        if true is None or not has_columns or probe.store != "inputs"
        else _as_recorded(true[recorded], answer),
        counts=counts,
        rows=rows,
        slice_loss=_slice_loss(probe, figures.loss),
        margin=bool(task.classes or answer == "labels") and not task.link,
    )


def _as_recorded(answers: NDArray[Any], answer: Answer) -> NDArray[Any]:
    return _within_float32(answers) if answer == "value" else answers.astype(np.int64)


def _float32(array: Array | None, recorded: Any) -> NDArray[np.float32] | None:
    return None if array is None else array[recorded].astype(np.float32)


def _within_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float64).astype(np.float32)


def _slice_loss(probe: Probe, loss: Array) -> NDArray[np.float32] | None:
    """Return the mean loss of the rows of each value of the slices; None without slices."""
    means = []
    for labels, codes in probe.slices.values():
        for code in range(len(labels)):
            rows = loss[codes == code]
            means.append(rows.mean() if len(rows) else np.nan)
    return np.asarray(means, np.float32) if means else None


def _counts_of_rows(figures: RowFigures, true: NDArray[Any]) -> PredictionCounts:
    """Return the counts of rows with labels (B, 1) or (B, K)."""
    prediction = figures.prediction.reshape(len(true), -1)
    assert figures.probability is not None
    probability = figures.probability.reshape(len(true), -1)
    if figures.answer == "labels":
        certainty = np.maximum(probability, 1 - probability)
        truth = np.where(true == 1, probability, 1 - probability)
    else:
        certainty, truth = probability, figures.true_probability[:, None]
    label = np.broadcast_to(np.arange(true.shape[1]), true.shape)
    right = prediction == true
    return _counts(label, true.astype(np.int64), prediction.astype(np.int64), certainty, truth, right)


def predictions_of_positions(
    update: int, positions: Positions, labels: PositionLabels | None, probe: Probe, task: Task, unit: str
) -> ProbePredictions | None:
    """Return the record of a dense output: counts over its positions, and of each row the means over its own.

    None without labels at positions, where nothing can be counted, and for an output of numbers.

    Args:
        update: its number.
        positions: the answers of the model at every position.
        labels: of these; None without.
        probe: whose rows they are of.
        task: of each position.
        unit: what a position is, as a word.
    """
    if labels is None or task.outputs == "raw":
        return None
    right, truth = means_of_rows(positions)
    losses = -np.log(np.maximum(positions.confidence, SMALLEST_PROBABILITY))
    loss = means_of_rows(positions._replace(confidence=losses))[1]
    size = len(right)
    rows = np.linspace(0, size - 1, MAX_ROWS).round().astype(np.int64) if size > MAX_ROWS else None
    recorded = slice(None) if rows is None else rows
    return ProbePredictions(
        epoch=update,
        answer="class" if task.classes else "labels",
        classes=task.classes or task.width,
        size=size,
        right=right[recorded].astype(np.float32),
        true_probability=truth[recorded].astype(np.float32),
        loss=loss[recorded].astype(np.float32),
        counts=_counts_of_positions(positions, labels),
        rows=rows,
        slice_loss=_slice_loss(probe, loss),
        unit=unit,
        margin=not task.link,
    )


def _counts_of_positions(positions: Positions, labels: PositionLabels) -> PredictionCounts:
    has_label = positions.counts & labels.counts
    true, prediction = labels.classes[has_label], positions.prediction[has_label]
    certainty, truth = positions.certainty[has_label], positions.confidence[has_label]
    right = positions.right[has_label]
    if true.ndim == 1:
        prediction = np.where(np.isfinite(certainty), prediction, NOT_FINITE)
        return _counts(np.zeros_like(true), true, prediction, certainty, truth, right)
    # Of several labels a position probabilities are means over them: the bins are of positions, the cells of labels.
    binned = _counts(np.zeros(len(true), np.int64), np.zeros(len(true)), np.zeros(len(true)), certainty, truth, right)
    label = np.broadcast_to(np.arange(true.shape[1]), true.shape)
    cells = _cells(label, true.astype(np.int64), prediction)
    return PredictionCounts(binned.total, cells, binned.certainty_bins, binned.truth_bins)


def _counts(
    label: NDArray[Any],
    true: NDArray[Any],
    prediction: NDArray[Any],
    certainty: NDArray[Any],
    truth: NDArray[Any],
    right: NDArray[Any],
) -> PredictionCounts:
    """Return the counts of predictions, all of one shape; one that is not finite is in no bin, and is not right."""
    finite = np.isfinite(certainty)
    bins = np.zeros((CERTAINTY_BINS, 3))
    number = bin_numbers(certainty[finite], CERTAINTY_BINS)
    for column, weights in enumerate((None, certainty[finite], right[finite])):
        summed = np.bincount(number, None if weights is None else np.asarray(weights, np.float64), CERTAINTY_BINS)
        bins[:, column] = summed
    truth_bins = np.bincount(bin_numbers(truth[np.isfinite(truth)], TRUTH_BINS), minlength=TRUTH_BINS)
    return PredictionCounts(int(certainty.size), _cells(label, true, prediction), bins, truth_bins)


def _cells(label: NDArray[Any], true: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.int64]:
    """Return the counts (N, 4) of label, true and predicted class; of very many cells the largest."""
    triples = np.stack([label.ravel(), true.ravel(), prediction.ravel()], 1).astype(np.int64)
    if not len(triples):
        return np.zeros((0, 4), np.int64)
    # One number a triple: `unique` of rows would sort them column by column, which takes a second for a million pixels.
    span_true, span_predicted = int(triples[:, 1].max()) + 1, int(triples[:, 2].max()) + 2
    code = (triples[:, 0] * span_true + triples[:, 1]) * span_predicted + triples[:, 2] + 1
    values, times = np.unique(code, return_counts=True)
    code_of_pair, predicted = np.divmod(values, span_predicted)
    of_label, of_true = np.divmod(code_of_pair, span_true)
    cells = np.stack([of_label, of_true, predicted - 1, times], 1)
    most = MAX_CELLS if not label.any() else 4 * MAX_LABELS
    if len(cells) > most:
        cells = cells[np.sort(np.argsort(-cells[:, 3], kind="stable")[:most])]
    return np.asarray(cells, np.int64)
