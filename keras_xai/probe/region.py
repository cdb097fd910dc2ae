"""The region of an image probe: where in each image the model should look, as masks or boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.image import pixels
from keras_xai.probe.names import Shape

Mask = NDArray[np.bool_]


def check_region(region: Any) -> NDArray[Any] | None:
    """Return masks or boxes as an array of numbers, which a kind and a shape of images make a mask.

    Raises:
        InvalidInput: no numbers, or nothing inside.
    """
    if region is None:
        return None
    try:
        values = as_array(region, "region")
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"region holds entries of different shapes: expected one array ({error}).") from error
    if values.dtype.kind not in "biuf":
        raise InvalidInput(f"region has dtype {values.dtype}: expected truth values, 0 and 1, or pixels of boxes.")
    if not values.any():
        raise InvalidInput(f"region of shape {values.shape} is empty: no pixel is inside.")
    return np.array(values)


def resolve_region(region: NDArray[Any], kind: str, image_shape: Shape, size: int) -> Mask:
    """Return the mask (B, H, W) that is true inside.

    Args:
        region: as `check_region` returns it: (B, H, W) or (H, W) of truth values or 0 and 1; or boxes (B, 4) as (top, left,
            bottom, right) in pixels, which hold the pixels [top:bottom, left:right].
        kind: of the probe.
        image_shape: of one image.
        size: B.

    Raises:
        InvalidInput: no image probe, another shape, other values, boxes that leave the image or are empty.

    Example:
        >>> resolve_region(np.array([[0, 1, 2, 3]]), "image", (3, 3, 1), 1).astype(int).tolist()
        [[[0, 1, 1], [0, 1, 1], [0, 0, 0]]]
    """
    if kind != "image":
        raise InvalidInput(
            f"region is a part of images, the probe is of kind {kind!r}: leave it out, or say kind='image' if x holds images."
        )
    height_and_width = pixels(image_shape)
    is_zero_or_one = region.dtype.kind == "b" or bool(np.isin(region, (0, 1)).all())
    if region.shape == (size, 4) and not (region.shape == height_and_width and is_zero_or_one):
        return _filled(region, height_and_width)
    if region.shape not in (height_and_width, (size, *height_and_width)):
        raise InvalidInput(
            f"region has shape {region.shape}, x has {size} images of {height_and_width}: expected a mask of shape "
            f"{(size, *height_and_width)} or {height_and_width}, or boxes (top, left, bottom, right) of shape {(size, 4)}."
        )
    if not is_zero_or_one:
        raise InvalidInput(f"region of shape {region.shape} holds values other than 0 and 1: expected a mask.")
    return np.broadcast_to(region.astype(bool), (size, *height_and_width))


def rows_of_region(region: NDArray[Any] | None, rows: NDArray[np.int64], size: int) -> NDArray[Any] | None:
    """Return a region that is not resolved yet for some rows; one mask (H, W) holds for all.

    Args:
        region: as `check_region` returns it.
        rows: row numbers.
        size: of all rows.
    """
    if region is None:
        return None
    is_for_each = region.ndim == 3 or region.shape == (size, 4)
    return region[rows] if is_for_each and len(region) == size else region


def _filled(boxes: NDArray[Any], height_and_width: tuple[int, int]) -> Mask:
    """Return the mask (B, H, W) of boxes (B, 4)."""
    height, width = height_and_width
    top, left, bottom, right = np.asarray(boxes, np.float64).T
    is_whole = (boxes == np.round(boxes)).all(1)
    is_inside = (top >= 0) & (left >= 0) & (bottom <= height) & (right <= width)
    unfit = ~(is_whole & is_inside & (top < bottom) & (left < right))
    if unfit.any():
        row = int(np.flatnonzero(unfit)[0])
        raise InvalidInput(
            f"region[{row}] is the box {tuple(boxes[row].tolist())}: expected whole pixels (top, left, bottom, right) with "
            f"0 <= top < bottom <= {height} and 0 <= left < right <= {width}."
        )
    in_rows = (np.arange(height) >= top[:, None]) & (np.arange(height) < bottom[:, None])
    in_columns = (np.arange(width) >= left[:, None]) & (np.arange(width) < right[:, None])
    return np.asarray(in_rows[:, :, None] & in_columns[:, None, :])
