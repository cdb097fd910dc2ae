"""The places of samples that are taken away as one: a pixel with its channels, a step of a series, else an entry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import Groups, grouped_entries, spatial_axes
from keras_xai.errors import InvalidInput

PATCH_OF_IMAGES = 9  # pixels a side, as in Samek et al. 2015
MOST_PATCHES = 8  # a side, of images in which that would be fewer
MOST_STRETCHES = 16  # of a series


class Places:
    """The places of some samples, numbered over all inputs: pixels of images and voxels of volumes with all their channels.

    In a series a place is a step with all its channels where the values are a map over steps; else each entry is a place of its
    own, as in tables and tokens.

    Args:
        shapes: (B, ...) of each input.
        values: of the shape of the input, or a map (B, h, w) of any resolution; of volumes (B, d, h, w), of series (B, t).

    Attributes:
        count: P.
        values: (B, P) sums over channels; a map enlarged to the input.

    Raises:
        InvalidInput: values of another shape, with both shapes.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], values: Sequence[NDArray[Any]]) -> None:
        if len(values) != len(shapes):
            raise InvalidInput(
                f"values has {len(values)} arrays, x has {len(shapes)} inputs: one for each is expected."
            )
        self._shapes = list(shapes)
        self._axes: list[tuple[int, ...] | None] = []
        parts = []
        for shape, of_input in zip(shapes, values, strict=True):
            axes, by_place = _by_place(shape, np.asarray(of_input, np.float64))
            self._axes.append(axes)
            parts.append(by_place.reshape(shape[0], -1))
        self._sizes = [part.shape[1] for part in parts]
        self.values = np.concatenate(parts, 1)
        self.count = self.values.shape[1]

    def spread(self, by_place: NDArray[Any]) -> list[NDArray[Any]]:
        """Return what stands at each place (B, P) as one array an input that broadcasts to it."""
        arrays = []
        parts = np.split(by_place, np.cumsum(self._sizes)[:-1], axis=1)
        for shape, axes, part in zip(self._shapes, self._axes, parts, strict=True):
            if axes is None:
                arrays.append(part.reshape(len(part), *shape[1:]))
                continue
            grid = part.reshape(len(part), *(shape[axis] for axis in axes))
            arrays.append(grid[:, None] if axes[0] == 2 else grid[..., None])
        return arrays

    def regions(self, patch: int | None, kind: str, groups: Groups = None) -> NDArray[np.int64]:
        """Return the region (P) that each place lies in: regions are numbered from 0 and cover all places.

        Args:
            patch: side of a region in pixels, voxels or steps; in tables and tokens so many neighbours. None: of images 9, but
                an eighth of the shorter side where that is less; of series a 16th of the steps; in tables and tokens 1.
            kind: of the samples, "" where nothing says it.
            groups: of the only input, see `Occlusion`, in the place of patches.

        Raises:
            InvalidInput: groups for several inputs, or that do not fit.
        """
        parts: list[NDArray[np.int64]] = []
        total = 0
        if groups is not None and len(self._shapes) > 1:
            raise InvalidInput(f"groups= names parts of one input; the model takes {len(self._shapes)}.")
        for shape, axes in zip(self._shapes, self._axes, strict=True):
            if groups is None:
                numbers = _patches(shape, axes, patch, kind)
            else:
                numbers = _one_for_all_channels(grouped_entries(shape[1:], groups), axes)
            labels, by_label = np.unique(numbers, return_inverse=True)
            parts.append(by_label.reshape(-1) + total)
            total += len(labels)
        return np.concatenate(parts)


def _by_place(
    shape: tuple[int, ...], values: NDArray[np.float64]
) -> tuple[tuple[int, ...] | None, NDArray[np.float64]]:
    """Return the axes of x that places lie along, None where each entry is a place; and the values by place."""
    axes = spatial_axes(shape)
    if axes is None and len(shape) == 3 and values.ndim == 2:
        axes = (1,)  # a map over the steps of a series
    is_map = axes is not None and values.ndim == len(shape) - 1 and len(values) == shape[0]
    if values.shape != shape and not is_map:
        raise InvalidInput(
            f"values has shape {values.shape}, x has {shape}: the same, or a map (B, h, w), is expected; of volumes "
            f"(B, d, h, w), of series (B, t)."
        )
    if axes is None:
        return None, values
    if not is_map:
        return axes, values.sum(1 if axes[0] == 2 else -1)
    for axis, of_input in enumerate(axes, 1):
        # A map of a coarser resolution: each position takes the value of the cell that it lies in.
        length = shape[of_input]
        values = np.take(values, np.arange(length) * values.shape[axis] // length, axis)
    return axes, values


def _patches(shape: tuple[int, ...], axes: tuple[int, ...] | None, patch: int | None, kind: str) -> NDArray[np.int64]:
    """Return the number of the patch that each place of an input lies in, in the shape of its places."""
    places = shape[1:] if axes is None else tuple(shape[axis] for axis in axes)
    if len(places) > 1 and axes is None and kind != "image":
        # A series (T, C): a stretch of steps, with all their channels.
        side = patch or max(1, places[0] // MOST_STRETCHES)
        stretch = np.arange(places[0]) // side
        return np.broadcast_to(stretch.reshape(-1, *[1] * (len(places) - 1)), places)
    if not places:
        return np.zeros((), np.int64)
    if len(places) == 1:
        return np.arange(places[0]) // (patch or (1 if axes is None else max(1, places[0] // MOST_STRETCHES)))
    side = patch or max(1, min(PATCH_OF_IMAGES, min(places) // MOST_PATCHES))
    numbers: NDArray[np.int64] = np.zeros((), np.int64)
    for length in places:
        numbers = numbers[..., None] * math.ceil(length / side) + np.arange(length) // side
    return numbers


def _one_for_all_channels(numbers: NDArray[np.int64], axes: tuple[int, ...] | None) -> NDArray[np.int64]:
    """Return the group of each place, of the groups of the entries of a sample.

    Raises:
        InvalidInput: groups that part the channels of a place.
    """
    if axes is None:
        return numbers
    channels = 0 if axes[0] == 2 else -1
    first = np.take(numbers, 0, channels)
    if not np.equal(numbers, np.expand_dims(first, channels)).all():
        raise InvalidInput("groups parts the channels of a pixel or step, which go together: give one number for each.")
    return first
