"""`Dense`: what is explained of an output that says something at many positions, as pixels, steps or boxes."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.outputs.spec import OutputSpec

Unit = Literal["pixel", "token", "box"]
BEST = "best"  # the position at which the model is most sure of the class


@dataclass(frozen=True, eq=False, repr=False)
class Dense(OutputSpec):
    """One score a sample, made of an output (B, ..., K): the mean, over a region of positions, of the score of one class.

    Made by `segmentation`, `tagging`, `next_token` and `detection`, which say what each field is by default.

    Attributes:
        name: of the function that makes it.
        unit: a position, as a word.
        target: the class or column: an integer, a name, or (B,) integers; None chooses one for each sample.
        over: the region: "label", "predicted", or a mask; None the first of these that there is.
        position: one position in the place of a region: a number, (B,) numbers, "best", or the coordinates of a box.
        background: the class that is not chosen where another one is there.
        padding: the label, or token of the input, at positions that do not count.
        axis: of the classes.
        output: see `OutputSpec`.
        columns: of the last axis, where the classes share it with something else.
        boxes: the output that holds the coordinates of boxes.
        has_labels: labels, where there are some, are one a position.
        arguments: what was given, as text, for its own text.
    """

    name: str
    unit: Unit
    target: Any = None
    over: str | NDArray[np.bool_] | None = None
    position: Any = None
    background: int | None = None
    padding: int | None = None
    axis: int = -1
    output: str | int | None = None
    columns: slice | None = None
    boxes: str | int | slice | None = None
    has_labels: bool = True
    arguments: str = ""

    def __str__(self) -> str:
        return f"{self.name}({self.arguments})"

    __repr__ = __str__

    def of_rows(self, rows: NDArray[np.int64], axes: int) -> Dense:
        """Return the same description for some of the samples.

        Args:
            rows: their numbers.
            axes: of the positions: 2 for an image, 3 for a volume, else 1.
        """
        fields: dict[str, Any] = {}
        if isinstance(self.over, np.ndarray) and self.over.ndim == axes + 1:
            fields["over"] = self.over[rows]
        for name in ("target", "position"):
            value = getattr(self, name)
            by_row = isinstance(value, np.ndarray) and (value.ndim == 2 or value.dtype.kind == "i")
            if by_row:
                fields[name] = value[rows]
        return dataclasses.replace(self, **fields) if fields else self


def arguments_text(**arguments: tuple[Any, Any]) -> str:
    """Return arguments as a call has them, those alone that differ from their defaults.

    Args:
        **arguments: by name the value and its default.

    Example:
        >>> arguments_text(target=(1, None), over=(None, None))
        'target=1'
    """
    parts = []
    for name, (value, default) in arguments.items():
        if isinstance(value, np.ndarray) and value.ndim:
            digest = hashlib.sha256(
                repr((value.shape, str(value.dtype))).encode() + np.ascontiguousarray(value).tobytes()
            )
            parts.append(f"{name}=<{value.dtype} {value.shape} {digest.hexdigest()[:12]}>")
        elif isinstance(value, np.ndarray) or value != default:
            parts.append(f"{name}={value!r}" if not isinstance(value, np.generic) else f"{name}={value.item()!r}")
    return ", ".join(parts)


def check_class(name: str, target: Any) -> Any:
    """Return a class: an integer or a name, or (B,) integers as an array.

    Raises:
        InvalidInput: anything else.
    """
    if target is None or isinstance(target, str):
        return target
    numbers = as_array(target, name, advice="one class is expected, or one for each sample.")
    if isinstance(target, bool) or numbers.dtype.kind not in "iu" or numbers.ndim > 1:
        raise InvalidInput(
            f"{name}={target!r}: expected a class as an integer or by its name, or (B,) integers, one for each sample."
        )
    if numbers.size and numbers.min() < 0:
        raise InvalidInput(f"{name}={target!r}: classes count from 0.")
    return int(numbers) if numbers.ndim == 0 else numbers.astype(np.int64)


def check_over(over: Any, shapes: str) -> str | NDArray[np.bool_] | None:
    """Return a region: "label", "predicted", None, or a mask as truth values.

    Args:
        over: as the user gave it.
        shapes: of masks, for the error message.

    Raises:
        InvalidInput: anything else, or a mask of which nothing is true.
    """
    if over is None or (isinstance(over, str) and over in ("label", "predicted")):
        return over
    if isinstance(over, str):
        raise InvalidInput(f"over={over!r}: expected 'label', 'predicted' or a mask {shapes}.")
    mask = as_array(over, "over", advice=f"one mask is expected, {shapes}.")
    if mask.ndim == 0 or not (mask.dtype == bool or np.isin(mask, (0, 1)).all()):
        raise InvalidInput(
            f"over has shape {mask.shape} and dtype {mask.dtype}: expected 'label', 'predicted' or a mask {shapes} of truth "
            f"values."
        )
    if not mask.any():
        raise InvalidInput(f"over is a mask of shape {mask.shape} of which nothing is true: there is no region.")
    return mask.astype(bool)


def check_number(name: str, value: Any, *, expected: str) -> int | None:
    """Return an integer, or None.

    Raises:
        InvalidInput: anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidInput(f"{name}={value!r}: expected {expected}, or None.")
    return int(value)


def check_output(output: Any) -> str | int | None:
    """Return the name or number of an output, or None.

    Raises:
        InvalidInput: anything else.
    """
    if output is None or isinstance(output, str) or (isinstance(output, int) and not isinstance(output, bool)):
        return output
    raise InvalidInput(f"output={output!r}: expected the name or the number of one of the model's outputs.")


def check_axis(axis: Any) -> int:
    """Return the axis of the classes, which is not that of the samples.

    Raises:
        InvalidInput: anything else.
    """
    number = check_number("axis", axis, expected="the axis of the classes, -1 for the last")
    if not number:
        raise InvalidInput(
            f"axis={axis!r}: expected the axis of the classes, -1 for the last; 0 is that of the samples."
        )
    return number
