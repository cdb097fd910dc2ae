"""Decision → result: the prediction of each sample, how confident the model is, and how often it is right."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.calibration import calibration_error, calibration_floor
from keras_xai.mapping.predictions import Predictions
from keras_xai.model.dense import Positions, means_of_rows
from keras_xai.records import Result

Array = NDArray[np.float64]

MAX_SIMULATED = 4096  # positions, of which the error by chance is simulated
MAX_CLASSES = 64  # up to so many classes every logit is kept
TOP_CLASSES = 5  # of more classes the true one's logit and so many of the highest
LARGEST_FLOAT16 = 65504


def result(
    predictions: Predictions,
    label: NDArray[Any] | None,
    held_out: NDArray[np.bool_] | None,
    *,
    keep_label: bool,
    positions: Positions | None = None,
    unit: str = "",
) -> Result:
    """The record of one epoch's predictions.

    Args:
        predictions: of the model.
        label: (B) true classes, (B, K) of 0 and 1, or numbers; None without.
        held_out: (B) True for rows that were not trained on; None where that is not known.
        keep_label: True where labels may be written.
        positions: of a dense output, over which accuracy and confidence are; the predictions are then of regions.
        unit: what a position is, as a word.
    """
    accuracy = Accuracy.of(predictions, label, held_out)
    right = None
    if positions is not None:
        accuracy = accuracy.over(positions, held_out)
        right = None if label is None else means_of_rows(positions)[0].astype(np.float32)
    logits, columns = _kept_logits(predictions, label)
    return Result(
        answer=predictions.answer,
        classes=predictions.classes,
        logits=np.clip(logits, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16),
        prediction=predictions.prediction,
        confidence=accuracy.confidence.astype(np.float32),
        certainty=accuracy.certainty.astype(np.float32),
        accuracy=accuracy.accuracy,
        confidence_gap=accuracy.confidence_gap,
        ece=accuracy.ece,
        ece_floor=accuracy.ece_floor,
        held_out_accuracy=accuracy.held_out_accuracy,
        columns=columns,
        correct=accuracy.correct,
        right=right,
        unit=unit,
        label=label if keep_label else None,
        held_out=held_out,
    )


class Accuracy(NamedTuple):
    """Confidence and correctness of predictions; NaN or None where they are not known."""

    confidence: Array  # (B) probability of the truth
    certainty: Array  # (B) probability of the prediction
    correct: NDArray[np.bool_] | None = None  # (B)
    accuracy: float = np.nan
    confidence_gap: float = np.nan
    ece: float = np.nan
    ece_floor: float = np.nan
    held_out_accuracy: float = np.nan

    @classmethod
    def of(cls, predictions: Predictions, label: NDArray[Any] | None, held_out: NDArray[np.bool_] | None) -> Accuracy:
        """The accuracy of predictions; for several labels a sample, the mean over pairs of sample and label."""
        if predictions.probabilities is None:
            unknown = np.full(len(predictions.logits), np.nan)
            return cls(confidence=unknown, certainty=unknown)
        certainty, correct, confidence = _pairs(predictions, predictions.probabilities, label)
        accuracy = cls(confidence=confidence.mean(1), certainty=certainty.mean(1))
        if correct is None:
            return accuracy
        finite = np.isfinite(certainty)
        correct = correct & finite
        accuracy = accuracy._replace(correct=np.asarray(correct.all(1)))
        if not finite.all():
            return accuracy
        share_correct = float(correct.mean())
        held_out_accuracy = np.nan
        if held_out is not None and held_out.any():
            held_out_accuracy = float(correct[held_out].mean())
        return accuracy._replace(
            accuracy=share_correct,
            confidence_gap=float(certainty.mean() - share_correct),
            ece=calibration_error(certainty.ravel(), correct.ravel()),
            ece_floor=calibration_floor(certainty.ravel()),
            held_out_accuracy=held_out_accuracy,
        )

    def over(self, positions: Positions, held_out: NDArray[np.bool_] | None) -> Accuracy:
        """The same over all positions that have a label; `correct` stays that of the regions."""
        has_label = np.isfinite(positions.right)
        certainties = np.where(positions.counts, positions.certainty, np.nan).astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a row without a label, whose mean is NaN
            accuracy = self._replace(
                confidence=np.nanmean(positions.confidence, 1, dtype=np.float64), certainty=np.nanmean(certainties, 1)
            )
        certainty, right = positions.certainty[has_label].astype(np.float64), positions.right[has_label]
        if not right.size or not np.isfinite(certainty).all():
            return Accuracy(accuracy.confidence, accuracy.certainty, accuracy.correct)
        share_right = float(right.mean(dtype=np.float64))
        held_out_accuracy = np.nan
        if held_out is not None and has_label[held_out].any():
            held_out_accuracy = float(positions.right[held_out][has_label[held_out]].mean(dtype=np.float64))
        few = np.linspace(0, len(certainty) - 1, min(len(certainty), MAX_SIMULATED)).astype(np.int64)
        return accuracy._replace(
            accuracy=share_right,
            confidence_gap=float(certainty.mean() - share_right),
            ece=calibration_error(certainty, right),
            # The error by chance falls with the root of the number of positions.
            ece_floor=calibration_floor(certainty[few]) * (len(few) / len(certainty)) ** 0.5,
            held_out_accuracy=held_out_accuracy,
        )


def _pairs(
    predictions: Predictions, probabilities: Array, label: NDArray[Any] | None
) -> tuple[Array, NDArray[np.bool_] | None, Array]:
    """Probability of the prediction, True where it is right, and probability of the truth.

    Each is (B, 1), or (B, K) for several labels a sample; without labels the second is None and the third NaN.
    """
    rows = np.arange(len(probabilities))
    if predictions.answer == "labels" or probabilities.shape[1] == 1:
        certainty = np.maximum(probabilities, 1 - probabilities)
        if label is None:
            return certainty, None, np.full_like(certainty, np.nan)
        truth = label.reshape(len(probabilities), -1).astype(np.int64)
        correct = predictions.prediction.reshape(len(probabilities), -1) == truth
        return certainty, correct, np.where(truth == 1, probabilities, 1 - probabilities)
    certainty = probabilities[rows, predictions.prediction][:, None]
    if label is None:
        return certainty, None, np.full_like(certainty, np.nan)
    return certainty, (predictions.prediction == label)[:, None], probabilities[rows, label][:, None]


def _kept_logits(predictions: Predictions, label: NDArray[Any] | None) -> tuple[Array, NDArray[np.int64] | None]:
    """All logits, or of more than 64 classes the true one's and the five highest, with their class numbers.

    −1 and NaN stand for the true class of a sample without a label.
    """
    logits = predictions.logits
    if logits.shape[1] <= MAX_CLASSES:
        return logits, None
    highest = np.argsort(-logits, 1, kind="stable")[:, :TOP_CLASSES]
    if predictions.answer == "class" and label is not None:
        true = label.reshape(-1, 1)
    else:
        true = np.full((len(highest), 1), -1)
    columns = np.concatenate([true, highest], 1).astype(np.int64)
    values = np.take_along_axis(logits, np.maximum(columns, 0), 1)
    return np.where(columns >= 0, values, np.nan), columns
