"""Slices of a probe: parts of its rows by what is known of them and not fed to the model, as a hospital or a sex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput, listed
from keras_xai.frames import native, of_one_type, values_of

MAX_VALUES = 64  # of one slice: of more the rows of each are too few to say anything
MAX_SLICES = 32
_ONE_VALUE = "one value a row is expected."


class Slice(NamedTuple):
    """The values of one slice, and which of them each row has."""

    labels: tuple[str, ...]  # (V) categories in their own order, all others sorted
    codes: NDArray[np.int64]  # (B) the number of each row's value


Slices = dict[str, Slice]


def check_slices(slices: Any, size: int) -> Slices:
    """Return the values of each slice as text, and those of the rows as numbers.

    Args:
        slices: a dict from a slice's name to the value (B,) of each row: strings, whole numbers, truth values or categories.
        size: B.

    Raises:
        InvalidInput: no dict, another length, missing values, numbers that are not whole, too many values.

    Example:
        >>> check_slices({"hospital": ["north", "south", "north"]}, 3)["hospital"].labels
        ('north', 'south')
    """
    if slices is None:
        return {}
    if not isinstance(slices, Mapping):
        raise InvalidInput(
            f"slices is a {type(slices).__name__}: expected a dict from a slice's name to the value of each row, like "
            f"{{'hospital': hospital}}."
        )
    if len(slices) > MAX_SLICES:
        raise InvalidInput(f"slices has {len(slices)} entries: at most {MAX_SLICES} are recorded; leave some out.")
    unnamed = [name for name in slices if not isinstance(name, str) or not name]
    if unnamed:
        raise InvalidInput(f"slices has the name {unnamed[0]!r}: expected text, which rules and charts call it by.")
    return {name: _slice(values, name, size) for name, values in slices.items()}


def rows_of_slices(slices: Slices, rows: NDArray[np.int64]) -> Slices:
    """Return the slices of some rows; all values keep their numbers."""
    return {name: Slice(labels, codes[rows]) for name, (labels, codes) in slices.items()}


def _slice(values: Any, name: str, size: int) -> Slice:
    words, codes = _coded(values, f"slices[{name!r}]")
    if codes.ndim == 2 and codes.shape[1] == 1:
        codes = codes[:, 0]
    if codes.shape != (size,):
        shape = len(codes) if codes.ndim == 1 else f"shape {codes.shape}"
        raise InvalidInput(
            f"slices[{name!r}] has {shape}{' values' if codes.ndim == 1 else ''}, x has {size} samples: give one value for "
            f"each row of the probe, in the order of x."
        )
    present = np.unique(codes)
    if len(present) > MAX_VALUES:
        raise InvalidInput(
            f"slices[{name!r}] has {len(present)} different values in {size} rows: at most {MAX_VALUES} are recorded; put "
            f"those that are alike, or rare, under one value."
        )
    labels = tuple(words[code] for code in present.tolist())
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise InvalidInput(f"slices[{name!r}] has different values that read alike, {listed(twice)}: name them apart.")
    return Slice(labels, np.searchsorted(present, codes).astype(np.int64))


def _coded(values: Any, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the words of all values in order, and the number of each row's."""
    if hasattr(values, "categories") and hasattr(values, "codes"):  # pandas' Categorical, which is no series
        return _of_categories(values.codes, values.categories, name)
    series: Any = native(values)
    if series is None:
        return _of_array(_array(values, name), name)
    if hasattr(series, "columns"):
        if len(series.columns) != 1:
            raise InvalidInput(
                f"{name} is a frame with the columns {listed(map(str, series.columns))}: give each as a slice of its own."
            )
        series = series.get_column(series.columns[0])
    raw = series.to_native()
    if str(series.dtype).startswith(("Categorical", "Enum")) and hasattr(raw, "cat") and hasattr(raw.cat, "codes"):
        return _of_categories(raw.cat.codes, raw.cat.categories, name)
    return _of_array(values_of(series, name), name)


def _of_categories(codes: Any, categories: Any, name: str) -> tuple[list[str], NDArray[np.int64]]:
    numbers = np.asarray(codes).astype(np.int64)
    _refuse_missing(int((numbers < 0).sum()), len(numbers), name)
    return [str(category) for category in categories], numbers


def _array(values: Any, name: str) -> NDArray[Any]:
    """Return an array or nested lists as an array; a list keeps the type of each entry, which NumPy would turn into text."""
    try:
        return as_array(values, name, object if isinstance(values, (list, tuple)) else None, advice=_ONE_VALUE)
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"{name} holds entries of different lengths: expected one value a row ({error}).") from error


def _of_array(array: NDArray[Any], name: str) -> tuple[list[str], NDArray[np.int64]]:
    if array.dtype.kind == "O":
        _refuse_missing(sum(map(_is_missing, array.ravel().tolist())), array.size, name)
        array = of_one_type(array, name, advice=_ONE_VALUE) if array.size else array
    elif array.dtype.kind == "f":
        _refuse_missing(int(np.isnan(array).sum()), array.size, name)
    if array.dtype.kind == "f" and array.size and not (array == np.round(array)).all():
        raise InvalidInput(
            f"{name} holds numbers that are not whole: a slice has a few values; cut them into ranges, as pandas.cut does."
        )
    if array.dtype.kind not in "OUSbiuf":
        raise InvalidInput(f"{name} has dtype {array.dtype}: expected strings, whole numbers or truth values.")
    if array.dtype.kind in "OUS":
        array = np.asarray([_text(word) for word in array.ravel().tolist()], object).reshape(array.shape)
    elif array.dtype.kind == "f":
        array = array.astype(np.int64)
    values, codes = np.unique(array, return_inverse=True)
    return [str(value) for value in values.tolist()], codes.reshape(array.shape).astype(np.int64)


def _text(word: Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _is_missing(value: Any) -> bool:
    """Return True for None, NaN, pandas' NA and NaT: the last two are equal to nothing, or to neither."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _refuse_missing(count: int, size: int, name: str) -> None:
    if count:
        raise InvalidInput(
            f"{name} has {count} missing values in {size} rows: give them a value of their own, such as 'unknown', or drop "
            f"the rows."
        )
