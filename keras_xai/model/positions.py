"""The positions of a dense output (n, ..., K): how a tensor holds them, and what labels say at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend.protocol import Tensor
from keras_xai.errors import InvalidInput
from keras_xai.model.task import Task
from keras_xai.outputs.dense import Dense

NO_LABEL = -1  # at positions that do not count
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The way in which a tensor (n, ...) holds K columns at P positions.

    Attributes:
        shape: of one sample's output.
        positions: the sides of what the positions lie in: (H, W), (T,), (N,).
        columns: K.
        axis: of the columns in the tensor; None where there is no such axis, and one column.
    """

    shape: Shape
    positions: Shape
    columns: int
    axis: int | None

    @property
    def size(self) -> int:
        """The number of positions P."""
        return int(np.prod(self.positions))

    @classmethod
    def of(cls, shape: Sequence[int | None], inputs: Sequence[Shape], spec: Dense) -> Layout:
        """Return the layout of an output.

        Args:
            shape: (n, ...) of the tensor.
            inputs: (...) of a sample of each input, by which a map without an axis of classes is known.
            spec: that is explained of it.

        Raises:
            InvalidInput: a row of scores, in which there are no positions; a shape that is not known in advance.
        """
        sample = tuple(shape[1:])
        if not sample or any(side is None for side in sample):
            raise InvalidInput(
                f"The output has shape {tuple(shape)}: {spec.name} needs (B, ..., K) with all sides known."
            )
        sides: Shape = tuple(int(side or 0) for side in sample)
        if len(sides) == 1 or _is_map_of(sides, inputs, spec):
            if not _is_map_of(sides, inputs, spec):
                raise InvalidInput(
                    f"The output has shape {tuple(shape)}, one row of scores a sample: {spec.name} is for a score at every "
                    f"{spec.unit}. Leave output= out, or name another output."
                )
            return cls(sides, sides, 1, None)
        axis = spec.axis if spec.axis > 0 else len(sides) + 1 + spec.axis
        if not 0 < axis <= len(sides):
            raise InvalidInput(f"axis={spec.axis}: the output has shape {tuple(shape)}.")
        return cls(sides, (*sides[: axis - 1], *sides[axis:]), sides[axis - 1], axis)

    def flat_array(self, array: NDArray[Any]) -> NDArray[Any]:
        """(n, P, K) of an array (n, ...)."""
        last = array if self.axis is None else np.moveaxis(array, self.axis, -1)
        return last.reshape(len(array), self.size, self.columns)

    def flat(self, tensor: Tensor) -> Tensor:
        """(n, P, K) of a tensor (n, ...)."""
        if self.axis is not None and self.axis != len(self.shape):
            axes = range(len(self.shape) + 1)
            tensor = ops.transpose(tensor, [k for k in axes if k != self.axis] + [self.axis])
        return ops.reshape(tensor, (-1, self.size, self.columns))

    def unflat(self, tensor: Tensor) -> Tensor:
        """A tensor (n, P, K) in the form of the output."""
        if self.axis is None or self.axis == len(self.shape):
            return ops.reshape(tensor, (-1, *self.shape))
        tensor = ops.reshape(tensor, (-1, *self.positions, self.columns))
        last = len(self.shape)
        return ops.transpose(tensor, [*range(self.axis), last, *range(self.axis, last)])


def _is_map_of(sides: Shape, inputs: Sequence[Shape], spec: Dense) -> bool:
    """True for the sides of a map without an axis of classes: (H, W) of an image (H, W, C), (T,) of a series or tokens."""
    if spec.unit == "box":
        return False
    return any(
        sides == shape[: len(sides)] and len(shape) <= len(sides) + 1 and _is_whole(sides, shape) for shape in inputs
    )


def _is_whole(sides: Shape, shape: Shape) -> bool:
    """True where the sides are all positions of an input: one of tokens has no channels."""
    return len(shape) == len(sides) + 1 or len(sides) == 1


@dataclass(frozen=True, eq=False)
class PositionLabels:
    """Labels at every position.

    Attributes:
        classes: (B, P) integers, −1 where there is none; (B, P, K) of 0 and 1 or numbers, where each column has its own.
        counts: (B, P) True for positions that count.
    """

    classes: NDArray[Any]
    counts: NDArray[np.bool_]

    @property
    def by_column(self) -> bool:
        """True where each column has its own label."""
        return self.classes.ndim == 3


def flat_labels(y: NDArray[Any], layout: Layout, spec: Dense) -> NDArray[Any]:
    """(B, P) or (B, P, K) of labels (B, ...), in whatever order of axes they come.

    Raises:
        InvalidInput: labels that are not one a position.
    """
    size, sides = len(y), y.shape[1:]
    if sides == layout.positions or sides == (*layout.positions, 1):
        return y.reshape(size, layout.size)
    if sides == (1, *layout.positions):
        return y.reshape(size, layout.size)
    if layout.columns > 1 and sides == (*layout.positions, layout.columns):
        return y.reshape(size, layout.size, layout.columns)
    if layout.columns > 1 and sides == layout.shape and layout.axis is not None:
        return np.moveaxis(y, layout.axis, -1).reshape(size, layout.size, layout.columns)
    expected = "(" + ", ".join(["B", *map(str, layout.positions)]) + ")"
    one_hot = f", or with {layout.columns} columns" if layout.columns > 1 else ""
    raise InvalidInput(
        f"y has shape {y.shape}, the model's output {(size, *layout.shape)}: {spec.name} takes one label a {spec.unit}, "
        f"{expected}{one_hot}."
    )


def position_labels(
    y: NDArray[Any], layout: Layout, spec: Dense, task: Task, ignored: int | None, names: Sequence[str] | None
) -> PositionLabels:
    """Labels (B, ...) at each position, as the task reads them.

    Args:
        y: (B, ...) labels.
        layout: of the output.
        spec: that is explained of it.
        task: of each position.
        ignored: the label that the loss passes over, None without.
        names: of the classes.

    Raises:
        InvalidInput: another shape, classes that are no whole numbers or that the output does not have.
    """
    flat = flat_labels(y, layout, spec)
    if not task.classes:
        columns = flat if flat.ndim == 3 else flat[..., None]
        if columns.shape[-1] != layout.columns:
            raise InvalidInput(
                f"y has shape {y.shape}, the model's output {(len(y), *layout.shape)}: one number each is expected."
            )
        if task.kind == "labels":
            columns = (columns > 0).astype(np.int64)
        return PositionLabels(columns, np.ones(flat.shape[:2], bool))
    if flat.ndim == 3:
        counts: NDArray[np.bool_] = np.asarray((flat > 0).any(-1))  # a row of zeros is of no class
        return PositionLabels(np.where(counts, flat.argmax(-1), NO_LABEL).astype(np.int64), counts)
    rounded = np.round(flat.astype(np.float64))
    if flat.dtype.kind == "f" and not np.equal(flat, rounded).all():
        first = flat[flat != rounded].ravel()[0]
        raise InvalidInput(f"y holds {first}: a class at each {spec.unit} is a whole number, counted from 0.")
    classes = rounded.astype(np.int64)
    counts = counted(classes, spec, ignored)
    largest = classes[counts].max(initial=0)
    if largest >= task.classes:
        hint = "" if largest != 255 else " Pixels of 255 that do not count: ignore=255."
        raise InvalidInput(
            f"y holds the class {largest}, the model's output has {task.classes} classes (0 to {task.classes - 1}).{hint}"
        )
    if names is not None and largest >= len(names):
        raise InvalidInput(f"y holds the class {largest}, class_names has {len(names)} names.")
    return PositionLabels(np.where(counts, classes, NO_LABEL), counts)


def counted(classes: NDArray[Any], spec: Dense, ignored: int | None) -> NDArray[np.bool_]:
    """True at the positions whose label counts."""
    counts = classes >= 0
    for label in (spec.padding, ignored):
        if label is not None:
            counts &= classes != label
    return np.asarray(counts)
