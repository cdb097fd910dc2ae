"""More steps for the rows whose values miss their sum, epoch after epoch in one graph."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.attributor import merged
from keras_xai.attribution.completeness import REPORTED_ABOVE, incomplete
from keras_xai.attribution.engine import Engine
from keras_xai.backend import get_backend
from keras_xai.backend.team import present_team
from keras_xai.model.inputs import is_shared
from keras_xai.model.samples import Samples
from keras_xai.records import Attribution
from keras_xai.tree import map_leaves

REFINED_CHUNK = 8  # rows in one pass of a compiled program: whichever they are, the program is the same
REFINED_ROWS = 64  # that are run again in one epoch, the worst
EPOCHS_IN_VAIN = 2  # in a row in which more steps mend nothing, as at a jump; then no more are taken


class Refined:
    """Runs an engine of more steps on the rows whose completeness error is above 5 %.

    Args:
        engine: of one method; where it compiles, with `REFINED_CHUNK` rows in a pass or as many as there are.

    Cost:
        The engine's passes over at most `REFINED_ROWS` rows, where there are such rows; one more trace, the first time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        (self._name,) = engine.methods
        self._in_vain = 0

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave it out of account whether what is run inside mends anything."""
        in_vain = self._in_vain
        try:
            yield
        finally:
            self._in_vain = in_vain

    def __call__(
        self,
        attribution: Attribution,
        x: Sequence[Samples],
        baseline: Sequence[NDArray[Any]],
        target: NDArray[np.integer[Any]],
    ) -> Attribution:
        """The attribution of rows x for the classes target (B,), with the incomplete rows run again."""
        team = present_team()  # whose processes refine the same rows
        rows = team.agreed(incomplete(attribution, REPORTED_ABOVE)[:REFINED_ROWS])
        if not len(rows) or self._in_vain >= EPOCHS_IN_VAIN:
            return attribution
        # Whole chunks have one shape, and so have one baseline for all and one for each: nothing is traced twice.
        missing = -len(rows) % self._engine.runner.chunk if get_backend().compiles() else 0
        filled = np.append(rows, np.repeat(rows[-1], missing))
        baselines = []
        for base in baseline:
            shared = is_shared(base)
            baselines.append(np.broadcast_to(base[:1], (len(filled), *base.shape[1:])) if shared else base[filled])
        fine = self._engine([a[filled] for a in x], baselines, target[filled])[self._name]
        better = merged(attribution, _first(fine, len(rows)), rows)
        still_incomplete = team.agreed(len(incomplete(better, REPORTED_ABOVE)[:REFINED_ROWS]))
        self._in_vain = self._in_vain + 1 if still_incomplete == len(rows) else 0
        return better


def _first(attribution: Attribution, size: int) -> Attribution:
    """The errors and values of the first rows, which is all that `merged` takes."""

    def cut(values: NDArray[Any] | None) -> Any:
        return None if values is None else values[:size]

    return dataclasses.replace(
        attribution,
        values=map_leaves(cut, attribution.values),
        completeness_error=cut(attribution.completeness_error),
        quadrature_error=cut(attribution.quadrature_error),
    )
