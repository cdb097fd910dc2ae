"""What a perturbation takes away as one: columns, moments, cells of a picture, or the groups that a user names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.method import Rows, Tensor
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput
from keras_xai.image import MASKED_CELLS, cell_numbers, is_channels_first
from keras_xai.probe import Probe

STRETCHES = 16  # of time, in each channel of a series
FEATURES = 64  # of a series, where its channels are not more: a regression on drawn coalitions wants few
Groups = Mapping[str, Sequence[int]] | Sequence[Any] | NDArray[Any] | None


class Features:
    """The M features of some inputs, and the way between them and the entries of a sample.

    Args:
        at: rows, for the shapes of their inputs: columns (F) are features one by one, so are tokens; of a series (T, C) up to
            `STRETCHES` stretches of time in each channel, of a picture a grid of `image.MASKED_CELLS` a side.
        groups: of the only input: a dict from a group's name to its columns (what no group names stands for itself), or
            an integer map in the shape of a sample or of its places.

    Raises:
        InvalidInput: groups for several inputs, of another shape, or of columns that do not exist.
    """

    def __init__(self, at: Rows, groups: Groups = None) -> None:
        shapes = [tuple(x.shape[1:]) for x in at.given]
        if groups is not None and len(shapes) > 1:
            raise InvalidInput(f"groups= names parts of one input; the model takes {len(shapes)}.")
        self.maps: list[NDArray[np.int64]] = []  # which feature each entry of a sample belongs to
        self.count = 0
        for shape, looked_up in zip(shapes, at.looked_up, strict=True):
            alone = np.arange(math.prod(shape)).reshape(shape)  # tokens
            numbers = _grouped(shape, groups) if groups is not None else alone if looked_up else _apart(shape)
            labels, found = np.unique(numbers, return_inverse=True)
            self.maps.append(found.reshape(shape) + self.count)
            self.count += len(labels)

    def masks(self, present: Tensor) -> list[Tensor]:
        """(per, M) which features are there -> (per, 1, ...) an input, which entries are."""
        ops = keras.ops
        return [
            ops.reshape(ops.take(present, get_backend().constant(m.reshape(-1)), axis=1), (-1, 1, *m.shape))
            for m in self.maps
        ]

    def spread(self, values: Tensor) -> list[Tensor]:
        """(n, M) a value a feature -> (n, ...) an input: divided evenly among a feature's entries, so that sums stay."""
        ops = keras.ops
        size = np.bincount(np.concatenate([m.reshape(-1) for m in self.maps]), minlength=self.count)
        share = values / get_backend().constant(size.astype(np.float32))
        return [
            ops.reshape(ops.take(share, get_backend().constant(m.reshape(-1)), axis=1), (-1, *m.shape))
            for m in self.maps
        ]


def picture_axes(shape: Sequence[int]) -> tuple[int, int] | None:
    """The two axes of places of a batch of pictures (n, h, w, c) or (n, c, h, w); None for anything else."""
    if len(shape) != 4:
        return None
    return (2, 3) if is_channels_first(shape[1:]) else (1, 2)


def probe_groups(probe: Probe) -> Groups:
    """The groups of a probe with one input."""
    return probe.groups if len(probe.inputs) == 1 else None


def _apart(shape: tuple[int, ...]) -> NDArray[np.int64]:
    axes = picture_axes((1, *shape))
    if axes is None and len(shape) == 2:
        # A series (T, C): what one channel does is not what another one does.
        stretches = max(1, min(STRETCHES, FEATURES // shape[1], shape[0]))
        stretch = np.arange(shape[0]) * stretches // shape[0]
        return stretch[:, None] * shape[1] + np.arange(shape[1])
    if axes is None:
        # Columns stand for themselves.
        numbers = np.arange(shape[0] if shape else 1)
        return np.broadcast_to(numbers.reshape(-1, *[1] * (len(shape) - 1)), shape) if shape else numbers[0]
    row, column = (cell_numbers(shape[a - 1], MASKED_CELLS) for a in axes)
    grid = row[:, None] * MASKED_CELLS + column[None]
    return np.broadcast_to(grid[None] if axes == (2, 3) else grid[..., None], shape)


def _grouped(shape: tuple[int, ...], groups: Any) -> NDArray[np.int64]:
    size = math.prod(shape)
    if isinstance(groups, Mapping):
        numbers = np.arange(size)
        for members in groups.values():
            outside = [c for c in members if not 0 <= int(c) < size]
            if outside:
                raise InvalidInput(f"groups holds the column {outside[0]}, a sample has {size}.")
            numbers[[int(c) for c in members]] = min(int(c) for c in members)
        return numbers.reshape(shape)
    found = np.asarray(groups)
    axes = picture_axes((1, *shape))
    places = shape[:1] if axes is None else tuple(shape[a - 1] for a in axes)
    if not np.issubdtype(found.dtype, np.integer) or found.shape not in (shape, places):
        raise InvalidInput(
            f"groups has shape {found.shape} and dtype {found.dtype}: expected integers, one for each of {places} or {shape}."
        )
    if found.shape == shape:
        return found
    if axes == (2, 3):
        return np.broadcast_to(found[None], shape)
    return np.broadcast_to(found.reshape(*found.shape, *[1] * (len(shape) - found.ndim)), shape)
