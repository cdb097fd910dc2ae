"""Conversion of the sums of an epoch into its record, one row a variable."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.gradient_table import WIDTH, Variable
from keras_xai.gradients.flags import Flags
from keras_xai.gradients.selection import Selection
from keras_xai.gradients.statistics import BIN_EDGES, Overall, derived, histogram, overall
from keras_xai.gradients.tap import RecordedGradients
from keras_xai.gradients.variables import entry_count, is_recordable, unique, variable_path
from keras_xai.records import STATISTICS, Flag, Gradients

NO_CALLS = "no optimizer was called in the sampled steps"


class GradientRows:
    """The variables whose gradients a run records, in the order of its event file.

    The rows are decided once, at the first record, since the file holds their names only once.

    Args:
        selection: of the variables.

    Attributes:
        names: (V) of the rows; a continued run has those of its file.
        sizes: (V) entries of each variable.
        is_decided: False before the first record.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._variables: list[Variable] = []
        self.names: tuple[str, ...] = ()
        self.sizes: tuple[int, ...] = ()
        self.is_decided = False

    def check(self, model: keras.Model) -> None:
        """Compare the selection with a model's variables.

        Raises:
            InvalidInput: a pattern matches none of them, or no variable is left.
        """
        self._check(model.trainable_variables)

    def expect(self, model: keras.Model) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the names and sizes of the rows that a model will have, as far as they are known before training."""
        return _names_and_sizes(self._of_model(model))

    def decide(self, model: keras.Model, recorded: RecordedGradients) -> None:
        """Decide the rows: the model's variables, and further ones that an optimizer was given.

        Raises:
            InvalidInput: as `check`, of all of them.
        """
        self._check([*model.trainable_variables, *recorded.variables])
        rows = {id(variable): variable for variable in (*self._of_model(model), *self._of_record(recorded))}
        self._variables = list(rows.values())
        self.names, self.sizes = _names_and_sizes(self._variables)
        self.is_decided = True

    def missing(self, recorded: RecordedGradients) -> list[str]:
        """Return the paths of recorded variables that have no row."""
        rows = {id(variable) for variable in self._variables}
        return [variable_path(variable) for variable in self._of_record(recorded) if id(variable) not in rows]

    def sparse(self, recorded: RecordedGradients) -> list[str]:
        """Return the names of the rows with sparse gradients, as of an embedding: without the entries a batch did not use."""
        pairs = zip(self.names, self._variables, strict=True)
        return [name for name, variable in pairs if id(variable) in recorded.sparse]

    def record(self, epoch: int, recorded: RecordedGradients, flags: Flags) -> tuple[Gradients, Overall]:
        """Return the record of an epoch, judged by `flags`, and the figures of all rows together."""
        sums = self._sums(recorded)
        missing = recorded.reason
        if not missing and not recorded.steps and not recorded.skipped:
            missing = NO_CALLS
        raised: tuple[Flag, ...] = ()
        if missing:
            statistics = {name: np.full(len(self.names), np.nan, np.float32) for name in STATISTICS}
        else:
            statistics = derived(sums, np.array(self.sizes, np.int64))
            raised = flags.judge(epoch, self.names, statistics, self.sizes, self.sparse(recorded))
        record = Gradients(
            epoch=epoch,
            names=self.names,
            statistics=statistics,
            histogram=histogram(sums),
            bin_edges=BIN_EDGES,
            steps=recorded.steps,
            flags=raised,
            missing=missing,
            sizes=self.sizes,
            thresholds=flags.thresholds,
        )
        return record, overall(sums)

    def _sums(self, recorded: RecordedGradients) -> NDArray[np.float64]:
        """Return the sums of each row (V, WIDTH), zeros where nothing was recorded."""
        row_of = {id(variable): row for row, variable in enumerate(self._variables)}
        sums = np.zeros((len(self._variables), WIDTH))
        for variable, values in zip(recorded.variables, recorded.sums, strict=True):
            if id(variable) in row_of:
                sums[row_of[id(variable)]] = values
        return sums

    def _of_model(self, model: keras.Model) -> list[Variable]:
        return [v for v in model.trainable_variables if is_recordable(v) and variable_path(v) in self._selection]

    def _of_record(self, recorded: RecordedGradients) -> list[Variable]:
        return [variable for variable in recorded.variables if variable_path(variable) in self._selection]

    def _check(self, variables: Sequence[Variable]) -> None:
        self._selection.check([variable_path(variable) for variable in variables if is_recordable(variable)])


def _names_and_sizes(variables: Sequence[Variable]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of variables, made unique, and their numbers of entries."""
    names = unique([variable_path(variable) for variable in variables])
    return names, tuple(entry_count(variable) for variable in variables)
