"""Labels as users write them become the integers that a model is trained with, and keep their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput, listed, unknown
from keras_xai.frames import native, of_one_type, values_of

Names = tuple[str, ...] | None
PADDED_LABELS = (
    "labels of steps are padded with one that counts nowhere, keras.utils.pad_sequences(y, padding='post', value=-1), which the "
    "loss passes over with ignore_class=-1; tags in words are encoded as integers first."
)


def coded(y: Any, class_names: Sequence[str] | None = None, *, by_position: bool = False) -> tuple[NDArray[Any], Names]:
    """Return labels as numbers, and the names of the classes where the labels say them.

    Categories count in their own order (pandas' `.cat.codes`, an `Enum` of polars), strings in the order of `class_names`,
    else sorted, as scikit-learn's `LabelEncoder` has them. Numbers and truth values are left as they are. A frame of one
    column is its column; one of several names a class, a label or a number a column.

    Args:
        y: (B,) or (B, ...): an array, list, series, categorical or frame.
        class_names: the names in the order of their integers, where they are available.
        by_position: a sample may have more than one label, as a tag for each token (B, T).

    Returns:
        (codes, names): an array of numbers, and one name a class or None.

    Raises:
        InvalidInput: missing labels, dates, mixed types, a label that is none of `class_names`.

    Example:
        >>> codes, names = coded(["spam", "ham", "spam"])
        >>> codes.tolist(), names
        ([1, 0, 1], ('ham', 'spam'))
    """
    if hasattr(y, "categories") and hasattr(y, "codes"):  # pandas' Categorical, which is no series
        return _of_categories(y.codes, y.categories, class_names)
    series = native(y)
    if series is None:
        return _of_array(y, class_names, by_position=by_position)
    if hasattr(series, "columns"):
        return _of_frame(series, class_names)
    return _of_series(cast(Any, series), class_names)


def guess_classes(y: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Return labels (B, ...) as classes (B,), or None where they do not look like classes.

    One-hot rows, the signs −1 and +1, whole numbers from 0 are classes; floats only where they take few values.

    Example:
        >>> guess_classes(np.array([-1.0, 1.0, 1.0])).tolist()
        [0, 1, 1]
    """
    if y is None or not y.size:
        return None
    if y.ndim == 2 and y.shape[1] > 1 and _is_one_hot(y):
        return y.argmax(1).astype(np.int64)
    if y.size != len(y) or y.dtype.kind not in "iuf":
        return None
    values = y.reshape(-1)
    different = np.unique(values)
    if np.isin(different, (-1, 1)).all() and different[0] == -1:
        return (values > 0).astype(np.int64)
    whole = bool((different == np.round(different)).all() and different[0] >= 0)
    few_values = y.dtype.kind in "iu" or len(different) <= max(2, len(y) // 8)
    return values.astype(np.int64) if few_values and whole else None


def _is_one_hot(y: NDArray[Any]) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def of_output(y: Any, output: Any, size: int | None = None, whose: str = "y holds") -> Any:
    """Return the labels of one output, where y holds those of several: a dict, or a list or tuple of arrays.

    Args:
        y: labels as `fit` gets them.
        output: the name or number of the output; a dict or list of one needs none.
        size: the number of samples; a list of so many arrays, one a sample, is no list of outputs.
        whose: labels these are, for the error message.

    Raises:
        InvalidInput: none of these outputs is named.
    """
    several = isinstance(y, (list, tuple)) and len(y) > 0 and all(len(getattr(part, "shape", ())) for part in y)
    if several and size is not None:
        several = all(len(part) == size for part in y) or len(y) != size
    if not isinstance(y, Mapping) and not several:
        return y
    available = list(y) if isinstance(y, Mapping) else list(range(len(y)))
    if output is None and len(available) == 1:
        return y[available[0]]
    if isinstance(output, (str, int)) and output in available:
        return y[output]
    raise InvalidInput(
        f"{whose} the labels of the outputs {listed(map(str, available))}, the probe explains {output!r}: name one of them in "
        f"Probe(output=), or give the labels of that output alone."
    )


def _of_series(series: Any, class_names: Sequence[str] | None) -> tuple[NDArray[Any], Names]:
    dtype = str(series.dtype).split("(")[0]
    raw = series.to_native()
    if dtype in ("Categorical", "Enum") and hasattr(raw, "cat") and hasattr(raw.cat, "codes"):
        return _of_categories(raw.cat.codes, raw.cat.categories, class_names)
    values = values_of(series, "y")
    categories = getattr(series.dtype, "categories", None)
    if dtype == "Enum" and categories is not None:
        return _of_strings(values, class_names or tuple(map(str, categories)))
    return _of_array(values, class_names)


def _of_frame(frame: Any, class_names: Sequence[str] | None) -> tuple[NDArray[Any], Names]:
    columns = [_of_series(frame.get_column(column), class_names) for column in frame.columns]
    if len(columns) == 1:
        codes, names = columns[0]
        return (codes[:, None], None) if names is None else (codes, names)
    if any(names is not None for _, names in columns):
        raise InvalidInput(
            f"y is a frame with the columns {listed(map(str, frame.columns))}, some of them strings: give one column, or numbers."
        )
    values = np.stack([codes for codes, _ in columns], 1)
    values = values.astype(np.int64) if values.dtype == bool else values
    return values, tuple(map(str, frame.columns))


def _of_array(y: Any, class_names: Sequence[str] | None, *, by_position: bool = False) -> tuple[NDArray[Any], Names]:
    try:
        holds_text = isinstance(y, (list, tuple)) and any(isinstance(label, (str, bytes)) for label in y)
        # NumPy would turn numbers beside text into text.
        labels = as_array(y, "y", object if holds_text else None, advice=PADDED_LABELS)
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(
            f"y holds labels of different lengths: expected one array, as `fit` gets it ({error})."
        ) from error
    if labels.dtype.kind in "mM":
        raise InvalidInput(f"y has dtype {labels.dtype}: expected classes or numbers.")
    if labels.dtype.kind == "O" and labels.size:
        labels = of_one_type(labels, "y", advice=PADDED_LABELS)
    if labels.dtype.kind not in "OUS" or not labels.size:
        return labels, None
    codes, names = _of_strings(labels, class_names, by_position=by_position)
    return (codes.reshape(labels.shape) if by_position else codes), names


def _of_strings(
    labels: NDArray[Any], class_names: Sequence[str] | None, *, by_position: bool = False
) -> tuple[NDArray[Any], Names]:
    if not by_position and labels.ndim > 1 and labels.size != len(labels):
        raise InvalidInput(f"y has shape {labels.shape} and holds strings: one label a sample is expected.")
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in labels.ravel().tolist()]
    names = tuple(sorted(set(words))) if class_names is None else tuple(map(str, class_names))
    codes = {name: code for code, name in enumerate(names)}
    without_code = next((word for word in words if word not in codes), None)
    if without_code is not None:
        raise unknown("class", without_code, names)
    return np.asarray([codes[word] for word in words], np.int64), names


def _of_categories(codes: Any, categories: Any, class_names: Sequence[str] | None) -> tuple[NDArray[Any], Names]:
    numbers = np.asarray(codes).astype(np.int64)
    if (numbers < 0).any():
        raise InvalidInput(f"y has {int((numbers < 0).sum())} missing labels in {len(numbers)} rows: drop these rows.")
    names = tuple(map(str, categories))
    if class_names is None:
        return numbers, names
    if len(class_names) == len(names) and not set(names) & set(map(str, class_names)):
        return numbers, tuple(map(str, class_names))  # other words for the same classes
    return _of_strings(np.asarray(names, object)[numbers], class_names)
