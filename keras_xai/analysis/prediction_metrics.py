"""Metrics of one update's predictions: confusion matrix, precision and recall, calibration, errors of numbers, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.calibration import CERTAINTY_BINS, TRUTH_BINS, bin_numbers, calibration_floor
from keras_xai.records import Float, ProbePredictions, Slices

NOT_FINITE = -1  # in the place of a predicted class
MAX_MATRIX_CLASSES = 20  # of more only those that are most often confused have a row and a column

Integers = NDArray[np.int64]


class Cells(NamedTuple):
    """Counts of true and predicted classes, (N) each: the cells of a confusion matrix that are not empty."""

    true: Integers
    predicted: Integers  # −1 where the outputs are not finite
    counts: Integers

    @property
    def total(self) -> int:
        """The number of predictions that have a label."""
        return int(self.counts.sum())

    @property
    def wrong(self) -> Cells:
        """The cells off the diagonal, the largest first; outputs that are not finite are no confusion."""
        chosen = np.flatnonzero((self.true != self.predicted) & (self.predicted != NOT_FINITE))
        order = chosen[np.argsort(-self.counts[chosen], kind="stable")]
        return Cells(self.true[order], self.predicted[order], self.counts[order])


def cells(record: ProbePredictions, label: int = 0) -> Cells | None:
    """Return the cells of the confusion matrix, sorted by true and by predicted class; None where nothing is counted.

    Args:
        record: of an update.
        label: of several labels a row, the one whose 2 × 2 matrix it is.
    """
    if record.answer == "value":
        return None
    if record.counts is not None:
        counted = np.asarray(record.counts.cells, np.int64)
        counted = counted[counted[:, 0] == label]
        return Cells(counted[:, 1], counted[:, 2], counted[:, 3])
    if record.true is None or record.prediction is None:
        return None
    size = len(record.true)
    pairs = np.stack([array.reshape(size, -1)[:, label] for array in (record.true, record.prediction)], 1)
    unique, count = np.unique(pairs.astype(np.int64), axis=0, return_counts=True)
    return Cells(unique[:, 0], unique[:, 1], count.astype(np.int64))


def is_whole(record: ProbePredictions) -> bool:
    """Return True where all cells of the confusion matrix are recorded; of very many classes the largest are."""
    counted = cells(record)
    if counted is None or record.counts is None or record.answer != "class":
        return counted is not None
    return counted.total == record.counts.total


def matrix_classes(counted: Cells, classes: int, most: int = MAX_MATRIX_CLASSES) -> Integers:
    """Return, sorted, at most so many classes: those most often confused, then the first of the rest.

    Args:
        counted: the cells of the whole matrix.
        classes: K.
        most: at most.
    """
    if classes <= most:
        return np.arange(classes)
    wrong = counted.wrong
    involved, inverse = np.unique(np.concatenate([wrong.true, wrong.predicted]), return_inverse=True)
    times = np.bincount(inverse.ravel(), np.concatenate([wrong.counts, wrong.counts]), len(involved))
    first = involved[np.argsort(-times, kind="stable")][:most].tolist()
    others = [k for k in range(min(classes, most + len(first))) if k not in first]
    return np.sort(np.asarray([*first, *others][:most], np.int64))


def confusion_matrix(counted: Cells, classes: Integers) -> tuple[Integers, Float]:
    """Return the counts (n, n) by true and predicted class of some classes, and the same as shares of the whole true class.

    Args:
        counted: the cells of the whole matrix.
        classes: (n) sorted; other classes count in the shares alone.
    """
    counts = np.zeros((len(classes), len(classes)), np.int64)
    place = np.searchsorted(classes, counted.true).clip(0, len(classes) - 1)
    column = np.searchsorted(classes, counted.predicted).clip(0, len(classes) - 1)
    of_classes = classes[place] == counted.true
    inside = of_classes & (classes[column] == counted.predicted)
    np.add.at(counts, (place[inside], column[inside]), counted.counts[inside])
    support = np.bincount(place[of_classes], counted.counts[of_classes], len(classes))
    return counts, np.asarray(counts / np.maximum(support, 1)[:, None])


class ClassMetrics(NamedTuple):
    """Precision, recall and F1 of classes or labels (K); NaN where nothing is predicted so, or nothing is so."""

    classes: Integers
    precision: Float
    recall: Float
    f1: Float
    support: Integers  # predictions whose true class it is


def class_metrics(counted: Cells) -> ClassMetrics:
    """Return the metrics of every class that is true or predicted somewhere.

    Precision is the share of the predictions of a class that are right, recall the share of its rows that are predicted so,
    F1 their harmonic mean, 2 · right / (predicted + support).
    """
    occurring = np.union1d(counted.true, counted.predicted[counted.predicted != NOT_FINITE])
    place = np.searchsorted(occurring, counted.true)
    support = np.bincount(place, counted.counts, len(occurring))
    finite = counted.predicted != NOT_FINITE
    column = np.searchsorted(occurring, counted.predicted[finite])
    predicted = np.bincount(column, counted.counts[finite], len(occurring))
    diagonal = counted.true == counted.predicted
    right = np.bincount(place[diagonal], counted.counts[diagonal], len(occurring))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall, f1 = right / predicted, right / support, 2 * right / (predicted + support)
    return ClassMetrics(occurring, precision, recall, f1, support.astype(np.int64))


def label_tables(record: ProbePredictions) -> Integers | None:
    """Return, of several labels a row, the counts (K, 2, 2) of each by truth and prediction; None where nothing is counted.

    Outputs that are not finite are in none.
    """
    if record.answer != "labels":
        return None
    tables = np.zeros((record.classes, 2, 2), np.int64)
    if record.counts is not None:
        counted = np.asarray(record.counts.cells, np.int64)
        counted = counted[counted[:, 2] != NOT_FINITE]
        np.add.at(tables, tuple(counted[:, :3].T), counted[:, 3])
        return tables
    if record.true is None or record.prediction is None:
        return None
    for true, predicted in ((0, 0), (0, 1), (1, 0), (1, 1)):
        tables[:, true, predicted] = ((record.true == true) & (record.prediction == predicted)).sum(0)
    return tables


def label_metrics(record: ProbePredictions) -> ClassMetrics | None:
    """Return the metrics of each of several labels, for the rows that have it; None where nothing is counted."""
    tables = label_tables(record)
    if tables is None:
        return None
    right, support, predicted = tables[:, 1, 1], tables[:, 1].sum(1), tables[:, :, 1].sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall, f1 = right / predicted, right / support, 2 * right / (predicted + support)
    return ClassMetrics(np.arange(record.classes), precision, recall, f1, support)


class PredictedClasses(NamedTuple):
    """Frequency of each predicted class, and the certainty of it; classes that never are are left out."""

    classes: Integers
    counts: Integers  # rows
    certainty: Float  # mean probability of the prediction in them


def predicted_classes(record: ProbePredictions) -> PredictedClasses | None:
    """Return the predicted classes of rows without labels, whose outputs are finite; None for all others."""
    if record.answer != "class" or record.prediction is None or record.probability is None:
        return None
    if record.true is not None or record.counts is not None:
        return None
    finite = record.prediction != NOT_FINITE
    classes, inverse = np.unique(record.prediction[finite], return_inverse=True)
    if not classes.size:
        return None
    count = np.bincount(inverse.ravel())
    certainty = np.bincount(inverse.ravel(), np.asarray(record.probability, np.float64)[finite])
    return PredictedClasses(classes.astype(np.int64), count.astype(np.int64), certainty / count)


class Calibration(NamedTuple):
    """Accuracy against certainty in bins of equal width, (bins) each, and the expected calibration error."""

    certainty: Float  # mean of the bin; NaN where it is empty
    accuracy: Float
    counts: Integers  # predictions in the bin
    error: float  # |mean certainty − accuracy| of the bins, weighted by their predictions (ECE, Naeini et al. 2015)
    floor: float  # the mean of it, by chance, for a perfectly calibrated model and so few rows; NaN for counts alone

    @property
    def total(self) -> int:
        """The number of predictions."""
        return int(self.counts.sum())


def calibration(record: ProbePredictions) -> Calibration | None:
    """Return the calibration in 15 bins; None for numbers and margins, without labels, and where an output is not finite."""
    if record.answer == "value" or record.margin:
        return None
    floor = np.nan
    if record.counts is not None:
        sums = np.asarray(record.counts.certainty_bins, np.float64)
        if sums[:, 0].sum() < record.counts.total:
            return None
    elif record.true is None or record.probability is None or record.prediction is None:
        return None
    else:
        probability = np.asarray(record.probability, np.float64)
        if not np.isfinite(probability).all():
            return None
        certainty = np.maximum(probability, 1 - probability) if record.answer == "labels" else probability
        right = np.asarray(record.prediction == record.true, np.float64).ravel()
        certainty = certainty.ravel()
        number, floor = bin_numbers(certainty, CERTAINTY_BINS), calibration_floor(certainty)
        weights = np.stack([np.ones(len(certainty)), certainty, right], 1)
        sums = np.stack([np.bincount(number, column, CERTAINTY_BINS) for column in weights.T], 1)
    if not sums[:, 0].sum():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        certainties, accuracies = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    error = float(np.abs(sums[:, 1] - sums[:, 2]).sum() / sums[:, 0].sum())
    return Calibration(certainties, accuracies, sums[:, 0].astype(np.int64), error, floor)


class TruthHistogram(NamedTuple):
    """Rows, or positions, by the probability of their true class, in 20 bins of equal width, (bins) each."""

    right: Integers  # where the prediction is right; all of them where that is not told apart
    wrong: Integers | None  # where it is not; None where that is not told apart


def truth_histogram(record: ProbePredictions) -> TruthHistogram | None:
    """Return how the probability of the true class is distributed; None for numbers, and without labels."""
    if record.answer == "value" or record.margin:
        return None
    truth = np.asarray(record.true_probability, np.float64)
    finite = np.isfinite(truth)
    if record.counts is not None and (record.unit or not finite.any()):
        return TruthHistogram(np.asarray(record.counts.truth_bins, np.int64), None)
    if not finite.any():
        return None
    number, right = bin_numbers(truth[finite], TRUTH_BINS), np.asarray(record.right)[finite] >= 1
    both = [np.bincount(number[rows], minlength=TRUTH_BINS) for rows in (right, ~right)]
    return TruthHistogram(both[0], both[1])


class Errors(NamedTuple):
    """Errors of numbers (K): of each output over the rows whose truth and prediction are finite."""

    rmse: Float
    mae: Float
    r2: Float  # 1 − residual sum of squares over that around the mean of the truth; NaN where the truth does not vary
    counts: Integers


def errors(record: ProbePredictions) -> Errors | None:
    """Return root mean square error, mean absolute error and R² of each output; None where numbers are not recorded."""
    if record.answer != "value" or record.true is None or record.prediction is None:
        return None
    columns = []
    for true, predicted in zip(record.true.T.astype(np.float64), record.prediction.T.astype(np.float64), strict=True):
        finite = np.isfinite(true) & np.isfinite(predicted)
        residual, truth = (predicted - true)[finite], true[finite]
        if not residual.size:
            columns.append([np.nan, np.nan, np.nan, 0])
            continue
        spread = float(np.square(truth - truth.mean()).sum())
        r2 = 1 - float(np.square(residual).sum()) / spread if spread > 0 else np.nan
        columns.append([np.sqrt(np.square(residual).mean()), np.abs(residual).mean(), r2, residual.size])
    rmse, mae, r2s, count = np.asarray(columns, np.float64).T
    return Errors(rmse, mae, r2s, count.astype(np.int64))


class SliceRow(NamedTuple):
    """Figures of the rows of one value of a slice."""

    slice: str
    value: str
    rows: int
    accuracy: float
    confidence: float
    loss: float


def slice_rows(record: ProbePredictions, slices: Slices | None) -> list[SliceRow]:
    """Return accuracy, mean probability of the true class and loss of every value, the least accurate first.

    Args:
        record: of an update.
        slices: of the same update; None without.
    """
    if slices is None:
        return []
    loss: Sequence[float] = [np.nan] * len(slices.values)
    if record.slice_loss is not None and len(record.slice_loss) == len(slices.values):
        loss = record.slice_loss.tolist()
    rows = []
    for k, value in enumerate(slices.values):
        figures = float(slices.accuracy[k]), float(slices.confidence[k]), loss[k]
        rows.append(SliceRow(value.slice, value.value, value.rows, *figures))
    return sorted(rows, key=_least_accurate_first)


def _least_accurate_first(row: SliceRow) -> tuple[float, float]:
    """Return the key of an order: the lowest accuracy, else the highest loss; what is not known comes last."""
    return tuple(np.nan_to_num([row.accuracy, -row.loss], nan=np.inf).tolist())
