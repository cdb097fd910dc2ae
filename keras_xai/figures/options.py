"""Options of figures and panels: the keyword arguments that each of them takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def options_of(draw: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the options that a figure or a panel takes; the first parameter is the run.

    Example:
        >>> from keras_xai.figures import FIGURES
        >>> options_of(FIGURES["importance_drift"])
        ('look', 'epoch', 'source')
    """
    return tuple(inspect.signature(draw).parameters)[1:]


def accepted(draw: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some options that a figure or a panel takes."""
    names = options_of(draw)
    return {name: value for name, value in options.items() if name in names}
