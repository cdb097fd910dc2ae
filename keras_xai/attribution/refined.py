"""More steps for the rows whose values miss their sum, epoch after epoch in one graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.completeness import WORTH, incomplete
from keras_xai.attribution.engine import Engine, merged
from keras_xai.attribution.samples import Samples
from keras_xai.records import Attribution

BLOCK = 8  # rows in one pass: whichever they are, the graph is the same
MOST = 64  # rows that are run again in one epoch, the worst
PATIENCE = 2  # epochs in a row in which more steps mend nothing, as at a jump; then no more are taken


class Refined:
    """Runs an engine of more steps on the rows whose completeness error is above 5 %.

    Args:
        engine: of one method, with `BLOCK` rows in a pass or as many as there are.

    Cost:
        The engine's passes over at most `MOST` rows, where there are such rows; one more trace, the first time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        (self._name,) = engine.methods
        self._in_vain = 0

    def __call__(
        self,
        found: Attribution,
        x: Sequence[Samples],
        baseline: Sequence[NDArray[Any]],
        target: NDArray[np.integer[Any]],
    ) -> Attribution:
        """`found`, of rows x for the classes target (B,), with the incomplete rows run again."""
        rows = incomplete(found, WORTH)[:MOST]
        if not len(rows) or self._in_vain >= PATIENCE:
            return found
        # Whole blocks have one shape, and so have one baseline for all and one for each: nothing is traced twice.
        filled = np.append(rows, np.repeat(rows[-1], -len(rows) % self._engine.chunk))
        alike = [b.strides[0] == 0 for b in baseline]
        picked = [
            np.broadcast_to(b[:1], (len(filled), *b.shape[1:])) if same else b[filled]
            for b, same in zip(baseline, alike, strict=True)
        ]
        fine = self._engine([a[filled] for a in x], picked, target[filled])[self._name]
        better = merged(found, _first(fine, len(rows)), rows)
        self._in_vain = self._in_vain + 1 if len(incomplete(better, WORTH)[:MOST]) == len(rows) else 0
        return better


def _first(found: Attribution, size: int) -> Attribution:
    """The errors and values of the first rows, which is all that `merged` takes."""

    def cut(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: part[:size] for name, part in values.items()}
        return [part[:size] for part in values] if isinstance(values, list) else values[:size]

    return dataclasses.replace(
        found,
        values=cut(found.values),
        completeness_error=None if found.completeness_error is None else found.completeness_error[:size],
        quadrature_error=None if found.quadrature_error is None else found.quadrature_error[:size],
    )
