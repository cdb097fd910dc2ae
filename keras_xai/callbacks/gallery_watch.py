"""The rows that a gallery's rule chooses at each update by what the model says of the whole probe, and their attributions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.backend.team import present_team
from keras_xai.callbacks.prediction_watch import RowOutcomes
from keras_xai.probe import Probe
from keras_xai.probe.gallery import Selection, rows_by_rule
from keras_xai.records import Attribution, ChosenRows
from keras_xai.summary.reader import Log


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

    def __call__(self, update: int, outcomes: RowOutcomes) -> ChosenRows:
        """Choose rows and explain them.

        Args:
            update: its number.
            outcomes: of the whole probe.

        Cost:
            The methods' passes over the chosen rows.
        """
        # As it is written, so that a run that goes on has the same.
        loss = outcomes.loss.astype(np.float32).astype(np.float64)
        self._count_update(loss)
        rows = rows_by_rule(self._rule, outcomes.right, loss, self._believed / self._updates, self._count)
        rows = present_team().agreed(rows)  # all processes explain the same
        attributions: dict[str, Attribution] = {}
        if len(rows):
            filled = np.append(rows, np.repeat(rows[-1], self._explainer.probe.size - len(rows)))
            attributions = self._explainer.explain_rows(self._probe.of_rows(filled), len(rows))
        return ChosenRows(update, self._rule, rows, loss.astype(np.float32), attributions)
