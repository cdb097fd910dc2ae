"""The figures of each row of a batch, computed on the device from its labels and outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.recorder import NotCaptured, Tensor
from keras_xai.errors import InvalidInput
from keras_xai.model.task import loss_kind, loss_name
from keras_xai.row_records import RowTask
from keras_xai.tracin.row_loss import RowLoss


class TrainedLoss(NamedTuple):
    """The loss that the only output of a model is trained with."""

    loss: Any

    @classmethod
    def of(cls, model: keras.Model) -> TrainedLoss:
        """Return that of a compiled model.

        Raises:
            InvalidInput: it has none, or several.
        """
        loss = model.loss
        if isinstance(loss, dict):
            loss = list(loss.values())
        if isinstance(loss, (list, tuple)):
            if len(loss) != 1:
                raise InvalidInput(
                    f"TrainingRows: the model is trained with {len(loss)} losses; it follows models of one output and one loss."
                )
            loss = loss[0]
        outputs = getattr(model, "outputs", None)
        if outputs is not None and len(outputs) > 1:
            raise InvalidInput(f"TrainingRows: the model has {len(outputs)} outputs; it follows models of one.")
        if loss is None:
            raise InvalidInput(
                "TrainingRows: the model is compiled without a loss: nothing says what is right in a row."
            )
        return cls(loss)


class RowFigures:
    """Label, prediction, loss and probability of the label of each row: a `backend.row_watch.RowFunction`.

    Several labels a row: their label is NaN, the prediction the share that is right, the probability a mean over them.
    Numbers: the first of a row's labels, and its loss; the others are NaN.

    Args:
        model: compiled.

    Attributes:
        task: of the outputs; known once the figures of a batch were computed.
        classes: how many there are, 0 where that is not known.

    Raises:
        InvalidInput: the model is not trained with one loss of one output.
    """

    def __init__(self, model: keras.Model) -> None:
        trained = TrainedLoss.of(model)
        self._loss = trained.loss
        self._row_loss = RowLoss(trained)  # type: ignore[arg-type]  # of a score function it takes the loss alone
        self._kind = loss_kind(trained.loss)
        self.task: RowTask = "value"
        self.classes = 0

    def __call__(self, y: Any, y_pred: Any) -> Tensor:
        """Return (n, 4) float32, inside a program."""
        ops = keras.ops
        y, outputs = _only(y, "labels"), ops.cast(_only(y_pred, "outputs"), "float32")
        if y is None:
            raise NotCaptured("the training has no labels")
        if len(outputs.shape) == 1:
            outputs = ops.expand_dims(outputs, -1)
        if len(outputs.shape) != 2 or outputs.shape[1] is None:
            raise NotCaptured(f"the outputs have shape {tuple(outputs.shape)}: one score vector a row is expected")
        loss = ops.cast(self._row_loss(y, outputs), "float32")
        y = ops.cast(y, "float32")
        columns = self._columns(y, outputs, y.shape[1:])
        return ops.stack([columns[0], columns[1], loss, columns[2]], 1)

    def _columns(
        self, y: Tensor, outputs: Tensor, label_shape: tuple[int | None, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return label, prediction and probability (n) of labels (n, *label_shape) and outputs (n, K)."""
        width = outputs.shape[1]
        is_column = all(side == 1 for side in label_shape)
        if self._kind in ("binary", "hinge", "categorical") and width == 1 and is_column:
            return self._of_one_unit(keras.ops.reshape(y, (-1,)), outputs[:, 0])
        if self._kind in ("categorical", "categorical hinge") and (is_column or label_shape == (width,)):
            return self._of_classes(y, outputs, is_column)
        if self._kind in ("binary", "hinge") and label_shape == (width,):
            return self._of_labels(y, outputs)
        self.task, self.classes = "value", 0
        label = keras.ops.reshape(y, (-1,)) if is_column else keras.ops.full_like(outputs[:, 0], np.nan)
        unknown = keras.ops.full_like(label, np.nan)
        return label, unknown, unknown

    def _of_one_unit(self, y: Tensor, score: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ops = keras.ops
        self.task, self.classes = "class", 2
        label = ops.cast(y > (0.0 if self._kind == "hinge" else 0.5), "float32")
        if self._kind == "hinge":
            return label, ops.cast(score > 0, "float32"), ops.full_like(label, np.nan)
        p = ops.sigmoid(score) if self._from_logits else score
        return label, ops.cast(p > 0.5, "float32"), ops.where(label > 0, p, 1 - p)

    def _of_classes(self, y: Tensor, outputs: Tensor, is_column: bool) -> tuple[Tensor, Tensor, Tensor]:
        ops = keras.ops
        self.task, self.classes = "class", outputs.shape[1]
        label = ops.cast(ops.reshape(y, (-1,)), "int32") if is_column else ops.cast(ops.argmax(y, -1), "int32")
        prediction = ops.cast(ops.argmax(outputs, -1), "float32")
        if self._kind == "categorical hinge":
            return ops.cast(label, "float32"), prediction, ops.full_like(prediction, np.nan)
        p = ops.softmax(outputs) if self._from_logits else outputs / ops.sum(outputs, -1, keepdims=True)
        chosen = ops.sum(ops.one_hot(label, self.classes) * p, -1)  # which cannot fail at a label that is none
        return ops.cast(label, "float32"), prediction, chosen

    def _of_labels(self, y: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ops = keras.ops
        self.task, self.classes = "labels", 0
        is_true = y > (0.0 if self._kind == "hinge" else 0.5)
        p = ops.sigmoid(outputs) if self._from_logits or self._kind == "hinge" else outputs
        right = ops.mean(ops.cast((p > 0.5) == is_true, "float32"), -1)
        probability = ops.mean(ops.where(is_true, p, 1 - p), -1)
        label = ops.full_like(right, np.nan)
        return label, right, ops.full_like(right, np.nan) if self._kind == "hinge" else probability

    @property
    def _from_logits(self) -> bool:
        return getattr(self._loss, "from_logits", False) is True

    def host_labels(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Return labels (n, ...) as the figures have them, (n)."""
        values = np.asarray(y, np.float64).reshape(len(y), -1)
        if self.task == "labels":
            return np.full(len(y), np.nan)
        if self.task == "value":
            return values[:, 0] if values.shape[1] == 1 else np.full(len(y), np.nan)
        if values.shape[1] > 1:
            return values.argmax(1).astype(np.float64)
        if self.classes == 2 and self._kind in ("binary", "hinge"):
            return (values[:, 0] > (0.0 if self._kind == "hinge" else 0.5)).astype(np.float64)
        return values[:, 0]

    @property
    def name(self) -> str:
        """The loss, for a message."""
        return loss_name(self._loss)


def _only(value: Any, what: str) -> Any:
    """Return the tensor in a structure of one."""
    leaves = keras.tree.flatten(value)
    if len(leaves) != 1:
        raise NotCaptured(f"there are {len(leaves)} {what}: one is expected")
    return leaves[0]
