"""What stands for "nothing": the baselines and backgrounds that a user gives, checked, and what is taken where none are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.question import NOTHING, Output, Question
from keras_xai.attribution.samples import Samples
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, listed
from keras_xai.probe import Probe

APART = 1e-6  # of a mask value: as far from it as makes a step count, and changes nothing else
EMPTY: dict[str, Any] = {"i": NOTHING, "O": ""}


def baseline_rows(baseline: Any, x: Sequence[Samples], like: Any) -> list[NDArray[Any]]:
    """The baseline that a user gave as one array an input, each of the shape of x.

    Args:
        baseline: one sample or as many as x, in the structure of x.
        x: (B, ...) an input.
        like: the input as the user holds it: the names of its inputs, where it has some.

    Raises:
        InvalidInput: shapes that do not fit, both in the message; what is not finite, or of another type than x.
    """
    rows = []
    for name, base, a in zip(_names("baseline", like, x), _parts("baseline", baseline, x, like), x, strict=True):
        b = checked_values(name, base, a.dtype)
        if b.shape not in ((), a.shape[1:], (1, *a.shape[1:]), a.shape):
            raise InvalidInput(
                f"{name} has shape {b.shape}, x has {a.shape}: one sample {a.shape[1:]} or as many as x."
            )
        rows.append(np.broadcast_to(b, a.shape))
    return rows


def background_rows(background: Any, x: Sequence[Samples], like: Any = None) -> list[NDArray[Any]] | None:
    """Rows to compare with, as one array (R, ...) an input, in the order of x; None where there are none.

    Raises:
        InvalidInput: rows of another shape than a sample's, or none at all; what is not finite, or of another type than x.
    """
    if background is None:
        return None
    names = _names("background", like, x)
    parts = _parts("background", background, x, like)
    arrays = [checked_values(name, part, a.dtype) for name, part, a in zip(names, parts, x, strict=True)]
    wanted = [a.shape[1:] for a in x]
    sizes = {len(a) if a.ndim else 0 for a in arrays}
    if [a.shape[1:] for a in arrays] != wanted or len(sizes) != 1 or 0 in sizes:
        raise InvalidInput(
            f"background has shapes {[a.shape for a in arrays]}: expected rows like x, {[(None, *w) for w in wanted]}."
        )
    return arrays


def checked_values(name: str, values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values as an array of the dtype that the samples have.

    Raises:
        InvalidInput: text for numbers or numbers for text, fractions for whole numbers, NaN or infinite values.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise InvalidInput(f"{name} is no array: {error}.") from error
    if dtype.kind == "O":
        if array.dtype.kind not in "USO" or not all(isinstance(v, (str, bytes)) for v in array.flat):
            raise InvalidInput(f"{name} has dtype {array.dtype}, x holds text: strings are expected.")
        return array.astype(object)
    if array.dtype.kind not in "fiub":
        shown = f"={values!r}" if isinstance(values, str) else f" has dtype {array.dtype}"
        raise InvalidInput(
            f"{name}{shown}: expected numbers, one sample or as many as x, as x_train.mean(0) gives them."
        )
    with np.errstate(over="ignore"):
        kept = array.astype(np.float32) if array.dtype.kind == "f" else array
    if kept.dtype.kind == "f" and not np.isfinite(kept).all():
        count = int((~np.isfinite(kept)).sum())
        raise InvalidInput(
            f"{name} of shape {array.shape} contains NaN or infinite values ({count} of {array.size}): give finite numbers, as "
            f"np.nanmean(x_train, 0) gives them."
        )
    if dtype.kind in "iu" and kept.dtype.kind == "f" and not np.equal(kept, np.round(kept)).all():
        raise InvalidInput(f"{name} has fractions, x has whole numbers ({dtype}): tokens or categories are expected.")
    return kept.astype(dtype)


def _names(word: str, like: Any, x: Sequence[Samples]) -> list[str]:
    """What to call the parts of an argument in an error."""
    if len(x) == 1:
        return [word]
    return [f"{word}[{key!r}]" for key in (like if isinstance(like, Mapping) else range(len(x)))]


def _parts(word: str, values: Any, x: Sequence[Samples], like: Any) -> list[Any]:
    """An argument in the structure of x, as one part an input, in the order of x.

    Raises:
        InvalidInput: other inputs than x has.
    """
    if isinstance(values, Mapping):
        if isinstance(like, Mapping):
            if set(values) != set(like):
                raise InvalidInput(f"{word} has the inputs {listed(values)}, x has {listed(like)}.")
            return [values[name] for name in like]
        parts = list(values.values())
    else:
        several = (
            len(x) > 1 or (isinstance(like, list) and len(values) == 1) if isinstance(values, (list, tuple)) else False
        )
        parts = list(values) if several else [values]
    if len(parts) != len(x):
        raise InvalidInput(f"{word} has {len(parts)} arrays, x has {len(x)} inputs.")
    return parts


class DefaultBaseline:
    """The baseline where the user gave none: the mean row for the table of a probe, else zero in the model's input space.

    Where a Normalization comes first, or after a rescaling, that is its adapted mean. What Keras masks by value (`Masking`)
    is left out of the way from the baseline to a sample: a step that the model skips keeps its value, and no other one begins
    at the value that is skipped, from which the score would jump.

    Integers get `NOTHING`, which is no token: an embedding of zeros where they are looked up, else the number 0. Strings get
    the empty one, which a lookup does not know.

    Args:
        model: a built model.
        x: (B, ...) an input.
        like: the input as the user holds it, for its structure.
        output: see `Probe`.
        probe: that x is of, or None.

    Cost:
        Two forward passes of one sample, once, of a model with a Normalization or a Masking.
    """

    def __init__(
        self, model: keras.Model, x: Sequence[Samples], like: Any, output: Output = None, probe: Probe | None = None
    ) -> None:
        self._masked: dict[int, NDArray[Any]] = {}  # by input: the sample that a Masking skips
        self._base: list[NDArray[Any]] = [np.full(a.shape[1:], EMPTY.get(a.dtype.kind, 0.0), a.dtype) for a in x]
        if probe is not None and probe.kind == "table":
            self._base = [_mean(a) if a.dtype.kind == "f" else b for a, b in zip(x, self._base, strict=True)]
            return
        layers = [
            one
            for one in model._flatten_layers(include_self=False)
            if isinstance(one, (keras.layers.Masking, keras.layers.Normalization)) and not getattr(one, "invert", False)
        ]
        if not layers or not any(a.dtype.kind == "f" for a in x):
            return
        question = Question(model, like, output)
        for layer, point in get_backend().preimages(question.outputs, [a[:1] for a in x], layers, model):
            for k, (where, values) in point.items():
                if isinstance(layer, keras.layers.Normalization):
                    self._base[k] = np.where(where, values, self._base[k]).astype(x[k].dtype)
                elif where.all() and len(x[k].shape) > 2:
                    self._masked[k] = values

    def rows(self, x: Sequence[Samples]) -> list[NDArray[Any]]:
        """For these samples, one row for each."""
        plain = [np.broadcast_to(base, a.shape) for base, a in zip(self._base, x, strict=True)]
        return [
            _past_the_mask(a, rows, self._masked[k]) if k in self._masked else rows
            for k, (a, rows) in enumerate(zip(x, plain, strict=True))
        ]


def _mean(x: Samples) -> NDArray[np.float32]:
    return np.asarray(x[:].mean(0, dtype=np.float64)).astype(np.float32)


def _past_the_mask(x: Samples, rows: NDArray[Any], masked: NDArray[Any]) -> NDArray[Any]:
    """(B, T, ...) baselines in which the steps that are all `masked` (T, ...) in x are so, and no others."""
    axes = tuple(range(2, len(x.shape)))
    skipped = (x[:] == masked).all(axes, keepdims=True)
    begins = (rows == masked).all(axes, keepdims=True) & ~skipped
    apart = np.where(begins, rows + APART * np.maximum(1.0, np.abs(masked)), rows)
    found: NDArray[Any] = np.where(skipped, x[:], apart).astype(x.dtype)
    return found
