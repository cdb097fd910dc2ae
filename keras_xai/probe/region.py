"""The region of a probe of images or volumes: where in each the model should look, as masks or boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.probe.names import Shape
from keras_xai.spatial import SPATIAL_KINDS

Mask = NDArray[np.bool_]
_ONE_ARRAY = "one array is expected, a mask for each sample or one for all of them, or one box for each sample."
_BEGINS, _ENDS = ("front", "top", "left"), ("back", "bottom", "right")  # the sides of a box


def check_region(region: Any) -> NDArray[Any] | None:
    """Return masks or boxes as an array of numbers, which a kind and the shape of samples make a mask.

    Raises:
        InvalidInput: no numbers, or nothing inside.
    """
    if region is None:
        return None
    try:
        values = as_array(region, "region", advice=_ONE_ARRAY)
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"region holds entries of different shapes: expected one array ({error}).") from error
    if values.dtype.kind not in "biuf":
        raise InvalidInput(f"region has dtype {values.dtype}: expected truth values, 0 and 1, or pixels of boxes.")
    if not values.any():
        raise InvalidInput(f"region of shape {values.shape} is empty: no pixel is inside.")
    return np.array(values)


def resolve_region(region: NDArray[Any], kind: str, positions: tuple[int, ...], size: int) -> Mask:
    """Return the mask (B, H, W) or (B, D, H, W) that is true inside.

    Args:
        region: as `check_region` returns it: truth values or 0 and 1 in the shape of the mask, or of one sample's; or boxes
            (B, 4) as (top, left, bottom, right) in pixels, which hold the pixels [top:bottom, left:right]; of volumes (B, 6)
            as (front, top, left, back, bottom, right).
        kind: of the probe.
        positions: of one image (H, W) or volume (D, H, W).
        size: B.

    Raises:
        InvalidInput: no probe of images or volumes, another shape, other values, boxes that leave the sample or are empty.

    Example:
        >>> resolve_region(np.array([[0, 1, 2, 3]]), "image", (3, 3), 1).astype(int).tolist()
        [[[0, 1, 1], [0, 1, 1], [0, 0, 0]]]
    """
    if kind not in SPATIAL_KINDS:
        raise InvalidInput(
            f"region is a part of images or volumes, the probe is of kind {kind!r}: leave it out, or say kind='image' or "
            f"'volume' if x holds some."
        )
    is_zero_or_one = region.dtype.kind == "b" or bool(np.isin(region, (0, 1)).all())
    box_sides = 2 * len(positions)
    if region.shape == (size, box_sides) and not (region.shape == positions and is_zero_or_one):
        return _filled(region, positions)
    if region.shape not in (positions, (size, *positions)):
        raise InvalidInput(
            f"region has shape {region.shape}, x has {size} {kind}s of {positions}: expected a mask of shape "
            f"{(size, *positions)} or {positions}, or boxes {_box_words(len(positions))} of shape {(size, box_sides)}."
        )
    if not is_zero_or_one:
        raise InvalidInput(f"region of shape {region.shape} holds values other than 0 and 1: expected a mask.")
    return np.broadcast_to(region.astype(bool), (size, *positions))


def rows_of_region(
    region: NDArray[Any] | None, rows: NDArray[np.int64], size: int, shapes: Sequence[Shape]
) -> NDArray[Any] | None:
    """Return a region that is not resolved yet for some rows; one mask in the shape of a sample holds for all.

    Args:
        region: as `check_region` returns it.
        rows: row numbers.
        size: of all rows.
        shapes: of one sample, one an input.
    """
    if region is None:
        return None
    is_for_each = region.shape in ((size, 4), (size, 6)) or (region.ndim in (3, 4) and region.shape not in shapes)
    return region[rows] if is_for_each and len(region) == size else region


def _box_words(axes: int) -> str:
    """Name the sides of a box along so many axes: first where it begins on each, then where it ends."""
    return f"({', '.join((*_BEGINS[-axes:], *_ENDS[-axes:]))})"


def _filled(boxes: NDArray[Any], positions: tuple[int, ...]) -> Mask:
    """Return the mask (B, *positions) of boxes (B, 2 · axes)."""
    axes = len(positions)
    sides = np.asarray(boxes, np.float64)
    begin, end = sides[:, :axes], sides[:, axes:]
    is_whole = (boxes == np.round(boxes)).all(1)
    unfit = ~(is_whole & ((begin >= 0) & (begin < end) & (end <= positions)).all(1))
    if unfit.any():
        row = int(np.flatnonzero(unfit)[0])
        begins_and_ends = zip(_BEGINS[-axes:], _ENDS[-axes:], positions, strict=True)
        bounds = " and ".join(f"0 <= {first} < {last} <= {length}" for first, last, length in begins_and_ends)
        raise InvalidInput(
            f"region[{row}] is the box {tuple(boxes[row].tolist())}: expected whole pixels {_box_words(axes)} with {bounds}."
        )
    mask = np.ones((len(boxes), *positions), bool)
    for axis, length in enumerate(positions):
        index = np.arange(length)
        is_within = (index >= begin[:, axis, None]) & (index < end[:, axis, None])
        mask &= is_within.reshape(len(boxes), *(length if other == axis else 1 for other in range(axes)))
    return mask
