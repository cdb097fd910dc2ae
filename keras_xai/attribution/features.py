"""The features that a perturbation takes away as one: columns, time steps, cells of an image, or the groups that a user names."""

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

SERIES_STRETCHES = 16  # of time, in each channel of a series
SERIES_FEATURES = 64  # of a series, where its channels are not more: a regression on drawn coalitions wants few
Groups = Mapping[str, Sequence[int]] | Sequence[Any] | NDArray[Any] | None


class FeatureMasks:
    """The M features of some inputs, and the way between them and the entries of a sample.

    Args:
        batch: for the shapes of its inputs: columns (F) are features one by one, so are tokens; of a series (T, C) up to
            `SERIES_STRETCHES` stretches of time in each channel, of an image a grid of `image.MASKED_CELLS` a side.
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
                numbers = _grouped(shape, groups)
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


def probe_groups(probe: Probe) -> Groups:
    """The groups of a probe with one input."""
    return probe.groups if len(probe.inputs) == 1 else None


def _ungrouped(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The feature that each entry of a sample of this shape belongs to, where no groups are given."""
    axes = image_axes((1, *shape))
    if axes is not None:
        row, column = (cell_numbers(shape[a - 1], MASKED_CELLS) for a in axes)
        grid = row[:, None] * MASKED_CELLS + column[None]
        return np.broadcast_to(grid[None] if axes == (2, 3) else grid[..., None], shape)
    if len(shape) == 2:
        # A series (T, C): what one channel does is not what another one does.
        stretches = max(1, min(SERIES_STRETCHES, SERIES_FEATURES // shape[1], shape[0]))
        stretch = np.arange(shape[0]) * stretches // shape[0]
        return stretch[:, None] * shape[1] + np.arange(shape[1])
    if not shape:
        return np.zeros((), np.int64)
    # Columns stand for themselves.
    return np.broadcast_to(np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)), shape)


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
    numbers = np.asarray(groups)
    axes = image_axes((1, *shape))
    pixels = shape[:1] if axes is None else tuple(shape[a - 1] for a in axes)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.shape not in (shape, pixels):
        raise InvalidInput(
            f"groups has shape {numbers.shape} and dtype {numbers.dtype}: expected integers, one for each of {pixels} or "
            f"{shape}."
        )
    if numbers.shape == shape:
        return numbers
    if axes == (2, 3):
        return np.broadcast_to(numbers[None], shape)
    return np.broadcast_to(numbers.reshape(*numbers.shape, *[1] * (len(shape) - numbers.ndim)), shape)
