"""Kinds of samples, and which of them the shape of an array leaves no doubt of."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from keras_xai.errors import InvalidInput, listed, unknown
from keras_xai.image import MOST_CHANNELS

KINDS = ("table", "image", "series", "tokens", "volume")


def guess_kind(inputs: list[NDArray[Any]], kind: str | None, *, from_frame: bool = False) -> str:
    """Return the kind of samples, or "" where it takes the model to say it.

    Args:
        inputs: arrays (B, ...), one an input.
        kind: as the user says it, or None.
        from_frame: the columns come from a frame: they are no tokens.

    Raises:
        InvalidInput: an unknown kind, one that arrays of so many axes cannot be, or arrays of six axes, which no model makes
            any of the kinds.
    """
    if kind is not None:
        _check_kind(inputs, kind)
        return kind
    if len(inputs) > 1 and any(array.ndim > 2 for array in inputs):
        return guess_kind([max(inputs, key=lambda array: array.ndim)], None)
    if all(array.ndim <= 2 for array in inputs):
        whole = all(array.dtype.kind in "iu" for array in inputs)
        several_entries = any(math.prod(array.shape[1:]) > 1 for array in inputs)
        return "" if whole and several_entries and not from_frame else "table"
    (array,) = inputs
    if array.ndim == 4 and (array.shape[-1] <= MOST_CHANNELS or array.shape[1] <= MOST_CHANNELS):
        return "image"
    if array.ndim > 5:
        raise ambiguous_kind(array)
    return "volume" if array.ndim == 5 else ""


def _check_kind(inputs: list[NDArray[Any]], kind: str) -> None:
    """Raise for a kind that the arrays cannot be.

    Raises:
        InvalidInput: an unknown kind, images of four axes, volumes of two.
    """
    if kind not in KINDS:
        raise unknown("kind of input", kind, KINDS)
    largest = max(inputs, key=lambda array: array.ndim)
    if kind == "image" and largest.ndim > 4:
        instead = "kind='volume' takes (B, D, H, W, C)" if largest.ndim == 5 else "no kind has so many axes"
        raise InvalidInput(
            f"x has shape {largest.shape}, kind='image' expects images (B, H, W) or (B, H, W, C): {instead}, of a video with "
            f"its frames along D."
        )
    if kind == "volume" and not 4 <= largest.ndim <= 5:
        raise InvalidInput(
            f"x has shape {largest.shape}, kind='volume' expects volumes (B, D, H, W) or (B, D, H, W, C), of a video with its "
            f"frames along D: give all axes, or leave kind= out."
        )


def ambiguous_kind(array: NDArray[Any]) -> InvalidInput:
    """Return the error where neither the shape of samples nor the model says what they are."""
    return InvalidInput(
        f"x has shape {array.shape} and dtype {array.dtype}: that can be more than one thing; say which with kind= one of "
        f"{listed(KINDS)} (images without a channel axis: kind='image'; volumes without one: 'volume'; integer columns: 'table' "
        f"or 'tokens')."
    )
