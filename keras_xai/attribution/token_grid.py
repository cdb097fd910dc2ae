"""The grid of patches that the tokens of a transformer stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence

Grid = tuple[int, ...]  # (rows, columns) of an image, (depth, rows, columns) of a volume


def grid_of(tokens: int, image: Sequence[int], before: Grid | None) -> Grid | None:
    """The grid on which so many tokens lie row by row, None where it cannot be told.

    Args:
        tokens: how many there are, without those that are no patch.
        image: the sides of the image or volume in pixels.
        before: the places of the last layer in front of the tokens that has the image's axes, None without one.

    Example:
        >>> grid_of(64, (32, 32), None), grid_of(16, (32, 32), (8, 8)), grid_of(65, (32, 32), (8, 8))
        ((8, 8), (4, 4), None)
        >>> grid_of(18, (96, 192), None)
        (3, 6)
    """
    if before is not None:
        return _merged(tokens, before)
    grids: set[Grid] = set()
    for patch in range(1, max(image) + 1):
        grids |= {tuple(side // patch for side in image), tuple(-(-side // patch) for side in image)}
    fitting = [grid for grid in grids if math.prod(grid) == tokens]
    if len(fitting) > 1:
        # Sides that a patch divides without a rest are meant.
        fitting = [grid for grid in fitting if _divides(grid, image)]
    return fitting[0] if len(fitting) == 1 else None


def _merged(tokens: int, before: Grid) -> Grid | None:
    """The grid of an earlier layer, or that of its square blocks, as they are merged step by step."""
    for block in range(1, max(before) + 1):
        grid = tuple(side // block for side in before)
        if math.prod(grid) == tokens and all(side % block == 0 for side in before):
            return grid
    return None


def _divides(grid: Grid, image: Sequence[int]) -> bool:
    """True where one patch size divides all sides into the grid."""
    patches = {side / count for side, count in zip(image, grid, strict=True) if count}
    return len(patches) == 1 and patches.pop().is_integer()
