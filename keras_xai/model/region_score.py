"""The one score of each row of a dense output: the mean over a region of its positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend.protocol import Tensor
from keras_xai.model.positions import Layout, Shape
from keras_xai.model.target_score import TargetScore
from keras_xai.model.task import Task
from keras_xai.outputs.dense import Dense

BITS = 16  # of a region, in each integer that is fed


def encode(
    target: NDArray[np.integer], region: NDArray[np.bool_], signs: NDArray[np.integer] | None = None
) -> NDArray[np.int64]:
    """(B, ...) classes (B,) and regions (B, P) as one array of integers, which goes with the rows wherever these go.

    Args:
        target: (B,) classes or columns.
        region: (B, P) True inside.
        signs: (B, K) of −1 and 1, where the score is of several labels.
    """
    size, positions = region.shape
    bits = np.zeros((size, words_of(positions) * BITS), np.int64)
    bits[:, :positions] = region
    words = bits.reshape(size, -1, BITS) @ (1 << np.arange(BITS, dtype=np.int64))
    parts = [np.asarray(target, np.int64).reshape(size, 1), words]
    if signs is not None:
        parts.append(np.asarray(signs, np.int64))
    return np.concatenate(parts, 1)


def words_of(positions: int) -> int:
    """The integers that hold a region of so many positions."""
    return -(-positions // BITS)


class RegionScore(TargetScore):
    """The score of each row: that of its class, as of a row of scores, at each position, and the mean over its region.

    Args:
        task: what the scores say at a position.
        target: (n, ...) classes and regions, see `encode`.
        inputs: (...) of a sample of each input.
        spec: that is explained.
        score_type: of the score at a position.
    """

    def __init__(
        self, task: Task | None, target: Tensor, inputs: Sequence[Shape], spec: Dense, score_type: type[TargetScore]
    ) -> None:
        super().__init__(task, target[:, 0])
        self._encoded, self._inputs, self._spec, self._score_type = target, inputs, spec, score_type

    def select(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, ..., K)."""
        layout = self._layout(scores)
        if self._score_type.is_linear:
            return super().select(self.rows(scores))
        flat = layout.flat(ops.cast(scores, "float32"))
        target = self._target_of_position(layout)
        repeated = ops.repeat(target, layout.size, axis=0)
        positions = self._score_type(self._task, repeated).select(ops.reshape(flat, (-1, layout.columns)))
        region = self._region(layout)
        inside = ops.where(region > 0, ops.reshape(positions, (-1, layout.size)), 0.0)
        return ops.sum(inside, 1) / ops.sum(region, 1)

    def weights(self, scores: Tensor) -> Tensor:
        """The derivative of the score with respect to scores (n, ..., K), in their shape."""
        layout = self._layout(scores)
        of_rows = super().weights(self.rows(scores))
        spread = self._mean_weights(layout)[:, :, None] * ops.cast(of_rows, "float32")[:, None, :]
        return ops.cast(layout.unflat(spread), scores.dtype)

    def rows(self, outputs: Tensor) -> Tensor:
        """(n, K) the means of outputs (n, ..., K) over the regions, float32."""
        layout = self._layout(outputs)
        flat = layout.flat(ops.cast(outputs, "float32"))
        # Nothing of what lies outside: zero times an infinite logit is no number.
        inside = ops.where(self._region(layout)[:, :, None] > 0, flat, 0.0)
        return ops.matmul(self._mean_weights(layout)[:, None, :], inside)[:, 0]

    def _layout(self, tensor: Tensor) -> Layout:
        return Layout.of(tuple(tensor.shape), self._inputs, self._spec)

    def _region(self, layout: Layout) -> Tensor:
        """(n, P) 1 inside, 0 outside."""
        words = self._encoded[:, 1 : 1 + words_of(layout.size)]
        powers = (1 << np.arange(BITS)).astype(np.int32)
        bits = ops.mod(ops.floor_divide(words[:, :, None], powers), 2)
        return ops.cast(ops.reshape(bits, (-1, words_of(layout.size) * BITS))[:, : layout.size], "float32")

    def _mean_weights(self, layout: Layout) -> Tensor:
        region = self._region(layout)
        return region / ops.sum(region, 1, keepdims=True)

    def _target_of_position(self, layout: Layout) -> Tensor:
        """(n,) classes, or (n, K) the signs of several labels."""
        signs = self._encoded[:, 1 + words_of(layout.size) :]
        return signs if signs.shape[1] else self._encoded[:, 0]
