"""More steps for the rows whose values miss their sum, epoch after epoch in the same graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.attributor import merged
from keras_xai.attribution.completeness import REPORTED_ABOVE, incomplete
from keras_xai.attribution.engine import Engine
from keras_xai.backend import get_backend
from keras_xai.backend.team import present_team
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.records import Attribution

REFINED_ROWS = 64  # that are run again in one epoch, the worst
EPOCHS_IN_VAIN = 2  # in a row in which more steps mend nothing, as at a jump; then no more are taken


def refining_runner(runner: ModelRunner) -> ModelRunner:
    """Return a runner for rows that are run again: one after the other where that is compiled, so that their number needs no
    graph of its own and no pass is filled up; together where nothing is."""
    return runner.by_sample() if get_backend().compiles() else runner


class Refined:
    """Runs engines of more and more steps on the rows whose completeness error is above a limit.

    Args:
        ladder: engines of one and the same method, each with the limit above which it is run; no later limit is lower.

    Cost:
        The engines' passes over at most `REFINED_ROWS` rows each, where there are such rows; one more trace, the first time.
    """

    def __init__(self, ladder: Sequence[tuple[float, Engine]]) -> None:
        self._ladder = list(ladder)
        (self._name,) = self._ladder[0][1].methods
        self._in_vain = 0
        self._is_first_alone = False

    @property
    def traces(self) -> int:
        """The number of times that any of the engines was traced."""
        return sum(engine.traces for _, engine in self._ladder)

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave it out of account whether what is run inside mends anything."""
        in_vain = self._in_vain
        try:
            yield
        finally:
            self._in_vain = in_vain

    @contextlib.contextmanager
    def first_step_alone(self) -> Iterator[None]:
        """Take inside the first engine alone, and leave out of account what it mends: of an untrained model, whose values may
        need steps, and so a graph, that those of the trained one do not."""
        self._is_first_alone = True
        try:
            with self.uncounted():
                yield
        finally:
            self._is_first_alone = False

    def __call__(
        self,
        attribution: Attribution,
        x: Sequence[Samples],
        baseline: Sequence[NDArray[Any]],
        target: NDArray[np.integer[Any]],
    ) -> Attribution:
        """The attribution of rows x for the classes target (B,), with the incomplete rows run again."""
        if self._in_vain >= EPOCHS_IN_VAIN:
            return attribution
        before = len(_incomplete(attribution, REPORTED_ABOVE))
        for above, engine in self._ladder[:1] if self._is_first_alone else self._ladder:
            rows = _incomplete(attribution, above)
            if not len(rows):
                break
            finer = engine([a[rows] for a in x], [base[rows] for base in baseline], target[rows])[self._name]
            attribution = merged(attribution, finer, rows)
        if before:
            mended = len(_incomplete(attribution, REPORTED_ABOVE)) < before
            self._in_vain = 0 if mended else self._in_vain + 1
        return attribution


def _incomplete(attribution: Attribution, above: float) -> NDArray[np.int64]:
    """Return the rows that miss their sum by more, the worst first, as many as are run again; the same in every process."""
    return np.asarray(present_team().agreed(incomplete(attribution, above)[:REFINED_ROWS]))
