"""Options of figures and panels: the keyword arguments that each of them takes, and the values that fit them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from keras_xai.errors import InvalidInput, unknown
from keras_xai.figures.colour import THEMES
from keras_xai.figures.theme import Look

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    type(None): "None",
    Look: "a keras_xai.figures.Look",
}


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


def check_options(draw: Callable[..., Any], options: Mapping[str, Any], what: str) -> None:
    """Check names and values of options against the signature of what draws.

    Args:
        draw: a figure, or a function of `kx.plot`; its first parameter is no option.
        options: as a user gives them.
        what: has the options, as "the figure 'overview'".

    Raises:
        InvalidInput: an option that it does not take, with the nearest name; a value of another type, with what is expected.
    """
    names, hints = options_of(draw), get_type_hints(draw, localns={"Figure": Any})  # which plotly alone has
    for name, value in options.items():
        if name not in names:
            raise unknown(f"option of {what}", name, names)
        check_value(name, value, hints.get(name, Any))


def check_value(name: str, value: Any, hint: Any) -> None:
    """Check the value of an option against the type that it is declared with.

    Raises:
        InvalidInput: another type, or none of the words that it may be.

    Example:
        >>> check_value("epoch", "three", int | None)
        Traceback (most recent call last):
        ...
        keras_xai.errors.InvalidInput: epoch='three': expected a whole number or None.
    """
    alternatives = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if any(_fits(value, alternative) for alternative in alternatives):
        if isinstance(value, Look):
            check_theme(value.theme)
        return
    literals = [word for alternative in alternatives for word in _words_of(alternative)]
    if literals and isinstance(value, str):
        raise unknown(name, value, literals)
    expected = [*map(repr, literals), *(words for words in map(_expected, alternatives) if words)]
    raise InvalidInput(f"{name}={value!r}: expected {' or '.join(expected)}.")


def check_theme(theme: object) -> None:
    """Raise for a theme that there is not.

    Raises:
        InvalidInput: neither "light" nor "dark".
    """
    if theme not in THEMES:
        raise unknown("theme", theme, THEMES)


def _words_of(hint: Any) -> tuple[str, ...]:
    """Return the words that an option may be; a display, or a sequence of them, has those of the display."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return ()


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin = get_origin(hint)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is Sequence or origin is Mapping:
        is_sequence = not isinstance(value, (str, bytes)) and isinstance(value, (Sequence, np.ndarray))
        if origin is Mapping:
            return isinstance(value, Mapping)
        (of,) = get_args(hint)
        return is_sequence and np.ndim(value) == 1 and all(_fits(entry, of) for entry in value)
    if hint is int:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return isinstance(value, hint)


def _expected(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return ""
    if origin is Sequence:
        of = get_args(hint)[0]
        if get_origin(of) is Literal:
            return f"a sequence of {', '.join(map(repr, get_args(of)))}"
        return {int: "a sequence of whole numbers", str: "a sequence of texts"}.get(of, "a sequence")
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))
