"""The inputs of a model: samples as its graph takes them, and rows to compare them with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.samples import Samples, converted
from keras_xai.model.whole_numbers import read_as_numbers

# No token: an embedding of zeros where tokens are looked up, else the number 0.
ABSENT_TOKEN = int(np.iinfo(np.int32).min)


def inputs_by_name(model: keras.Model) -> dict[str, Any]:
    """The input tensors of a functional model by the names that a dict of samples calls them; {} of any other model."""
    tensors = getattr(model, "inputs", None)
    if not tensors:
        return {}
    structure = getattr(model, "input", None)
    return dict(structure) if isinstance(structure, Mapping) else {tensor.name: tensor for tensor in tensors}


def prepare_inputs(model: keras.Model, x: list[NDArray[Any]], like: Any) -> list[Samples]:
    """Inputs as the graph takes them: numbers are float32, as `fit` makes them, but for what the model takes as integers.

    Arrays of another dtype are converted row by row as they are asked for; those that have it already are taken as they are.
    Strings stay strings where the model may take them (a lookup, a vectorization).

    Args:
        model: built or not.
        x: (B, ...) one array an input.
        like: the input as the user holds it, for the names of inputs.

    Raises:
        InvalidInput: neither numbers nor strings, or strings for a model of numbers.
    """
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    prepared: list[Samples] = []
    for array, dtype in zip(x, _input_dtypes(model, len(x), like), strict=True):
        if _is_text(array):
            if dtype not in ("", "string"):
                raise InvalidInput(
                    f"x has dtype {array.dtype}, the model takes {dtype}: give the samples as `fit` gets them."
                )
            if not get_backend().has_text():
                raise InvalidInput(
                    f"x has dtype {array.dtype}, and the Keras backend {keras.backend.backend()!r} has no tensors of text: "
                    f"explain the model of numbers behind the lookup (StringLookup, TextVectorization), and give x as that "
                    f"gives it."
                )
            prepared.append(converted(array, object))  # words of any length
            continue
        if array.dtype.kind not in "fiub":
            raise InvalidInput(f"x has dtype {array.dtype}: numbers or strings are expected, as `fit` gets them.")
        # Integers that the model takes as numbers are numbers; those that it may look up stay what they are.
        may_look_up = array.dtype.kind in "iu" and (embeds or (len(x) > 1 and not dtype))
        if "int" in dtype or may_look_up:
            prepared.append(converted(array, np.int32))
        else:
            prepared.append(converted(array, array.dtype if dtype == "bool" else np.float32))
    return prepared


def _input_dtypes(model: keras.Model, count: int, like: Any) -> list[str]:
    """The dtype that the model has for each of so many inputs, "" where it says none."""
    by_name = inputs_by_name(model) if isinstance(like, Mapping) else {}
    tensors = [by_name.get(name) for name in like] if by_name else getattr(model, "inputs", None) or []
    if len(tensors) != count:
        return [""] * count
    numbers = [id(tensor) for tensor in read_as_numbers(model)]
    dtypes = []
    for tensor in tensors:
        if tensor is None:
            dtypes.append("")
        else:
            dtypes.append("float32" if id(tensor) in numbers else str(tensor.dtype))
    return dtypes


def _is_text(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "US" or (array.dtype == object and all(isinstance(v, (str, bytes)) for v in array.flat))


def check_input_shapes(model: keras.Model, x: list[NDArray[Any]], like: Any) -> None:
    """Refuse samples of another shape than a built model takes, up to a last axis of 1, which Keras adds or drops.

    Raises:
        InvalidInput: with both shapes.
    """
    expected = getattr(model, "inputs", None)
    if not expected:
        return
    if len(expected) != len(x):
        came = listed(like) if isinstance(like, Mapping) else " and ".join(f"shape {array.shape}" for array in x[:4])
        raise InvalidInput(
            f"x has {len(x)} input{'s' * (len(x) > 1)} ({came}), the model takes {len(expected)}: "
            f"{listed(inputs_by_name(model))}; give the samples as `fit` gets them."
        )
    if isinstance(like, Mapping):
        by_name = inputs_by_name(model)
        if set(by_name) != set(like):
            raise InvalidInput(f"x has the inputs {listed(like)}, the model takes {listed(by_name)}.")
        expected = [by_name[name] for name in like]
    for tensor, array in zip(expected, x, strict=True):
        taken, shape = tuple(tensor.shape)[1:], array.shape[1:]
        if not _is_taken(taken, shape):
            raise InvalidInput(
                f"x has samples of shape {shape}, the model's input {tensor.name!r} takes {taken}: give the samples as `fit` "
                f"gets them."
            )
        if array.dtype.kind in "OUS" and "string" not in str(tensor.dtype):
            raise InvalidInput(f"x has dtype {array.dtype}, the model's input {tensor.name!r} takes {tensor.dtype}.")


def _is_taken(taken: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    """True where an input takes samples of this shape."""
    if len(taken) == len(shape) + 1:
        shape = (*shape, 1)
    elif len(taken) == len(shape) - 1 and shape[-1] == 1:
        shape = shape[:-1]
    return len(taken) == len(shape) and all(t in (None, s) for t, s in zip(taken, shape, strict=True))


def check_samples(x: list[NDArray[Any]]) -> None:
    """Refuse arrays that are no samples.

    Raises:
        InvalidInput: no samples, another number of them in each input, values that are not finite.
    """
    sizes = [array.shape[0] if array.ndim else 0 for array in x]
    if not x or min(sizes) == 0 or len(set(sizes)) > 1:
        raise InvalidInput(
            f"x has shapes {[array.shape for array in x]}: expected samples along the first axis, as many in each input."
        )
    for array in x:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidInput(
                f"x of shape {array.shape} contains NaN or infinite values: an attribution of them means nothing."
            )


def broadcast_baseline(baseline: Any, x: Sequence[Samples], like: Any, word: str = "baseline") -> list[NDArray[Any]]:
    """The baseline that a user gave as one array an input, each of the shape of x.

    Args:
        baseline: one sample or as many as x, in the structure of x.
        x: (B, ...) an input.
        like: the input as the user holds it: the names of its inputs, where it has some.
        word: for it in an error.

    Raises:
        InvalidInput: shapes that do not fit, both in the message; what is not finite, or of another type than x.
    """
    rows = []
    parts = zip(_part_names(word, like, x), _parts(word, baseline, x, like), x, strict=True)
    for name, part, a in parts:
        values = checked_values(name, part, a.dtype)
        if values.shape not in ((), a.shape[1:], (1, *a.shape[1:]), a.shape):
            raise InvalidInput(
                f"{name} has shape {values.shape}, x has {a.shape}: one sample {a.shape[1:]} or as many as x."
            )
        rows.append(np.broadcast_to(values, a.shape))
    return rows


def is_shared(rows: NDArray[Any]) -> bool:
    """True where all rows (B, ...) are one and the same in memory, as broadcasting makes them."""
    return rows.strides[0] == 0


def background_rows(background: Any, x: Sequence[Samples], like: Any = None) -> list[NDArray[Any]] | None:
    """Rows to compare with, as one array (R, ...) an input, in the order of x; None where there are none.

    Raises:
        InvalidInput: rows of another shape than a sample's, or none at all; what is not finite, or of another type than x.
    """
    if background is None:
        return None
    names = _part_names("background", like, x)
    parts = _parts("background", background, x, like)
    arrays = [checked_values(name, part, a.dtype) for name, part, a in zip(names, parts, x, strict=True)]
    shapes = [a.shape[1:] for a in x]
    sizes = {len(a) if a.ndim else 0 for a in arrays}
    if [a.shape[1:] for a in arrays] != shapes or len(sizes) != 1 or 0 in sizes:
        raise InvalidInput(
            f"background has shapes {[a.shape for a in arrays]}: expected rows like x, {[(None, *s) for s in shapes]}."
        )
    return arrays


def checked_values(name: str, values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values as an array of the dtype that the samples have.

    Raises:
        InvalidInput: text for numbers or numbers for text, fractions for whole numbers, NaN or infinite values.
    """
    array = as_array(values, name)
    if dtype.kind == "O":
        if array.dtype.kind not in "USO" or not all(isinstance(v, (str, bytes)) for v in array.flat):
            raise InvalidInput(f"{name} has dtype {array.dtype}, x holds text: strings are expected.")
        return array.astype(object)
    if array.dtype.kind not in "fiub":
        what = f"={values!r}" if isinstance(values, str) else f" has dtype {array.dtype}"
        raise InvalidInput(
            f"{name}{what}: expected numbers, one sample or as many as x, as x_train.mean(0) gives them."
        )
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32) if array.dtype.kind == "f" else array
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        count = int((~np.isfinite(numbers)).sum())
        raise InvalidInput(
            f"{name} of shape {array.shape} contains NaN or infinite values ({count} of {array.size}): give finite numbers, as "
            f"np.nanmean(x_train, 0) gives them."
        )
    if dtype.kind in "iu" and numbers.dtype.kind == "f" and not np.equal(numbers, np.round(numbers)).all():
        raise InvalidInput(f"{name} has fractions, x has whole numbers ({dtype}): tokens or categories are expected.")
    return numbers.astype(dtype)


def _part_names(word: str, like: Any, x: Sequence[Samples]) -> list[str]:
    """Names for the parts of an argument in an error."""
    if len(x) == 1:
        return [word]
    keys = like if isinstance(like, Mapping) else range(len(x))
    return [f"{word}[{key!r}]" for key in keys]


def _parts(word: str, values: Any, x: Sequence[Samples], like: Any) -> list[Any]:
    """An argument in the structure of x, as one part an input, in the order of x.

    Raises:
        InvalidInput: other inputs than x has.
    """
    if isinstance(values, Mapping) and isinstance(like, Mapping):
        if set(values) != set(like):
            raise InvalidInput(f"{word} has the inputs {listed(values)}, x has {listed(like)}.")
        return [values[name] for name in like]
    if isinstance(values, Mapping):
        parts = list(values.values())
    elif isinstance(values, (list, tuple)) and (len(x) > 1 or (isinstance(like, list) and len(values) == 1)):
        parts = list(values)
    else:
        parts = [values]
    if len(parts) != len(x):
        raise InvalidInput(f"{word} has {len(parts)} arrays, x has {len(x)} inputs.")
    return parts
