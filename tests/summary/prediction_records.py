"""Records of predictions whose truth is known: of each kind of output, of made-up rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.mapping.predictions import predictions_of
from keras_xai.mapping.row_predictions import RowFigures, predictions_of_rows
from keras_xai.mapping.task import ANSWERS
from keras_xai.model.task import Task
from keras_xai.probe import Probe
from keras_xai.records import ProbePredictions

TASKS = {
    "softmax": Task("classes", 3, "logit", "probability", "softmax"),
    "sigmoid": Task("binary", 1, "logit", "probability", "sigmoid"),
    "labels": Task("labels", 3, "logit", "probability", "sigmoid"),
    "number": Task("number", 1, "raw", "raw"),
    "numbers": Task("numbers", 3, "raw", "raw"),
    "margin": Task("binary", 1, "logit", "logit"),
}


def outputs_of(kind: str, size: int = 40, seed: int = 0, classes: int = 3) -> Any:
    """Outputs (B, K) of a model of this kind, as the model gives them."""
    width = TASKS[kind].width if classes == 3 else classes
    logits = np.random.default_rng(seed).normal(size=(size, width)) * 1.5
    if kind == "softmax":
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return 1 / (1 + np.exp(-logits)) if kind in ("sigmoid", "labels") else logits


def labels_of(kind: str, size: int = 40, seed: int = 1, classes: int = 3) -> Any:
    """Labels that fit."""
    generator = np.random.default_rng(seed)
    if kind == "softmax":
        return generator.integers(0, classes, size)
    if kind in ("sigmoid", "margin"):
        return generator.integers(0, 2, size)
    return (
        generator.integers(0, 2, (size, 3)) if kind == "labels" else generator.normal(size=outputs_of(kind, size).shape)
    )


def predictions_of_kind(
    kind: str,
    epoch: int = 0,
    outputs: Any = None,
    y: Any = None,
    *,
    labelled: bool = True,
    store: str = "inputs",
    slices: Any = None,
) -> ProbePredictions:
    """A record as a callback writes it."""
    outputs = outputs_of(kind, seed=epoch) if outputs is None else outputs
    task, size = TASKS[kind], len(outputs)
    if outputs.shape[1] != task.width:
        task = Task(task.kind, outputs.shape[1], task.space, task.outputs, task.link)
    y = labels_of(kind, size) if y is None else y
    label = y if labelled else None
    probe = Probe(np.zeros((size, 2), "f4"), label, store=store, slices=slices)
    predicted = predictions_of(outputs, outputs, task.outputs, task.link or "sigmoid", ANSWERS[task.kind])
    return predictions_of_rows(epoch, RowFigures.of(predicted, label), label, probe, task)
