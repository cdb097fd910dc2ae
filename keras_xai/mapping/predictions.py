"""A model's predictions for the probe, from outputs of any form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import Answer, Space

Array = NDArray[np.float64]
DECISION_BOUNDARY = 0.5  # a label is predicted where its probability is above


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of B samples."""

    answer: Answer
    logits: Array  # (B, K) before the softmax or sigmoid; numbers as they are
    probabilities: Array | None  # (B, K); one column for an output "class 1 or not"; None for numbers
    prediction: NDArray[Any]  # (B) the class; (B, K) of 0 and 1; (B) or (B, K) numbers
    classes: int  # K, 2 for one column

    @property
    def is_multiclass(self) -> bool:
        """True where one of several classes is predicted, each with a logit of its own."""
        return self.answer == "class" and self.logits.shape[1] > 1


def predictions_of(logits: NDArray[Any], outputs: NDArray[Any], space: Space, link: str, answer: Answer) -> Predictions:
    """Predictions from the outputs of a model.

    Args:
        logits: (B, K) before the softmax or sigmoid; the outputs where there is none.
        outputs: (B, K) of the model.
        space: of `logits`: "logit", "probability" (the model has no logits: they are computed from the outputs) or "raw".
        link: "softmax" or "sigmoid", the function from logits to probabilities.
        answer: the meaning of the outputs: a class, labels or numbers.
    """
    logits = np.asarray(logits, np.float64).reshape(len(logits), -1)
    width = logits.shape[1]
    if answer == "value":
        return Predictions(answer, logits, None, logits[:, 0] if width == 1 else logits, width)
    if space == "probability":
        probabilities = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
        logits = _logits_of(probabilities, link)
    else:
        probabilities = softmax(logits) if link == "softmax" else sigmoid(logits)
    above = (probabilities > DECISION_BOUNDARY).astype(np.int64)
    if answer == "labels":
        return Predictions(answer, logits, probabilities, above, width)
    if width == 1:
        return Predictions(answer, logits, probabilities, above[:, 0], 2)
    return Predictions(answer, logits, probabilities, logits.argmax(1).astype(np.int64), width)


def _logits_of(probabilities: Array, link: str) -> Array:
    """The inverse of the link: logits of these probabilities; those of a softmax up to a constant in each row."""
    tiny = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(probabilities, tiny))
    if link == "sigmoid":
        logits = logits - np.log(np.maximum(1 - probabilities, tiny))
    return logits


def softmax(logits: Array) -> Array:
    """The softmax along the last axis."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    """The logistic function, in the form that does not overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
