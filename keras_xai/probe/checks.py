"""Checks of what a probe is made of: arrays, labels, targets, baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.frames import as_arrays, native
from keras_xai.labels import PADDED_LABELS
from keras_xai.probe.chunks import row_chunks
from keras_xai.tree import leaves, like


def check_arrays(x: Any) -> Any:
    """Return the arrays of samples as they are.

    Raises:
        InvalidInput: no samples, NaN or infinite values, inputs of different lengths.
    """
    if isinstance(x, Mapping):
        names = [f"x[{key!r}]" for key in x]
    else:
        names = [f"x[{k}]" for k in range(len(x))] if isinstance(x, list) else ["x"]
    checked = like(x, [_check_array(array, name) for array, name in zip(leaves(x), names, strict=True)])
    keys = list(x) if isinstance(x, Mapping) else range(len(names))
    sizes = {key: len(array) for key, array in zip(keys, leaves(x), strict=True)}
    if len(set(sizes.values())) > 1:
        series = ""
        if isinstance(x, list) and len({array.shape[1:] for array in x}) == 1:
            series = (
                " A list is read as one array for each input of the model; one of samples of different lengths is padded to "
                "one length first: keras.utils.pad_sequences(x, padding='post', dtype='float32')."
            )
        raise InvalidInput(f"The inputs of x differ in their number of samples: {sizes}.{series}")
    return checked


def _check_array(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim < 1 or array.shape[0] == 0:
        raise InvalidInput(f"{name} has shape {array.shape}: expected samples along the first axis, at least one.")
    if array.dtype.kind in "fc" and not all(np.isfinite(rows).all() for rows in row_chunks(array)):
        first = np.argwhere(~np.isfinite(array))[0]
        raise InvalidInput(
            f"{name} of shape {array.shape} contains NaN or infinite values, the first at {tuple(map(int, first))}: fill or "
            f"drop them; an attribution of NaN means nothing."
        )
    return array


def check_labels(y: Any, size: int) -> NDArray[Any]:
    """Return labels (B, ...) as numbers.

    Args:
        y: labels, coded as numbers.
        size: the number of samples.

    Raises:
        InvalidInput: no numbers, NaN or infinite values, more or fewer labels than samples.
    """
    labels = as_array(y, "y", advice=PADDED_LABELS)
    if labels.dtype == object or labels.dtype.kind in "US":
        raise InvalidInput(
            f"y has dtype {labels.dtype}: expected integer classes or floats; encode the names as integers."
        )
    if labels.ndim == 0 or len(labels) != size:
        raise InvalidInput(f"y has shape {labels.shape}, x has {size} samples: one label a sample is expected.")
    if np.issubdtype(labels.dtype, np.floating) and not np.isfinite(labels).all():
        raise InvalidInput(f"y of shape {labels.shape} contains NaN or infinite values.")
    return labels.astype(np.int64) if labels.dtype == bool else labels


def check_target(target: Any, size: int) -> NDArray[np.int64] | str:
    """Return the class or column to explain: an integer, (B,) integers, or text, which the model gives a meaning.

    Raises:
        InvalidInput: no integers, negative ones, more or fewer than there are samples.
    """
    if isinstance(target, str):
        return target
    numbers = as_array(target, "target", advice="one class is expected, or one integer for each sample.")
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape not in ((), (size,)):
        raise InvalidInput(
            f"target has shape {numbers.shape} and dtype {numbers.dtype}: expected one class, or one integer for each of the "
            f"{size} samples."
        )
    if numbers.size and numbers.min() < 0:
        raise InvalidInput(f"target holds the class {numbers.min()}: classes count from 0.")
    return numbers.astype(np.int64)


def check_rows(values: Any, name: str) -> Any:
    """Return baseline or background rows: frames as arrays, everything else as it is; the model says more of it."""
    if values is None:
        return None
    frame = native(values)
    return values if frame is None or not hasattr(frame, "columns") else as_arrays(values, name).arrays


def check_class_names(class_names: tuple[str, ...] | None, classes: NDArray[np.int64] | None) -> None:
    """Raise where a class has no name.

    Raises:
        InvalidInput: a class beyond the names.
    """
    if class_names is None or classes is None or not classes.size:
        return
    if classes.max() >= len(class_names):
        raise InvalidInput(f"y holds the class {classes.max()}, class_names has {len(class_names)} names.")
