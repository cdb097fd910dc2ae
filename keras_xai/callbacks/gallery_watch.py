"""The rows that a gallery's rule chooses at each update by what the model says of the whole probe, and their attributions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.backend.team import present_team
from keras_xai.mapping.task import predictions_from_outputs, true_labels
from keras_xai.model.dense import Positions, means_of_rows
from keras_xai.model.task import Task
from keras_xai.probe import Probe
from keras_xai.probe.gallery import Selection, rows_by_rule
from keras_xai.probe.losses import SMALLEST_PROBABILITY, class_losses, label_losses, number_losses
from keras_xai.records import Attribution, ChosenRows
from keras_xai.summary.reader import Log


class RowOutcomes(NamedTuple):
    """The rows of a probe on which the model is right, and its loss on each."""

    right: NDArray[np.bool_]  # (B)
    loss: NDArray[np.float64]  # (B)


def outcomes(task: Task, probe: Probe, outputs: NDArray[Any]) -> RowOutcomes:
    """Return right and wrong, and the losses, of outputs (B, K).

    Args:
        task: what the outputs say.
        probe: with labels.
        outputs: (B, K) of the model.
    """
    label = true_labels(task, probe)
    assert label is not None
    with np.errstate(all="ignore"):  # a model whose weights are NaN has losses of NaN
        predictions = predictions_from_outputs(task, outputs)
        if predictions.probabilities is None:
            loss = number_losses(predictions.logits, label)
            return RowOutcomes(np.isfinite(loss), loss)
        if predictions.answer == "labels":
            right = (predictions.prediction == label).all(1)
            return RowOutcomes(right, label_losses(predictions.probabilities, label))
        return RowOutcomes(predictions.prediction == label, class_losses(predictions.probabilities, label))


class GalleryWatch:
    """Chooses rows of a probe by a rule at each update, and explains them.

    Args:
        explainer: of the fixed gallery.
        probe: the whole one.
        selection: with a rule that changes with the model.
        count: rows to choose at most.

    Raises:
        InvalidInput: the rule needs classes, and the labels are none.
    """

    def __init__(self, explainer: ProbeExplainer, probe: Probe, selection: Selection, count: int) -> None:
        self._explainer, self._probe, self._rule = explainer, probe, selection.rule
        task = explainer.task
        selection.check_classes(has_classes=bool(task.classes) or task.kind == "labels")
        self._count = min(count, explainer.probe.size)
        self._believed = np.zeros(probe.size)  # sum over updates
        self._updates = 0

    def resume(self, past: Log | None) -> None:
        """Count the updates of a run that is continued."""
        for record in [] if past is None else past.chosen_rows:
            if len(record.loss) == self._probe.size:
                self._count_update(np.asarray(record.loss, np.float64))

    def _count_update(self, loss: NDArray[np.float64]) -> None:
        self._believed += np.exp(-loss)
        self._updates += 1

    def __call__(self, update: int, outputs: NDArray[Any] | Positions) -> ChosenRows:
        """Choose rows and explain them.

        Args:
            update: its number.
            outputs: (B, K) of the model for the whole probe; of a dense output its answers at every position.

        Cost:
            The methods' passes over the chosen rows.
        """
        of_rows = self._outcomes(outputs)
        loss = of_rows.loss.astype(np.float32).astype(
            np.float64
        )  # as it is written, so that a run that goes on has the same
        self._count_update(loss)
        rows = rows_by_rule(self._rule, of_rows.right, loss, self._believed / self._updates, self._count)
        rows = present_team().agreed(rows)  # all processes explain the same
        attributions: dict[str, Attribution] = {}
        if len(rows):
            filled = np.append(rows, np.repeat(rows[-1], self._explainer.probe.size - len(rows)))
            attributions = self._explainer.explain_rows(self._probe.of_rows(filled), len(rows))
        return ChosenRows(update, self._rule, rows, loss.astype(np.float32), attributions)

    def _outcomes(self, outputs: NDArray[Any] | Positions) -> RowOutcomes:
        if not isinstance(outputs, Positions):
            return outcomes(self._explainer.task, self._probe, outputs)
        with np.errstate(all="ignore"):
            right, confidence = means_of_rows(outputs)
            loss = -np.log(np.maximum(confidence, SMALLEST_PROBABILITY))
        return RowOutcomes(right >= 1, loss)
