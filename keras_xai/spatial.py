"""The layout of samples with spatial positions, images and volumes: their axes, and the cells that they are pooled to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.image import MOST_CHANNELS, cell_grid, channel_axis, pixels

SPATIAL_KINDS = ("image", "volume")
VOLUME_CELLS = 8  # a side, at most, of the importance of a probe of volumes; with depth 1 those of an image


def is_volume_channels_first(shape: Sequence[int]) -> bool:
    """Return whether one volume of this shape is (C, D, H, W): few channels first, and a last axis that can be a width.

    Depth may be as short as channels are, so the last axis must also have half the length of the one before it or more.

    Args:
        shape: of one sample, without the batch axis.

    Example:
        >>> [is_volume_channels_first(shape) for shape in [(1, 16, 32, 32), (1, 32, 32, 8), (16, 32, 32, 1)]]
        [True, False, False]
    """
    return len(shape) == 4 and shape[0] <= MOST_CHANNELS < shape[-1] and 2 * shape[-1] >= shape[-2]


def kind_of_input(kind: str, shape: Sequence[int], shapes: Sequence[Sequence[int]]) -> str:
    """Return "image", "volume" or "series" for an input whose entries lie along space or time, else "".

    Images may stand beside volumes, and columns beside both.

    Args:
        kind: of the samples.
        shape: of one sample of the input.
        shapes: of one sample, one an input.

    Example:
        >>> shapes = [(8, 16, 16, 1), (16, 16, 1), (3,)]
        >>> [kind_of_input("volume", shape, shapes) for shape in shapes]
        ['volume', 'image', '']
    """
    rank = len(shape)
    if kind == "series":
        return "series" if rank == 2 else ""
    if kind == "image":
        return "image" if rank >= 2 else ""
    if kind != "volume" or rank < 2:
        return ""
    has_channels = any(len(other) == 4 for other in shapes)
    return "volume" if rank == 4 or (rank == 3 and not has_channels) else "image"


@dataclass(frozen=True)
class SpatialShape:
    """The spatial shape of one image or volume.

    Attributes:
        positions: (H, W) or (D, H, W).
        channel_axis: of a batch, 1 or -1; None without channels.
    """

    positions: tuple[int, ...]
    channel_axis: int | None

    @classmethod
    def of_image(cls, shape: Sequence[int]) -> SpatialShape:
        """Return that of (H, W), (H, W, C) or (C, H, W)."""
        return cls(pixels(shape), None if len(shape) == 2 else channel_axis(shape))

    @classmethod
    def of_volume(cls, shape: Sequence[int]) -> SpatialShape:
        """Return that of (D, H, W), (D, H, W, C) or (C, D, H, W)."""
        if len(shape) == 3:
            return cls(tuple(shape), None)
        return cls(tuple(shape[1:]), 1) if is_volume_channels_first(shape) else cls(tuple(shape[:3]), -1)

    @classmethod
    def of_kind(cls, kind: str, shape: Sequence[int]) -> SpatialShape:
        """Return that of a sample of kind "image" or "volume"."""
        return cls.of_volume(shape) if kind == "volume" else cls.of_image(shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a batch along which the positions lie."""
        first = 2 if self.channel_axis == 1 else 1
        return tuple(range(first, first + len(self.positions)))

    @property
    def cells(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The sides of a cell in positions, and how many cells lie along each axis.

        Cells of an image, and of a volume of one slice, are squares, at most 16 along the longer side. Cells of a volume are
        boxes, at most 8 along each axis: frames of a video and slices of a scan are often fewer than rows.

        Example:
            >>> SpatialShape.of_volume((5, 32, 64, 1)).cells
            ((1, 4, 8), (5, 8, 8))
        """
        if len(self.positions) == 2:
            side, grid = cell_grid(self.positions)
            return (side, side), grid
        depth, *plane = self.positions
        if depth == 1:
            side, grid = cell_grid(plane)
            return (1, side, side), (1, *grid)
        sides = tuple(math.ceil(length / VOLUME_CELLS) for length in self.positions)
        counts = tuple(math.ceil(length / side) for length, side in zip(self.positions, sides, strict=True))
        return sides, counts

    def sum_over_channels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (B, ...) summed over their channels: (B, *positions)."""
        return values if self.channel_axis is None else np.asarray(values.sum(self.channel_axis))

    def repeat_over_channels(self, numbers: NDArray[Any], channels: int) -> NDArray[Any]:
        """Return numbers (*positions) in the shape of a sample with so many channels."""
        if self.channel_axis is None:
            return numbers
        if self.channel_axis == 1:
            return np.broadcast_to(numbers, (channels, *numbers.shape))
        return np.broadcast_to(numbers[..., None], (*numbers.shape, channels))


def box_means(values: NDArray[Any], sides: Sequence[int]) -> NDArray[Any]:
    """Return the means of (B, *positions) over boxes of these sides; over fewer positions at the far edges.

    Example:
        >>> box_means(np.arange(5.0).reshape(1, 1, 5), (1, 2)).tolist()
        [[[0.5, 2.5, 4.0]]]
    """
    sums, sizes = values, np.ones(())
    for axis, (length, side) in enumerate(zip(values.shape[1:], sides, strict=True), 1):
        begins = np.arange(0, length, side)
        sums = np.add.reduceat(sums, begins, axis)
        sizes = np.multiply.outer(sizes, np.minimum(side, length - begins))
    return np.asarray(sums / sizes)
