"""Rows that stand for absence: a distribution where a baseline is one point."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from keras_xai.attribution.method import Rows, Tensor
from keras_xai.backend import get_backend


class Background:
    """Some rows to compare each sample with; without any, each sample's own baseline.

    Args:
        at: the samples.
        given: (R, ...) rows, one array an input, as `background_rows` gives them; or None.
        held: keep what has no gradient path as it is in the sample.
    """

    def __init__(self, at: Rows, given: Sequence[NDArray[Any]] | None, held: bool = False) -> None:
        self._at = at
        self._moves = at.smooth if held else [True] * len(at.x)
        self._rows: list[Tensor] | None = None
        self.size = 1
        if given is None:
            return
        self._rows = at.lifted([get_backend().constant(rows) for rows in given])
        self.size = len(given[0])

    def rows(self, k: Tensor) -> list[Tensor]:
        """Rows k (per,), to be set against each sample: (per, n or 1, ...) an input."""
        ops = keras.ops
        if self._rows is None:
            found = [ops.broadcast_to(b[None], (k.shape[0], *b.shape)) for b in self._at.baseline]
        else:
            found = [ops.take(rows, k, axis=0)[:, None] for rows in self._rows]
        return [r if moves else x[None] for r, x, moves in zip(found, self._at.x, self._moves, strict=True)]

    @functools.cached_property
    def score(self) -> Tensor:
        """(n,) the mean score of the rows for each sample's class."""
        if self._rows is None:
            return self._at.baseline_score if all(self._moves) else self._at.start_score
        return keras.ops.mean(self._at.tried(self.size, self.rows), axis=1)
