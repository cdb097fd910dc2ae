"""Rows that stand for absence: a distribution where a baseline is one point."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.perturbation import score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors


class Background:
    """Some rows to compare each sample with; without any, each sample's own baseline.

    Args:
        batch: the samples.
        arrays: (R, ...) rows, one array an input, as `background_rows` gives them; or None.
        holds_fixed: keep inputs without a gradient path as they are in the sample.
    """

    def __init__(self, batch: Batch, arrays: Sequence[NDArray[Any]] | None, holds_fixed: bool = False) -> None:
        self._batch = batch
        self._moves = batch.differentiable if holds_fixed else [True] * len(batch.x)
        self._rows: Tensors | None = None
        self.size = 1
        if arrays is not None:
            self._rows = batch.embed([get_backend().constant(array) for array in arrays])
            self.size = len(arrays[0])

    def rows(self, k: Tensor) -> Tensors:
        """Rows k (per,), to be set against each sample: (per, n or 1, ...) an input."""
        ops = keras.ops
        if self._rows is None:
            rows = [ops.broadcast_to(b[None], (k.shape[0], *b.shape)) for b in self._batch.baseline]
        else:
            rows = [ops.take(every, k, axis=0)[:, None] for every in self._rows]
        return [r if moves else x[None] for r, x, moves in zip(rows, self._batch.x, self._moves, strict=True)]

    @functools.cached_property
    def score(self) -> Tensor:
        """(n,) the mean score of the rows for each sample's class."""
        if self._rows is None:
            return self._batch.baseline_score if all(self._moves) else self._batch.path_start_score
        return keras.ops.mean(score_variants(self._batch, self.size, self.rows), axis=1)
