"""The task of an output: classes, labels or numbers. Decided once, by its head, its loss and the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.records import Link, Space, TaskKind

LossKind = Literal["binary", "categorical", "hinge", "categorical hinge", "regression", "unknown", "none"]

# The kind of output that losses are for, by the names of Keras' functions and classes, in small letters without underscores.
_NAMES: dict[LossKind, tuple[str, ...]] = {
    "binary": ("bce", "binarycrossentropy", "binaryfocalcrossentropy", "dice", "tversky"),
    "categorical": (
        "categoricalcrossentropy",
        "categoricalfocalcrossentropy",
        "categoricalgeneralizedcrossentropy",
        "ctc",
        "kld",
        "kldivergence",
        "kullbackleiblerdivergence",
        "sparsecategoricalcrossentropy",
    ),
    "hinge": ("hinge", "squaredhinge"),
    "categorical hinge": ("categoricalhinge",),
    "regression": (
        "cosinesimilarity",
        "huber",
        "logcosh",
        "mae",
        "mape",
        "meanabsoluteerror",
        "meanabsolutepercentageerror",
        "meansquarederror",
        "meansquaredlogarithmicerror",
        "mse",
        "msle",
        "poisson",
    ),
}
_LOSSES = {name: kind for kind, names in _NAMES.items() for name in names}


@dataclass(frozen=True)
class Task:
    """The meaning of an output of K columns.

    Attributes:
        kind: "binary" (one column, class 1 or not), "classes" (one of K), "labels" (each of K, yes or no), "number" (one
            column) or "numbers".
        width: K.
        space: of the scores that are explained.
        outputs: the space of the outputs: "probability", "logit" or "raw".
        link: what makes probabilities of logits, "" where nothing does.
        remark: what a user should know of the decision, "" where there is nothing.
    """

    kind: TaskKind
    width: int
    space: Space
    outputs: Space
    link: Link = ""
    remark: str = ""

    @property
    def classes(self) -> int:
        """The number of classes, 0 for labels and numbers."""
        return {"binary": 2, "classes": self.width}.get(self.kind, 0)

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """(B) the class that outputs (B, K) choose; (B, K) of 0 and 1 for labels; the numbers, (B) or (B, K)."""
        outputs = outputs.reshape(len(outputs), -1)
        if self.kind == "classes":
            return outputs.argmax(1).astype(np.int64)
        if self.kind in ("binary", "labels"):
            threshold = 0.5 if self.outputs == "probability" else 0.0
            columns = (outputs > threshold).astype(np.int64)
            return columns[:, 0] if self.kind == "binary" else columns
        return outputs[:, 0] if self.kind == "number" else outputs

    def explained(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """(B) the column or class to explain where nobody says which: the one that the model chooses.

        Raises:
            InvalidInput: of several numbers none is chosen.
        """
        if self.kind == "numbers":
            raise none_chosen(self, None)
        outputs = outputs.reshape(len(outputs), -1)
        if self.kind == "labels":
            return outputs.argmax(1).astype(np.int64)
        if self.kind == "number":
            return np.zeros(len(outputs), np.int64)
        return np.asarray(self.predictions(outputs), np.int64)


def decide(head: Link, outputs: NDArray[Any], loss: Any, y: NDArray[Any] | None, named: bool) -> Task:
    """Decide what an output says.

    Args:
        head: the function in the model that made it, "" where none is found.
        outputs: (B, K) of some samples, or (B,).
        loss: that it is trained with, as `compile` has it; None without.
        y: (B, ...) labels, or None.
        named: whether its classes have names.

    Raises:
        InvalidInput: the labels can be read in two ways, and nothing says which.
    """
    outputs = outputs.reshape(len(outputs), -1)
    width, kind = outputs.shape[1], loss_kind(loss)
    if width == 1:
        return _of_one_column(head, kind, loss, y, named)
    return _of_columns(head, kind, loss, outputs, y, named)


def _of_one_column(head: Link, kind: LossKind, loss: Any, y: NDArray[Any] | None, named: bool) -> Task:
    number = Task("number", 1, "raw", "raw")
    if head == "sigmoid":
        measured = kind == "regression" and y is not None and not _are_binary(y)
        return number if measured else Task("binary", 1, "logit", "probability", "sigmoid")
    if kind in ("binary", "hinge"):
        return _by_loss("binary", 1, kind, loss, "sigmoid")
    if kind != "unknown" or y is None or y.dtype.kind == "f":
        return number
    if named or y.dtype.kind == "b":
        return Task("binary", 1, "logit", "logit", "sigmoid")
    if _are_binary(y) or _are_signs(y):
        values = " and ".join(map(str, np.unique(y)))
        raise InvalidInput(
            f"y holds the integers {values}, and the loss {loss_name(loss)!r} of one output does not say whether they are two"
            f" classes or numbers: give class_names= for classes (class 0 is then explained by the output's negative), or y as"
            f" floats for numbers."
        )
    return number


def _of_columns(
    head: Link, kind: LossKind, loss: Any, outputs: NDArray[Any], y: NDArray[Any] | None, named: bool
) -> Task:
    width = outputs.shape[1]
    one_each = y is not None and y.size == len(y) and (y.dtype.kind in "biu" or named)
    if head == "softmax":
        return Task("classes", width, "logit", "probability", "softmax")
    if head == "sigmoid":
        if kind == "regression" and not one_each and (y is None or not _are_binary(y)):
            return Task("numbers", width, "raw", "raw")
        return Task("classes" if one_each else "labels", width, "logit", "probability", "sigmoid")
    if kind in ("categorical", "categorical hinge"):
        return _by_loss("classes", width, kind, loss, "softmax")
    if kind in ("binary", "hinge"):
        return _by_loss("classes" if one_each else "labels", width, kind, loss, "sigmoid")
    if kind == "regression":
        return Task("numbers", width, "raw", "raw")
    inside = bool(((outputs >= -1e-6) & (outputs <= 1 + 1e-6)).all())
    space: Space = "probability" if inside else "logit"
    classes, numbers = Task("classes", width, space, space, "softmax"), Task("numbers", width, "raw", "raw")
    if kind == "none":
        columns = y is not None and y.shape[1:] == (width,) and y.dtype.kind == "f" and not np.isin(y, (0, 1)).all()
        if columns:
            return numbers
        read = "probabilities" if inside else "logits"
        remark = (
            f"Nothing says what the {width} outputs are, the model has no loss for them: read as {read} of classes."
        )
        return dataclasses.replace(classes, remark=remark)
    sums_to_one = inside and bool(np.allclose(outputs.sum(1), 1, atol=1e-3))
    if y is None:
        return classes if sums_to_one else numbers
    if one_each or (y.shape[1:] == (width,) and _are_one_hot(y)):
        return classes
    multiple = y.shape[1:] == (width,) and bool(np.isin(y, (0, 1)).all())
    return Task("labels", width, space, space, "sigmoid") if multiple else numbers


def _by_loss(kind: TaskKind, width: int, loss: LossKind, trained_with: Any, link: Link) -> Task:
    """Of a head that only its loss explains: logits, or probabilities that nothing in the graph makes, or a margin."""
    if "hinge" in loss:
        return Task(kind, width, "logit", "logit")  # margins: no function makes probabilities of them
    space: Space = "logit" if getattr(trained_with, "from_logits", False) is True else "probability"
    return Task(kind, width, space, space, link)


def loss_kind(loss: Any) -> LossKind:
    """The kind of output that a loss is for: by its class or function, or by one that it comes down from."""
    if loss is None:
        return "none"
    if isinstance(loss, str):
        names = [loss]
    elif isinstance(loss, keras.losses.Loss):
        names = [cls.__name__ for cls in type(loss).__mro__]
        names += [getattr(getattr(loss, "fn", None), "__name__", "")]
    else:
        names = [getattr(loss, "__name__", "")]
    plain = [_plain(name) for name in names]
    exact = [_LOSSES[name] for name in plain if name in _LOSSES]
    # A user's own "weighted_binary_crossentropy".
    within = [kind for name in plain for word, kind in _LOSSES.items() if len(word) > 4 and word in name]
    crossed: list[LossKind] = ["categorical" for name in plain if "crossentropy" in name]
    return [*exact, *within, *crossed, "unknown"][0]


def loss_name(loss: Any) -> str:
    """A loss for a message."""
    return loss if isinstance(loss, str) else str(getattr(loss, "name", None) or getattr(loss, "__name__", loss))


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


# Labels.


def true_classes(
    y: NDArray[Any], task: Task, names: Sequence[str] | None, output: Any = None
) -> NDArray[np.int64] | None:
    """(B) the true classes behind labels, None where the task has none.

    Raises:
        InvalidInput: labels that do not fit; where `output` is the user's own function, which may give something else than
            they are about, there is then no true class.
    """
    if not task.classes:
        return None
    try:
        return classes_of(y, task, names)
    except InvalidInput:
        if callable(output):
            return None
        raise


def classes_of(y: NDArray[Any], task: Task, names: Sequence[str] | None = None) -> NDArray[np.int64]:
    """(B) the true classes behind labels of a task that has classes: integers, floats that are whole, one-hot rows, columns
    (B, 1), the signs −1 and +1 of a hinge loss.

    Raises:
        InvalidInput: labels that do not fit, with what they hold.
    """
    what = f"y has shape {y.shape} and dtype {y.dtype}"
    if y.ndim == 2 and y.shape[1] == task.width > 1:
        return _rows_as_classes(y, what)
    if y.size != len(y):
        raise InvalidInput(f"{what}: one class a sample is expected, or rows of {task.width} columns.")
    values = y.reshape(-1)
    whole = np.round(values.astype(np.float64))
    if not np.equal(values, whole).all():
        first = values[np.flatnonzero(values != whole)[0]]
        raise InvalidInput(f"{what} and holds {first}: classes are whole numbers, counted from 0.")
    classes: NDArray[np.int64] = whole.astype(np.int64)
    if task.kind == "binary" and not task.link and _are_signs(classes):
        return (classes > 0).astype(np.int64)
    if classes.min() < 0:
        raise InvalidInput(
            f"y holds the class {classes.min()}: classes count from 0. The signs −1 and +1 are what hinge losses take; for a"
            f" number that may be negative the model is trained with a loss of numbers, as mse."
        )
    if classes.max() >= task.classes:
        raise InvalidInput(
            f"y holds the class {classes.max()}, the model's output has {task.classes} classes (0 to {task.classes - 1})."
        )
    if names is not None and classes.max() >= len(names):
        raise InvalidInput(f"y holds the class {classes.max()}, class_names has {len(names)} names.")
    return classes


def columns_of(y: NDArray[Any], task: Task) -> NDArray[Any]:
    """The truth of labels (B, K) of 0 and 1, or of numbers (B) or (B, K).

    Raises:
        InvalidInput: another number of columns.
    """
    if y.size != len(y) * task.width:
        raise InvalidInput(f"y has shape {y.shape}, the model's output has {task.width} columns: one number each.")
    columns = y.reshape(len(y), task.width)
    if task.kind == "labels":
        return (columns > 0).astype(np.int64) if _are_signs(columns) else columns
    return columns if task.width > 1 else columns[:, 0]


def _rows_as_classes(y: NDArray[Any], what: str) -> NDArray[np.int64]:
    """One-hot rows, or the weights of a soft label: the class that has most."""
    if (y < 0).any():
        raise InvalidInput(
            f"{what} and holds {y.min()}: rows of one class each are expected, one-hot or probabilities."
        )
    return y.argmax(1).astype(np.int64)


def _are_binary(y: NDArray[Any]) -> bool:
    return bool(np.isin(y, (0, 1)).all())


def _are_signs(y: NDArray[Any]) -> bool:
    """−1 and +1, both or −1 alone: 1 alone may be a class."""
    return bool(np.isin(y, (-1, 1)).all() and (np.asarray(y) == -1).any())


def _are_one_hot(y: NDArray[Any]) -> bool:
    return bool(np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all())


# Targets.


def resolve_target(
    target: Any, task: Task, size: int, true: NDArray[np.int64] | None, names: Sequence[str] | None
) -> NDArray[np.int64] | None:
    """(B) the column or class to explain: as given, else the true one; None where the model's choice is taken.

    Args:
        target: one integer or name, (B) integers, "sum" of the columns (−1 for each sample), or None.
        task: what the output says.
        size: B.
        true: (B) true classes, None without.
        names: of the classes or columns.

    Raises:
        InvalidInput: a target that the output does not have; none for several numbers.
    """
    if target is None:
        if task.kind == "numbers":
            raise none_chosen(task, names)
        return np.zeros(size, np.int64) if task.kind == "number" else true
    if isinstance(target, str):
        return np.full(size, _named_target(target, task, names), np.int64)
    columns = np.asarray(target)
    if not np.issubdtype(columns.dtype, np.integer) or columns.shape not in ((), (size,)):
        raise InvalidInput(
            f"target has shape {columns.shape} and dtype {columns.dtype}: expected one integer, or one for each of the "
            f"{size} samples."
        )
    count = task.classes or task.width
    outside = columns[(columns < 0) | (columns >= count)]
    if outside.size:
        noun, plural = ("class", "classes") if task.classes else ("column", "columns")
        raise InvalidInput(f"target holds the {noun} {outside[0]}, the output has {count} {plural} (0 to {count - 1}).")
    return np.broadcast_to(columns, (size,)).astype(np.int64)


def none_chosen(task: Task, names: Sequence[str] | None) -> InvalidInput:
    """The error where none of several numbers is chosen."""
    listed = ", ".join(names) if names and len(names) == task.width else f"0 to {task.width - 1}"
    return InvalidInput(
        f"The model gives {task.width} numbers, and none of them is chosen: say which one is to be explained with target="
        f' ({listed}), or target="sum", or output= a callable(model, x) that returns the one.'
    )


SUM = -1  # the target that stands for the sum of all columns


def _named_target(target: str, task: Task, names: Sequence[str] | None) -> int:
    if names and target in names:
        return list(names).index(target)
    if target == "sum" and task.kind in ("labels", "numbers"):
        return SUM
    if names:
        expected = f"one of {', '.join(names)}"
    else:
        expected = f"a number from 0 to {(task.classes or task.width) - 1}"
    if task.kind in ("labels", "numbers"):
        expected += ', or "sum"'
    raise InvalidInput(f"target={target!r}: expected {expected}.")
