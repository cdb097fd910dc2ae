"""What a model is asked for, and the truth about it: classes, labels or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.question import Question
from keras_xai.errors import InvalidInput
from keras_xai.mapping.decision import Target
from keras_xai.mapping.reading import Reading
from keras_xai.mapping.result import Said, said
from keras_xai.probe import Probe
from keras_xai.records import Answer


class Answers:
    """Settled once, at the first reading; then makes `Said` of every reading.

    Args:
        question: put to the model.
        probe: with the truth, if there is one.
        outputs: (B, K) of the first reading.
        function: between logits and outputs, "" where none is seen.

    Raises:
        InvalidInput: labels that do not fit the output, with both shapes.
    """

    def __init__(self, question: Question, probe: Probe, outputs: NDArray[Any], function: str) -> None:
        self.space = question.space(outputs)
        self._width = outputs.shape[1]
        binary = "binary" in question.loss_name
        self._function = function or ("sigmoid" if binary or self._width == 1 else "softmax")
        self.answer: Answer = self._answer(question, probe, outputs)
        self.label = self._label(probe)

    def said(self, reading: Reading) -> Said:
        """In this reading."""
        return said(reading.logits, reading.outputs, self.space, self._function, self.answer)

    @property
    def classes(self) -> int:
        """K; 2 for one column that says "class 1 or not"."""
        return 2 if self.answer == "class" and self._width == 1 else self._width

    @property
    def target(self) -> Target | None:
        """The truth as something to read; None without."""
        return None if self.label is None else Target(self.label, self.answer, self.classes)

    def _answer(self, question: Question, probe: Probe, outputs: NDArray[Any]) -> Answer:
        if not question.classifies(outputs) or self._are_numbers(question, probe):
            return "value"
        several = self._width > 1 and self._function == "sigmoid" and probe.classes is None
        return "labels" if several and (probe.y is None or probe.y.ndim == 2) else "class"

    def _are_numbers(self, question: Question, probe: Probe) -> bool:
        """Whether labels are numbers, one for each column of the output, where no loss and no logit says that it is classes:
        an autoencoder that is trained by a step of its own."""
        if question.is_logit or question.loss_name or probe.y is None or probe.y.shape[1:] != (self._width,):
            return False
        return probe.y.dtype.kind == "f" and not np.isin(probe.y, (0, 1)).all()

    def _label(self, probe: Probe) -> NDArray[Any] | None:
        if probe.y is None:
            return None
        y, size = probe.y, probe.size
        if self.answer != "class":
            if y.size != size * self._width:
                raise InvalidInput(
                    f"y has shape {y.shape}, the model's output has {self._width} columns: one number each."
                )
            return y.reshape(size, -1) if self._width > 1 else y.reshape(size)
        classes: NDArray[np.int64] | None = probe.classes
        if classes is None and y.size == size and np.equal(y, np.round(y)).all():
            classes = y.reshape(-1).astype(np.int64)  # classes written as floats
        if classes is None:
            raise InvalidInput(
                f"y has shape {y.shape} and dtype {y.dtype}: one class a sample is expected, or one-hot rows."
            )
        if classes.max() >= self.classes:
            raise InvalidInput(
                f"y holds the class {classes.max()}, the model's output has {self.classes} classes (0 to {self.classes - 1})."
            )
        return classes
