"""The one score of each row that is explained: which of the columns of its scores."""

from __future__ import annotations

from typing import ClassVar

from keras import ops

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor
from keras_xai.model.task import Task

LEAST_PROBABILITY = 1e-6  # in float32 1 − p is not finer
TINY = 1e-30
FAR = 1e9  # below every other logit


class TargetScore:
    """The one score of each row that is explained, which is linear in the row's scores.

    Of one unit that says class 1 or not, class 0 is explained by the negative logit, or by 1 − p where there is only a
    probability; −1 among the targets of labels or numbers is the sum of all columns.

    Args:
        task: what the scores say; None takes the target's column, or the only one.
        target: (n,) classes or columns, integers.
    """

    is_linear: ClassVar[bool] = True  # in the scores

    def __init__(self, task: Task | None, target: Tensor) -> None:
        self._task, self._target = task, target
        self._has_sign = task is not None and task.kind == "binary"
        self._is_probability = self._has_sign and task is not None and task.space == "probability"
        self._may_sum = task is not None and task.kind in ("labels", "numbers")

    def select(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, K) or (n,)."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            column = ops.reshape(scores, (-1,))
            signed = column * self._sign(column) if self._has_sign else column
            return signed + self._is_zero(column) if self._is_probability else signed
        if not self._may_sum:
            return get_backend().take_target(scores, self._target)
        column = get_backend().take_target(scores, ops.maximum(self._target, 0))
        return ops.where(self._target < 0, ops.sum(scores, 1), column)

    def rows(self, outputs: Tensor) -> Tensor:
        """(n, K) or (n,) the outputs of each row."""
        return outputs

    def weights(self, scores: Tensor) -> Tensor:
        """The derivative of the score with respect to scores (n, K) or (n,), in their shape."""
        if len(scores.shape) == 1 or scores.shape[-1] == 1:
            ones = ops.ones_like(scores)
            return ops.reshape(self._sign(ones), ops.shape(ones)) if self._has_sign else ones
        weights = ops.one_hot(self._target, scores.shape[-1], dtype=scores.dtype)  # of −1 all zeros
        return ops.where(self._target[:, None] < 0, ops.ones_like(weights), weights) if self._may_sum else weights

    def _sign(self, like: Tensor) -> Tensor:
        return 2 * ops.cast(self._target, like.dtype) - 1

    def _is_zero(self, like: Tensor) -> Tensor:
        return ops.cast(ops.equal(self._target, 0), like.dtype)


class MarginScore(TargetScore):
    """The margin of each row: how much more the model says for the row's own label than for anything else.

    | task | margin |
    |---|---|
    | binary | ±z, the sign that of the class |
    | classes | z of the true class − log Σ exp z of the others |
    | labels | Σ over labels of ±z, the sign that of the label |
    | number, numbers | the number itself, or the sum |

    Where there are only probabilities z is log p − log (1 − p), which for classes is the same margin.

    Args:
        task: what the scores say.
        target: (n,) true classes, or the column of a number, as `TargetScore` has it; of labels (n, K) of −1 and 1.
    """

    is_linear: ClassVar[bool] = False

    def select(self, scores: Tensor) -> Tensor:
        """(n,) of scores (n, K) or (n,)."""
        task = self._task
        assert task is not None
        scores = ops.cast(scores, "float32")
        if task.kind in ("number", "numbers"):
            return super().select(scores)
        if task.kind == "classes":
            return self._of_classes(scores, are_probabilities=task.space == "probability")
        if task.space == "probability":
            inside = ops.clip(scores, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            scores = ops.log(inside) - ops.log(1 - inside)
        if task.kind == "labels":
            return ops.sum(scores * ops.cast(self._target, scores.dtype), 1)
        column = ops.reshape(scores, (-1,))
        return column * self._sign(column)

    def _of_classes(self, scores: Tensor, *, are_probabilities: bool) -> Tensor:
        true = get_backend().take_target(scores, self._target)
        is_true = ops.one_hot(self._target, scores.shape[-1], dtype=scores.dtype)
        if not are_probabilities:
            return true - ops.logsumexp(scores - FAR * is_true, axis=1)
        # The others' sum and not 1 − p, of which float32 has nothing left where p is about 1.
        others = ops.sum(scores * (1 - is_true), 1)
        return ops.log(ops.maximum(true, TINY)) - ops.log(ops.maximum(others, TINY))
