"""The task of a model on the probe, and its true labels: classes, several labels a sample, or numbers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from keras_xai.mapping.decision import Target
from keras_xai.mapping.predictions import Predictions, predictions_of
from keras_xai.mapping.reading import Reading
from keras_xai.model.task import Task, columns_of, true_classes
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import Answer, Link, TaskKind

ANSWERS: dict[TaskKind, Answer] = {
    "binary": "class",
    "classes": "class",
    "labels": "labels",
    "number": "value",
    "numbers": "value",
}


def _link_of(task: Task) -> Link:
    # A margin has no probability of its own; its sigmoid or softmax puts samples in the same order.
    return task.link or ("softmax" if task.kind == "classes" else "sigmoid")


def predictions_from_outputs(task: Task, outputs: NDArray[Any]) -> Predictions:
    """The predictions in the outputs (B, K) of a model, where its logits are not at hand."""
    return predictions_of(outputs, outputs, task.outputs, _link_of(task), ANSWERS[task.kind])


class ProbeTask:
    """The meaning of a model's outputs for a probe; decided at the first reading, the same for every later one.

    Args:
        task: of the model's outputs.
        probe: with labels, if there are any.
        region_label: the labels of a dense output's regions, in the place of the probe's own.

    Raises:
        InvalidInput: labels that do not fit the output, with both shapes.
    """

    def __init__(self, task: Task, probe: Probe, region_label: NDArray[Any] | None = None) -> None:
        self.answer: Answer = ANSWERS[task.kind]
        self.classes = task.classes or task.width
        self._space = task.space
        self._link = _link_of(task)
        self.label = region_label if isinstance(probe.output, Dense) else true_labels(task, probe)

    def predictions(self, reading: Reading) -> Predictions:
        """The model's predictions in a reading."""
        return predictions_of(reading.logits, reading.outputs, self._space, self._link, self.answer)

    @property
    def target(self) -> Target | None:
        """The true labels as the target of linear probes; None without labels."""
        return None if self.label is None else Target(self.label, self.answer, self.classes)


def true_labels(task: Task, probe: Probe) -> NDArray[Any] | None:
    """The true classes (B), labels (B, K) of 0 and 1, or numbers (B) or (B, K); None without.

    Raises:
        InvalidInput: labels that do not fit the output, with both shapes.
    """
    if probe.y is None:
        return None
    return true_classes(probe.y, task, probe.class_names) if task.classes else columns_of(probe.y, task)
