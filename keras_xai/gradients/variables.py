"""The names and sizes of a model's variables, as records have them."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_xai.backend.gradient_table import Variable


def variable_path(variable: Variable) -> str:
    """Return Keras' path of a variable, or the framework's name of one that is not Keras'."""
    return str(getattr(variable, "path", None) or variable.name.partition(":")[0])


def entry_count(variable: Variable) -> int:
    """Return the number of entries of a variable."""
    return int(np.prod(tuple(variable.shape), dtype=np.int64))


def is_recordable(variable: Variable) -> bool:
    """Return False where the "gradient" is a value to be stored (float8 scales), and for complex numbers (no octaves)."""
    if getattr(variable, "overwrite_with_gradient", False):
        return False
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(variable.dtype)))


def unique(paths: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ, in the same order: a repeated path gets a number, as in "dense/kernel (2)"."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for path in paths:
        counts[path] = counts.get(path, 0) + 1
        names.append(path if counts[path] == 1 else f"{path} ({counts[path]})")
    return tuple(names)
