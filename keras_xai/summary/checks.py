"""Checks of values from a file: each returns the value, or raises `Unreadable` with what was expected and what was found.

`codec` checks everything that is read, so that the records it returns need no further checks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
W = TypeVar("W", bound=str)

# Values are below these limits.
MAX_EPOCH = 10**9
MAX_COUNT = 2**53  # of entries: floats and browsers cannot count further
MAX_SIDE = 2**32  # of an array, as maps write it
MAX_RANK = 8  # number of sides of an array, this one included
_MAX_TEXT = 60  # characters of a value in a message

Shape = tuple[int | None, ...]  # None is any length


class Unreadable(ValueError):
    """Bytes that are not what this version writes: foreign, newer, damaged or forged."""


def parsed(content: bytes | str) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of thousands of digits, too deep
        raise Unreadable(f"expected a JSON object: {error}") from error
    return members(value)


def members(value: Any) -> dict[str, Any]:
    """Return a JSON object as a dict whose keys are text that can be written."""
    if not isinstance(value, dict):
        raise _unfit("a JSON object", value)
    for name in value:
        text(name)
    return value


def several(value: Any, check: Callable[[Any], T], count: int | None = None) -> tuple[T, ...]:
    """Return a JSON list as a tuple, every entry checked by `check`; of `count` entries where that is given."""
    if not isinstance(value, list) or count not in (None, len(value)):
        raise _unfit("a list" if count is None else f"a list of {count}", value)
    return tuple(check(entry) for entry in value)


def text(value: Any) -> str:
    """Return text that can be encoded: without half of a surrogate pair."""
    if not isinstance(value, str):
        raise _unfit("text", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _unfit("text without half characters", value) from error
    return value


def word(value: Any, words: Sequence[W]) -> W:
    """Return a value that must be one of `words`."""
    if not isinstance(value, str) or value not in words:
        raise _unfit(f"one of {', '.join(words)}", value)
    return words[words.index(value)]


def flag(value: Any) -> bool:
    """Return a value that must be true or false."""
    if not isinstance(value, bool):
        raise _unfit("true or false", value)
    return value


def whole(value: Any, low: int = 0, high: int = MAX_COUNT) -> int:
    """Return a whole number of `low` or more, under `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
        raise _unfit(f"a whole number from {low} and under {high}", value)
    return value


def epoch(step: Any) -> int:
    """Return the number of an epoch."""
    return whole(step, 0, MAX_EPOCH)


def number(value: Any) -> float:
    """Return a float as JSON takes it: null is NaN, an infinity is a text."""
    if value is None:
        return math.nan
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unfit("a number", value)
    try:
        return float(value)
    except OverflowError as error:
        raise _unfit("a number that a float can hold", value) from error


def amount(value: Any, high: float = math.inf) -> float:
    """Return a finite number of 0 or more, under `high`."""
    size = number(value)
    if not 0 <= size < high:
        raise _unfit(f"a finite number from 0{'' if high == math.inf else f' and under {high:g}'}", value)
    return size


def numbers(value: Any) -> dict[str, float]:
    """Return named numbers."""
    return {name: number(entry) for name, entry in members(value).items()}


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Return names that must all differ."""
    names = tuple(names)
    if len(set(names)) < len(names):
        raise Unreadable(f"expected {len(names)} names that differ, got {_short_text(names)}")
    return names


def entry(mapping: Mapping[str, Any], name: str) -> Any:
    """Return the value under a name that must be there."""
    if name not in mapping:
        raise Unreadable(f"{name!r} is missing")
    return mapping[name]


# Arrays.


def sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an array that can be allocated.

    A side of 0 counts as 1: an array without entries takes no memory, but its other sides must be possible as well.
    """
    are_possible = len(shape) <= MAX_RANK and all(0 <= side < MAX_SIDE for side in shape)
    if not are_possible or math.prod(max(1, side) for side in shape) >= MAX_COUNT:
        raise Unreadable(f"expected the shape of an array, got sides of {', '.join(map(str, shape[:MAX_RANK]))}")
    return shape


def floats(array: Any, shape: Shape) -> NDArray[Any]:
    """Return floats of a shape, NaN and infinities among them."""
    return _array(array, shape, "f", "floats")


def numeric(array: Any, shape: Shape) -> NDArray[Any]:
    """Return numbers of a shape, of any type."""
    return _array(array, shape, "fiu", "numbers")


def finite(array: Any, shape: Shape) -> NDArray[Any]:
    """Return floats of a shape, each finite."""
    values = floats(array, shape)
    if not np.isfinite(values).all():
        raise Unreadable(f"expected finite numbers of shape {_shape_text(shape)}")
    return values


def shares(array: Any, shape: Shape, high: float = 1.0) -> NDArray[Any]:
    """Return floats from 0 to `high`, or NaN."""
    values = floats(array, shape)
    within = (values >= -1e-3) & (values <= high + 1e-3)
    if not (within.all() or (within | np.isnan(values)).all()):
        raise Unreadable(f"expected numbers from 0 to {high:g} of shape {_shape_text(shape)}")
    return values


def wholes(array: Any, shape: Shape, low: int, high: int) -> NDArray[np.int64]:
    """Return whole numbers of `low` or more, under `high`, as int64; the file may hold them in any numeric dtype."""
    values = numeric(array, shape)
    if values.size:
        if values.dtype.kind == "f" and not (values == np.rint(values)).all():  # NaN is not itself
            raise Unreadable(f"expected whole numbers of shape {_shape_text(shape)}")
        if not (values.min() >= low and values.max() < high):
            actual = f"{values.min():g} to {values.max():g}"
            raise Unreadable(f"expected whole numbers from {low} and under {high}, got {actual}")
    return values.astype(np.int64)


def _array(array: Any, shape: Shape, kinds: str, expected: str) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or not _fits(array.shape, shape):
        actual = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise Unreadable(f"expected {expected} of shape {_shape_text(shape)}, got {actual}")
    return array


def _fits(sides: tuple[int, ...], shape: Shape) -> bool:
    if sides == shape:
        return True
    return len(sides) == len(shape) and all(
        expected in (None, side) for expected, side in zip(shape, sides, strict=True)
    )


def _shape_text(shape: Shape) -> str:
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return f"({sides}{',' if len(shape) == 1 else ''})"


def _unfit(expected: str, value: Any) -> Unreadable:
    return Unreadable(f"expected {expected}, got {_short_text(value)}")


def _short_text(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        return f"{len(value)} entries"  # not their text, which may be nested to any depth
    try:
        words = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        words = "a very large number"
    return words if len(words) <= _MAX_TEXT else f"{words[:_MAX_TEXT]}…"
