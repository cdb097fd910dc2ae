"""Picks of a model's scores the one that is explained, inside the graph."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_xai.attribution.task import Task
from keras_xai.backend import get_backend

Tensor = Any


class Explained:
    """The one score of each row that is explained, which is linear in the row's scores.

    Of one unit that says class 1 or not, class 0 is explained by the negative logit, or by 1 − p where there is only a
    probability; −1 among the targets of labels or numbers is the sum of all columns.

    Args:
        task: what the scores say; None takes the target's column, or the only one.
        target: (n,) classes or columns, integers.
    """

    def __init__(self, task: Task | None, target: Tensor) -> None:
        self._target = target
        self._signed = task is not None and task.kind == "binary"
        self._offset = self._signed and task is not None and task.space == "probability"
        self._sums = task is not None and task.kind in ("labels", "numbers")

    def score(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, K) or (n,)."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            column = ops.reshape(scores, (-1,))
            signed = column * self._sign(column) if self._signed else column
            return signed + self._is_zero(column) if self._offset else signed
        if not self._sums:
            return get_backend().take_target(scores, self._target)
        column = get_backend().take_target(scores, ops.maximum(self._target, 0))
        return ops.where(self._target < 0, ops.sum(scores, 1), column)

    def weights(self, scores: Tensor) -> Tensor:
        """The derivative of the score with respect to scores (n, K) or (n,), in their shape."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            ones = ops.ones_like(scores)
            return ops.reshape(self._sign(ones), ops.shape(ones)) if self._signed else ones
        weights = ops.one_hot(self._target, scores.shape[-1], dtype=scores.dtype)  # of −1 all zeros
        return ops.where(self._target[:, None] < 0, ops.ones_like(weights), weights) if self._sums else weights

    def _sign(self, like: Tensor) -> Tensor:
        return 2 * ops.cast(self._target, like.dtype) - 1

    def _is_zero(self, like: Tensor) -> Tensor:
        return ops.cast(ops.equal(self._target, 0), like.dtype)
