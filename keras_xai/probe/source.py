"""The object that samples came in, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def source_words(x: Any) -> str:
    """Return the class of an object of samples with the library that it is of.

    Example:
        >>> import numpy as np
        >>> source_words(np.zeros(3)), source_words({"age": np.zeros(3)})
        ('numpy.ndarray', 'dict of numpy.ndarray')
    """
    name = type(x).__name__.removeprefix("_")
    parts = x.values() if isinstance(x, Mapping) else x
    if isinstance(x, (Mapping, list, tuple)):
        first = next(iter(parts), None)
        return name if first is None else f"{name} of {source_words(first)}"
    library = type(x).__module__.partition(".")[0]
    return name if library == "builtins" else f"{library}.{name}"
