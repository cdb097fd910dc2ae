"""Decision → result: what the model says of each sample, how sure it is, and how far it can be trusted to be."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import Answer, Result, Space

Array = NDArray[np.float64]

FEW = 64  # classes of which every logit is kept
TOP = 5  # of more: the true one and so many of the highest
BINS = 15
DRAWS = 100  # simulations behind the calibration error's floor


@dataclass(frozen=True, eq=False)
class Said:
    """A model's answers to B samples, whatever the form in which it gives them."""

    answer: Answer
    logits: Array  # (B, K) before the softmax or sigmoid; numbers as they are
    probabilities: Array | None  # (B, K); one column where it says "class 1 or not"; None for numbers
    prediction: NDArray[Any]  # (B) the class; (B, K) of 0 and 1; (B) or (B, K) numbers
    classes: int  # K, 2 for one column that says "class 1 or not"


def said(logits: NDArray[Any], outputs: NDArray[Any], space: Space, function: str, answer: Answer) -> Said:
    """Answers from what a model gave.

    Args:
        logits: (B, K) behind the outputs, or the outputs where there are none.
        outputs: (B, K).
        space: of the logits: "logit", "probability" (there are none: their logarithm is taken) or "raw".
        function: "softmax" or "sigmoid", what makes probabilities of logits.
        answer: what the model is asked for.
    """
    logits = np.asarray(logits, np.float64).reshape(len(logits), -1)
    if answer == "value":
        return Said(answer, logits, None, logits[:, 0] if logits.shape[1] == 1 else logits, logits.shape[1])
    if space == "probability":
        probabilities = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
        tiny = np.finfo(np.float32).tiny
        logits = np.log(np.maximum(probabilities, tiny))
        if function == "sigmoid":
            logits = logits - np.log(np.maximum(1 - probabilities, tiny))
    else:
        probabilities = softmax(logits) if function == "softmax" else sigmoid(logits)
    if answer == "labels":
        return Said(answer, logits, probabilities, (probabilities > 0.5).astype(np.int64), logits.shape[1])
    if logits.shape[1] == 1:
        return Said(answer, logits, probabilities, (probabilities[:, 0] > 0.5).astype(np.int64), 2)
    return Said(answer, logits, probabilities, logits.argmax(1).astype(np.int64), logits.shape[1])


def softmax(logits: Array) -> Array:
    """Along the last axis."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    """The form that does not overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def result(told: Said, label: NDArray[Any] | None, held_out: NDArray[np.bool_] | None, *, keep_label: bool) -> Result:
    """The record of what was said.

    Args:
        told: by the model.
        label: (B) true classes, (B, K) of 0 and 1, or numbers; None without.
        held_out: (B) rows that were not trained on; None where that is not known.
        keep_label: whether labels may be written.
    """
    size = len(told.logits)
    nothing = np.full(size, np.nan)
    confidence, certainty = nothing, nothing
    correct: NDArray[np.bool_] | None = None
    accuracy = gap = ece = floor = outside = np.nan
    if told.probabilities is not None:
        sure, hits, given = _pairs(told, label)
        certainty, confidence = sure.mean(1), given.mean(1)
        if hits is not None:
            hits = hits & np.isfinite(sure)
            correct = np.asarray(hits.all(1))
        if hits is not None and np.isfinite(sure).all():
            accuracy = float(hits.mean())
            gap = float(sure.mean() - accuracy)
            ece, floor = calibration_error(sure.ravel(), hits.ravel()), calibration_floor(sure.ravel())
            if held_out is not None and held_out.any():
                outside = float(hits[held_out].mean())
    logits, columns = _kept(told, label)
    return Result(
        answer=told.answer,
        classes=told.classes,
        logits=np.clip(logits, -65504, 65504).astype(np.float16),
        prediction=told.prediction,
        confidence=confidence.astype(np.float32),
        certainty=certainty.astype(np.float32),
        accuracy=accuracy,
        confidence_gap=gap,
        ece=ece,
        ece_floor=floor,
        held_out_accuracy=outside,
        columns=columns,
        correct=correct,
        label=label if keep_label else None,
        held_out=held_out,
    )


def _pairs(told: Said, label: NDArray[Any] | None) -> tuple[Array, NDArray[np.bool_] | None, Array]:
    """(B, 1), or (B, K) for labels: how sure of what it says, whether that is right, and what it gives to the truth."""
    p = told.probabilities
    assert p is not None
    rows = np.arange(len(p))
    if told.answer == "labels" or p.shape[1] == 1:
        sure = np.maximum(p, 1 - p)
        if label is None:
            return sure, None, np.full_like(sure, np.nan)
        truth = label.reshape(len(p), -1).astype(np.int64)
        return sure, told.prediction.reshape(len(p), -1) == truth, np.where(truth == 1, p, 1 - p)
    sure = p[rows, told.prediction][:, None]
    if label is None:
        return sure, None, np.full_like(sure, np.nan)
    return sure, (told.prediction == label)[:, None], p[rows, label][:, None]


def _kept(told: Said, label: NDArray[Any] | None) -> tuple[Array, NDArray[np.int64] | None]:
    """All logits, or of more than 64 classes the true one's and the top five (−1 and NaN where there is no label)."""
    if told.logits.shape[1] <= FEW:
        return told.logits, None
    top = np.argsort(-told.logits, 1, kind="stable")[:, :TOP]
    true = np.full((len(top), 1), -1) if told.answer != "class" or label is None else label.reshape(-1, 1)
    columns = np.concatenate([true, top], 1).astype(np.int64)
    logits = np.take_along_axis(told.logits, np.maximum(columns, 0), 1)
    return np.where(columns >= 0, logits, np.nan), columns


def calibration_error(certainty: Array, correct: NDArray[np.bool_]) -> float:
    """Expected calibration error (Naeini et al. 2015): over 15 bins of equal width, the mean |certainty − accuracy| of a bin,
    weighted by its samples. 0 to 1; NaN where a certainty is."""
    if not np.isfinite(certainty).all():
        return np.nan
    hits = np.asarray(correct, np.float64)
    return float(np.abs(np.bincount(_bins(certainty), certainty - hits, BINS)).sum() / len(certainty))


def calibration_floor(certainty: Array) -> float:
    """The mean of that error for a model that is right exactly as often as it says: what chance alone makes of so few
    samples. By 100 seeded draws; no global generator is moved."""
    if not np.isfinite(certainty).all():
        return np.nan
    drawn = _uniform(len(certainty)) < certainty
    member = np.eye(BINS)[_bins(certainty)]  # (B, bins)
    return float(np.abs((certainty - drawn) @ member).sum(1).mean() / len(certainty))


@functools.lru_cache(maxsize=4)
def _uniform(size: int) -> Array:
    return np.random.default_rng(0).random((DRAWS, size))


def _bins(certainty: Array) -> NDArray[np.int64]:
    """(0, 1/15], (1/15, 2/15], …, as the paper has them."""
    return np.clip(np.ceil(certainty * BINS).astype(np.int64) - 1, 0, BINS - 1)
