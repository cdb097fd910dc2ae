"""The features that a perturbation takes away as one: columns, time steps, cells of an image or volume, or a user's groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.image import MASKED_CELLS, cell_numbers, is_channels_first
from keras_xai.probe import Probe
from keras_xai.spatial import SpatialShape

SERIES_STRETCHES = 16  # of time, in each channel of a series
SERIES_FEATURES = 64  # of a series, where its channels are not more: a regression on drawn coalitions wants few
Groups = Mapping[str, Sequence[int]] | Sequence[Any] | NDArray[Any] | None


class FeatureMasks:
    """The M features of some inputs, and the way between them and the entries of a sample.

    Args:
        batch: for the shapes of its inputs: columns (F) are features one by one, so are tokens; of a series (T, C) up to
            `SERIES_STRETCHES` stretches of time in each channel, of an image or volume a grid of `image.MASKED_CELLS` a side.
        groups: of the only input: a dict from a group's name to its columns (what no group names stands for itself), or
            an integer map in the shape of a sample or of its pixels.

    Raises:
        InvalidInput: groups for several inputs, of another shape, or of columns that do not exist.
    """

    def __init__(self, batch: Batch, groups: Groups = None) -> None:
        shapes = [tuple(x.shape[1:]) for x in batch.model_inputs]
        if groups is not None and len(shapes) > 1:
            raise InvalidInput(f"groups= names parts of one input; the model takes {len(shapes)}.")
        self.maps: list[NDArray[np.int64]] = []  # which feature each entry of a sample belongs to
        self.count = 0
        for shape, holds_tokens in zip(shapes, batch.holds_tokens, strict=True):
            if groups is not None:
                numbers = grouped_entries(shape, groups)
            elif holds_tokens:
                numbers = np.arange(math.prod(shape)).reshape(shape)
            else:
                numbers = _ungrouped(shape)
            labels, by_label = np.unique(numbers, return_inverse=True)
            self.maps.append(by_label.reshape(shape) + self.count)
            self.count += len(labels)

    def masks(self, present: Tensor) -> Tensors:
        """(per, M) which features are present -> (per, 1, ...) an input, which entries are."""
        return [keras.ops.reshape(part, (-1, 1, *part.shape[1:])) for part in self._by_entry(present)]

    def spread(self, values: Tensor) -> Tensors:
        """(n, M) a value a feature -> (n, ...) an input: divided evenly among a feature's entries, so that sums stay."""
        size = np.bincount(np.concatenate([m.reshape(-1) for m in self.maps]), minlength=self.count)
        return self._by_entry(values / get_backend().constant(size.astype(np.float32)))

    def _by_entry(self, values: Tensor) -> Tensors:
        """(n, M) -> (n, ...) an input: each entry has what its feature has."""
        ops, constant = keras.ops, get_backend().constant
        return [ops.reshape(ops.take(values, constant(m.reshape(-1)), axis=1), (-1, *m.shape)) for m in self.maps]


def image_axes(shape: Sequence[int]) -> tuple[int, int] | None:
    """The two spatial axes of a batch of images (n, h, w, c) or (n, c, h, w); None for anything else."""
    if len(shape) != 4:
        return None
    return (2, 3) if is_channels_first(shape[1:]) else (1, 2)


def spatial_axes(shape: Sequence[int]) -> tuple[int, ...] | None:
    """The spatial axes of a batch of images or of volumes (n, d, h, w, c) or (n, c, d, h, w); None for anything else."""
    return SpatialShape.of_volume(shape[1:]).axes if len(shape) == 5 else image_axes(shape)


def probe_groups(probe: Probe) -> Groups:
    """The groups of a probe with one input; volumes without channels, which look like images, have a grid of cells."""
    if len(probe.inputs) > 1:
        return None
    if probe.groups is None and probe.kind == "volume" and len(probe.shape) == 3:
        return _grid(probe.shape)
    return probe.groups


def _ungrouped(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The feature that each entry of a sample of this shape belongs to, where no groups are given."""
    axes = spatial_axes((1, *shape))
    if axes is not None:
        return _over_channels(_grid([shape[a - 1] for a in axes]), axes, shape)
    if len(shape) == 2:
        # A series (T, C): what one channel does is not what another one does.
        stretches = max(1, min(SERIES_STRETCHES, SERIES_FEATURES // shape[1], shape[0]))
        stretch = np.arange(shape[0]) * stretches // shape[0]
        return stretch[:, None] * shape[1] + np.arange(shape[1])
    if not shape:
        return np.zeros((), np.int64)
    # Columns stand for themselves.
    return np.broadcast_to(np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)), shape)


def _grid(positions: Sequence[int]) -> NDArray[np.int64]:
    """The cell that each position lies in, `MASKED_CELLS` a side."""
    grid: NDArray[np.int64] = np.zeros((), np.int64)
    for length in positions:
        grid = grid[..., None] * MASKED_CELLS + cell_numbers(length, MASKED_CELLS)
    return grid


def _over_channels(numbers: NDArray[Any], axes: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """Numbers of positions along these axes of a batch, in the shape of a sample: repeated over its channels."""
    return np.broadcast_to(numbers[None] if axes[0] == 2 else numbers[..., None], shape)


def grouped_entries(shape: tuple[int, ...], groups: Any) -> NDArray[np.int64]:
    """The group of each entry of a sample of this shape.

    Raises:
        InvalidInput: groups of another shape, or of columns that do not exist.
    """
    size = math.prod(shape)
    if isinstance(groups, Mapping):
        numbers = np.arange(size)
        for members in groups.values():
            outside = [c for c in members if not 0 <= int(c) < size]
            if outside:
                raise InvalidInput(f"groups holds the column {outside[0]}, a sample has {size}.")
            numbers[[int(c) for c in members]] = min(int(c) for c in members)
        return numbers.reshape(shape)
    numbers = np.asarray(groups)
    axes = spatial_axes((1, *shape))
    positions = shape[:1] if axes is None else tuple(shape[a - 1] for a in axes)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape not in (shape, positions):
        raise InvalidInput(
            f"groups has shape {numbers.shape} and dtype {numbers.dtype}: expected integers, one for each of {positions} or "
            f"{shape}."
        )
    if numbers.shape == shape:
        return numbers
    if axes is not None:
        return _over_channels(numbers, axes, shape)
    return np.broadcast_to(numbers.reshape(*numbers.shape, *[1] * (len(shape) - numbers.ndim)), shape)
