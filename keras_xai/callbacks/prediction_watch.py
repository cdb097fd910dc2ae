"""The model's predictions for the probe, recorded by whichever callback runs it on all its rows anyway."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.callbacks.slice_watch import slices_of_figures, slices_of_positions
from keras_xai.errors import InvalidInput
from keras_xai.mapping.row_predictions import RowFigures, predictions_of_positions, predictions_of_rows
from keras_xai.mapping.task import predictions_from_outputs, true_labels
from keras_xai.model.dense import Positions, means_of_rows
from keras_xai.model.positions import PositionLabels
from keras_xai.model.task import Task
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.words import unit_word
from keras_xai.probe import Probe
from keras_xai.probe.losses import SMALLEST_PROBABILITY
from keras_xai.records import ProbePredictions, Slices


class RowOutcomes(NamedTuple):
    """The rows of a probe on which the model is right, and its loss on each."""

    right: NDArray[np.bool_]  # (B) all of it; of numbers those that are finite
    loss: NDArray[np.float64]  # (B)


class ProbePass:
    """One pass of a model over the rows of a probe: figures of each row, of outputs that come some rows at a time.

    The outputs themselves are not kept.

    Args:
        probe: whose rows pass.
        task: of the model's outputs.
    """

    def __init__(self, probe: Probe, task: Task) -> None:
        self._probe, self._task = probe, task
        self._label = row_labels(probe, task)
        self._parts: list[RowFigures] = []
        self._begin = 0

    def add(self, outputs: NDArray[Any]) -> None:
        """Take the outputs (n, K) of the next rows."""
        end = self._begin + len(outputs)
        label = None if self._label is None else self._label[self._begin : end]
        # A model whose weights are NaN is recorded as well: no warning of NumPy's for each figure.
        with np.errstate(all="ignore"):
            self._parts.append(RowFigures.of(predictions_from_outputs(self._task, outputs), label))
        self._begin = end

    @property
    def figures(self) -> RowFigures:
        """The figures of all rows that passed."""
        return RowFigures.joined(self._parts)

    @property
    def outcomes(self) -> RowOutcomes:
        """Right and wrong, and the loss, of all rows that passed."""
        figures = self.figures
        right = np.isfinite(figures.loss) if figures.answer == "value" else figures.right >= 1
        return RowOutcomes(right, figures.loss)

    def slices(self, update: int) -> Slices:
        """Return accuracy and confidence by slice, of a probe that has some."""
        return slices_of_figures(update, self._probe, self.figures)

    def record(self, update: int) -> ProbePredictions:
        """Return the record of an update, once all rows have passed."""
        return predictions_of_rows(update, self.figures, self._label, self._probe, self._task)


def row_labels(probe: Probe, task: Task) -> NDArray[Any] | None:
    """Return the true classes, labels or numbers of the rows; None without, and where they do not fit the output.

    Raises:
        InvalidInput: labels that do not fit, of a probe with slices: these are of nothing else than accuracy.
    """
    try:
        return true_labels(task, probe)
    except InvalidInput:
        # A function of the user's own may give something else than the labels are about.
        if probe.slices and not callable(probe.output):
            raise
        return None


class DensePass:
    """One pass of a dense output over the rows of a probe, at every position of each.

    Args:
        explainer: of an output that says something at many positions; the pass is made here.
        probe: other rows than its own; None for those.
    """

    def __init__(self, explainer: ProbeExplainer, probe: Probe | None = None) -> None:
        self._probe, self._task = explainer.probe if probe is None else probe, explainer.task
        self.positions, self._labels = explainer.positions(probe)

    @property
    def outcomes(self) -> RowOutcomes:
        """Right and wrong, all of a row, and −ln of the mean probability of the truth."""
        with np.errstate(all="ignore"):
            right, confidence = means_of_rows(self.positions)
            return RowOutcomes(right >= 1, -np.log(np.maximum(confidence, SMALLEST_PROBABILITY)))

    def slices(self, update: int) -> Slices:
        """Return accuracy and confidence by slice, of a probe that has some."""
        return slices_of_positions(update, self._probe, self.positions)

    def record(self, update: int) -> ProbePredictions | None:
        """Return the record of an update; None where nothing can be counted."""
        return dense_predictions(update, self.positions, self._labels, self._probe, self._task)


def dense_predictions(
    update: int, positions: Positions, labels: PositionLabels | None, probe: Probe, task: Task
) -> ProbePredictions | None:
    """Return the record of a dense output, whose answers at every position were read; None where nothing can be counted."""
    assert isinstance(probe.output, Dense)
    with np.errstate(all="ignore"):
        return predictions_of_positions(
            update, positions, labels, probe, task, unit_word(probe.output.unit, probe.kind)
        )


def why_not_recorded(probe: Probe, task: Task) -> str:
    """Return the sentence that says why predictions of a dense output are not recorded; "" where they are."""
    output = probe.output
    if not isinstance(output, Dense):
        return ""
    unit = unit_word(output.unit, probe.kind)
    if probe.y is None or not output.has_labels:
        return f"Predictions are not recorded: the probe has no label at each {unit} by which they could be counted."
    if task.outputs == "raw":
        return f"Predictions are not recorded: the model predicts numbers at each {unit}, not classes."
    return ""
