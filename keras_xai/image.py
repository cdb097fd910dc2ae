"""The layout of images: which axis holds the channels, and the grids of cells that images are pooled to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Cells a side, at most. More cells say better where; each costs one feature to score, to mask or to fit.
SCORED_CELLS = 16  # of the importance of a probe of images: a cell of equal sides, in whole pixels
SURROGATE_CELLS = 8  # of the inputs of a linear surrogate, whose fit needs more samples than columns
MASKED_CELLS = 4  # of what a perturbation takes away as one, where no groups are given

MOST_CHANNELS = 4  # an image has one to four channels: an axis of so few is the channel axis


def is_channels_first(shape: Sequence[int]) -> bool:
    """Return whether one image of this shape is (C, H, W): few channels first, and too many entries last.

    Args:
        shape: of one sample, without the batch axis.

    Example:
        >>> is_channels_first((3, 32, 32)), is_channels_first((32, 32, 3)), is_channels_first((32, 32))
        (True, False, False)
    """
    return len(shape) == 3 and shape[0] <= MOST_CHANNELS < shape[-1]


def channel_axis(shape: Sequence[int]) -> int:
    """Return the channel axis of a batch of such images: 1 or -1.

    Args:
        shape: of one sample with a channel axis.
    """
    return 1 if is_channels_first(shape) else -1


def pixels(shape: Sequence[int]) -> tuple[int, int]:
    """Return (H, W) of one image (H, W), (H, W, C) or (C, H, W)."""
    height, width = shape[1:] if is_channels_first(shape) else shape[:2]
    return height, width


def cell_grid(shape: Sequence[int], cells: int = SCORED_CELLS) -> tuple[int, tuple[int, int]]:
    """Return the side of a square cell in pixels, and how many cells (h, w) cover an image.

    Args:
        shape: of one image.
        cells: at most, along its longer side.

    Example:
        >>> cell_grid((33, 20, 3))
        (3, (11, 7))
    """
    height, width = pixels(shape)
    side = math.ceil(max(height, width) / cells)
    return side, (math.ceil(height / side), math.ceil(width / side))


def cell_edges(length: int, cells: int) -> NDArray[np.int64]:
    """Return where the cells of one side begin, and its end: (cells + 1), fewer where the side is shorter.

    Example:
        >>> cell_edges(10, 4).tolist()
        [0, 2, 5, 8, 10]
    """
    return np.linspace(0, length, min(cells, length) + 1).round().astype(np.int64)


def cell_numbers(length: int, cells: int) -> NDArray[np.int64]:
    """Return which cell of a side each of its positions lies in: (length).

    Example:
        >>> cell_numbers(6, 4).tolist()
        [0, 0, 1, 2, 2, 3]
    """
    return np.arange(length) * min(cells, length) // length


def grid_mean(values: NDArray[Any], cells: int) -> NDArray[Any]:
    """Average (B, H, W), or further spatial axes, over a grid of at most `cells` cells a side.

    Returns:
        (B, h, w) means, with h and w at most `cells`. Cells differ in size by at most one position.

    Example:
        >>> grid_mean(np.arange(16.0).reshape(1, 4, 4), 2).tolist()
        [[[2.5, 4.5], [10.5, 12.5]]]
    """
    sums, sizes = values, np.ones(())
    for axis, length in enumerate(values.shape[1:], 1):
        edges = cell_edges(length, cells)
        sums = np.add.reduceat(sums, edges[:-1], axis)
        sizes = np.multiply.outer(sizes, np.diff(edges))
    return sums / sizes
