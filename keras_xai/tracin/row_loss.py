"""The compiled loss, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.protocol import Tensor
from keras_xai.errors import InvalidInput
from keras_xai.model.scores import ScoreFunction
from keras_xai.model.task import loss_name

_BY_LABELS = ("crossentropy", "ce")  # Keras chooses the cross-entropy that fits the labels


class RowLoss:
    """The loss of each row of a batch, as the model is compiled with it, before any weight of rows or outputs.

    Args:
        score_function: of the output that the loss belongs to.

    Raises:
        InvalidInput: the model has no loss for this output, or one that Keras does not know.
    """

    def __init__(self, score_function: ScoreFunction) -> None:
        loss = score_function.loss
        if loss is None:
            raise InvalidInput(
                "The model has no loss for this output: compile it with the loss that it is trained with (of several outputs, "
                "choose the one with output=)."
            )
        self.name = loss_name(loss)
        self._loss = loss if isinstance(loss, str) and loss.lower() in _BY_LABELS else _loss_of_keras(loss)

    @property
    def _plain_name(self) -> str:
        function = getattr(self._loss, "fn", self._loss)
        return (getattr(function, "__name__", None) or type(function).__name__).lower()

    def __call__(self, y: Tensor, outputs: Tensor) -> Tensor:
        """Return the losses (n,) of labels (n, ...) and outputs (n, K) or (n,), inside a program.

        A loss that gives one number for all rows is taken for their mean.

        Raises:
            InvalidInput: the loss gives neither one number nor one or more a row.
        """
        outputs = keras.ops.cast(outputs, "float32")
        y = self._as_taken(keras.ops.cast(y, "float32"), outputs)
        rows = outputs.shape[0]
        loss = self._of_labels(y, outputs) if isinstance(self._loss, str) else self._loss
        if isinstance(loss, keras.losses.Loss):
            losses = loss.call(y, outputs)
        else:
            losses = loss(*_of_same_rank(y, outputs))
        shape = tuple(losses.shape)
        if not shape:
            return keras.ops.broadcast_to(losses, (rows,))
        if shape[0] != rows:
            raise InvalidInput(
                f"The loss {self.name!r} gives shape {shape} for {rows} rows with labels {tuple(y.shape)} and outputs "
                f"{tuple(outputs.shape)}: one number a row is expected; give labels as `fit` gets them."
            )
        if len(shape) == 1:
            return losses
        losses = keras.ops.reshape(losses, (rows, -1))
        is_sum = getattr(loss, "reduction", "") == "sum"
        return keras.ops.sum(losses, axis=1) if is_sum else keras.ops.mean(losses, axis=1)

    def _as_taken(self, y: Tensor, outputs: Tensor) -> Tensor:
        """Return labels in the form that a categorical cross-entropy takes: a probe's may be integers or one-hot for either."""
        if "categorical" not in self._plain_name or len(outputs.shape) != 2:
            return y
        width, is_column = outputs.shape[1], len(y.shape) == 1 or y.shape[1:] == (1,)
        if "sparse" in self._plain_name:
            return keras.ops.cast(keras.ops.argmax(y, -1), "float32") if y.shape[1:] == (width,) and width > 1 else y
        if not is_column or width == 1:
            return y
        return keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), width)

    def _of_labels(self, y: Tensor, outputs: Tensor) -> Callable[..., Tensor]:
        if len(outputs.shape) == 1 or outputs.shape[-1] == 1:
            return keras.losses.binary_crossentropy
        is_one_hot = len(y.shape) == len(outputs.shape) and y.shape[-1] == outputs.shape[-1]
        return keras.losses.categorical_crossentropy if is_one_hot else keras.losses.sparse_categorical_crossentropy


def labels_of_loss(y: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Return labels as a loss takes them, float32.

    Raises:
        InvalidInput: text, or numbers that are not finite.
    """
    if y.dtype.kind not in "fiub":
        raise InvalidInput(f"{name} has dtype {y.dtype}: expected numbers, as the loss gets them in `fit`.")
    labels = y.astype(np.float32)
    if not np.isfinite(labels).all():
        raise InvalidInput(f"{name} of shape {y.shape} contains NaN or infinite values: they have no loss.")
    return labels


def _loss_of_keras(loss: Any) -> Any:
    try:
        return keras.losses.get(loss)
    except ValueError as error:
        raise InvalidInput(f"Keras has no loss {loss_name(loss)!r}: {error}") from error


def _of_same_rank(y: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels and outputs as Keras hands them to a plain function: a column (n, 1) and a row of numbers (n,) fit."""
    if len(outputs.shape) == len(y.shape) + 1 and outputs.shape[-1] == 1:
        return keras.ops.expand_dims(y, -1), outputs
    if len(y.shape) == len(outputs.shape) + 1 and y.shape[-1] == 1:
        return (y, keras.ops.expand_dims(outputs, -1)) if len(outputs.shape) == 1 else (y[..., 0], outputs)
    return y, outputs
