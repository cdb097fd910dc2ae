"""Occlusion."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import spatial_axes
from keras_xai.attribution.method import Method
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

SERIES_WINDOWS = 1024  # over a series where their size is not given
IMAGE_SHARE = 8  # of an image's side, that a window takes where its size is not given
ENTRIES_A_PRODUCT = 1024  # of an axis, for which the losses of windows are averaged in one product


@dataclasses.dataclass(frozen=True)
class Occlusion(Method):
    """The loss of score when a window of the input is replaced by the baseline (Zeiler and Fergus 2013, arXiv 1311.2901).

        values = mean over the windows w that cover an entry of  score(x) − score(x with w from x₀)

    The windows slide over the pixels of an image and the voxels of a volume (all channels at once), over the time steps of
    each channel of a series by itself, over the tokens of a text, over the columns of a table; a sample that is one string or
    token goes as a whole.
    Signed, in score units; each entry of a window gets the window's whole loss, so sums mean nothing. It asks what the
    model does, not what it might: no gradient, no saturation. Prefer it for small inputs, and to check another method. Zero
    on inputs the model does not use.

    Sanity: fails the randomisation test on digits (0.91 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: one forward pass a window, and one more.

    Args:
        window: a side in pixels, or a tuple with one for each spatial axis; default 1 for tables and tokens, an eighth of each
            side of an image or volume, of a series one time step of one channel, or as many steps as leave 1,024 windows in
            all. A number takes time steps with all their channels, and of a volume no more slices than there are. (H, W)
            images and (D, H, W) volumes without a channel axis: a tuple of two or three, the default of such a probe.
        stride: how far the window moves, likewise; default the window.

    Raises:
        InvalidInput: a window or stride under 1, larger than the input, or of another rank.

    Example:
        >>> a = kx.attribute(model, images, method="occlusion", window=4, stride=2)
        >>> a.values.shape
        (16, 16, 16, 1)
    """

    title: ClassVar[str] = "Occlusion"
    needs_gradient: ClassVar[bool] = False

    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride"):
            value = getattr(self, name)
            for side in () if value is None else np.atleast_1d(value).tolist():
                check_int(name, side, expected="a positive integer, or a tuple of such")

    def passes(self, probe: Probe) -> float:
        return probe.feature_count / 3

    def values(self, batch: Batch) -> Tensors:
        score = batch.score
        return [self._losses(batch, number, score) for number in range(len(batch.model_inputs))]

    def _losses(self, batch: Batch, number: int, score: Tensor) -> Tensor:
        """(n, ...) the values of one input; the others stay as they are."""
        ops, backend = keras.ops, get_backend()
        shape = tuple(batch.model_inputs[number].shape[1:])
        windows = self._windows(shape, holds_tokens=batch.holds_tokens[number])
        axes = [axis for axis, _, _ in windows]
        begins = [_begins(shape[axis], window, stride) for axis, window, stride in windows]
        steps = [len(begin) for begin in begins]
        count = int(np.prod(steps))  # 1 for a sample that is one string or token: it goes as a whole
        # (count,) an axis: where the window of each variant begins.
        numbers = np.unravel_index(np.arange(count), steps) if steps else ()
        first = [
            backend.constant(begin[of_axis].astype(np.int32)) for begin, of_axis in zip(begins, numbers, strict=True)
        ]

        def without(k: Tensor) -> Tensors:
            inside = ops.ones((k.shape[0], *[1] * len(shape)))
            for (axis, window, _), begin in zip(windows, first, strict=True):
                along_axis = [shape[axis] if a == axis else 1 for a in range(len(shape))]
                begin_of_variant = ops.take(begin, k, axis=0)[:, None]
                entry = backend.constant(np.arange(shape[axis], dtype=np.int32))[None]
                side = ops.logical_and(entry >= begin_of_variant, entry < begin_of_variant + window)
                inside = inside * ops.reshape(ops.cast(side, "float32"), [k.shape[0], *along_axis])
            masks = [ops.ones((1, *[1] * len(x.shape))) for x in batch.model_inputs]
            masks[number] = 1 - inside[:, None]
            return apply_mask(batch, masks)

        loss = score[:, None] - score_variants(batch, count, without)
        # A window's loss goes to every entry under it, axis by axis.
        total = ops.reshape(loss, (batch.size, *steps))
        for position, ((axis, window, _), begin) in enumerate(zip(windows, begins, strict=True), 1):
            total = _mean_over_windows(total, position, begin, window, shape[axis])
        spread = [batch.size, *(side if axis in axes else 1 for axis, side in enumerate(shape))]
        return ops.broadcast_to(ops.reshape(total, spread), (batch.size, *shape))

    def for_probe(self, probe: Probe) -> Method:
        # Without an axis of channels they look like a series, or like an image.
        if self.window is not None or (probe.kind, len(probe.shape)) not in (("image", 2), ("volume", 3)):
            return self
        return dataclasses.replace(self, window=tuple(max(1, side // IMAGE_SHARE) for side in probe.shape))

    def _windows(self, shape: tuple[int, ...], *, holds_tokens: bool) -> list[tuple[int, int, int]]:
        """The axes of a sample that windows slide over, each with the window's side and how far it moves.

        Raises:
            InvalidInput: a window of another rank, or larger than the sample.
        """
        axes = tuple(range(len(shape))) if holds_tokens else self._axes(shape)
        if not holds_tokens and axes == (0, 1) and len(shape) == 2 and self.window is None:
            window = [min(-(-math.prod(shape) // SERIES_WINDOWS), shape[0]), 1]
        else:
            default = [1] * len(axes)
            if not holds_tokens and len(axes) > 1:
                default = [max(1, shape[a] // IMAGE_SHARE) for a in axes]
            window = _sides(self.window, default, "window")
        if len(axes) == 3 and np.ndim(self.window or 0) == 0 and window[0] <= max(shape[a] for a in axes):
            window = [
                min(side, shape[a]) for side, a in zip(window, axes, strict=True)
            ]  # a video has fewer frames than rows
        for side, axis in zip(window, axes, strict=True):
            if side > shape[axis]:
                raise InvalidInput(
                    f"window={self.window!r} is larger than the input, whose samples have shape {shape}."
                )
        return list(zip(axes, window, _sides(self.stride, window, "stride"), strict=True))

    def _axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a sample that windows slide over: spatial ones, time steps or columns; the channels of a series too."""
        if isinstance(self.window, tuple) and len(self.window) == len(shape):
            return tuple(range(len(shape)))
        spatial = spatial_axes((1, *shape))
        if spatial:
            return tuple(a - 1 for a in spatial)
        if len(shape) == 2 and self.window is None:
            return 0, 1
        return tuple(range(len(shape)))[:1]


def _sides(option: Any, default: list[int], name: str) -> list[int]:
    """A side for each axis, as an option has it.

    Raises:
        InvalidInput: another number of sides than axes.
    """
    if option is None:
        return default
    sides = list(option) if isinstance(option, (tuple, list)) else [int(option)] * len(default)
    if len(sides) != len(default):
        raise InvalidInput(f"{name}={option!r} has {len(sides)} sides, the input {len(default)} axes to slide over.")
    return sides


def _begins(length: int, window: int, stride: int) -> NDArray[np.int64]:
    """(windows,) the entry at which each window begins; the last one is pushed back inside, so that all are covered."""
    count = -(-max(length - window, 0) // stride) + 1
    return np.minimum(np.arange(count) * stride, length - window)


def _mean_over_windows(total: Tensor, position: int, begin: NDArray[np.int64], window: int, length: int) -> Tensor:
    """The axis `position` of windows (…, windows, …) as one of entries (…, length, …): the mean over the windows over each.

    A product of matrices, a stretch of entries at a time: one of all entries would take windows × entries numbers.
    """
    ops, parts = keras.ops, []
    for start in range(0, length, ENTRIES_A_PRODUCT):
        entries = np.arange(start, min(start + ENTRIES_A_PRODUCT, length))
        first = int(np.searchsorted(begin, start - window, side="right"))
        last = int(np.searchsorted(begin, entries[-1], side="right"))
        begins_near = begin[first:last, None]
        cover = ((entries >= begins_near) & (entries < begins_near + window)).astype(np.float32)
        mean = get_backend().constant(cover / np.maximum(cover.sum(0), 1))
        over = total[(slice(None),) * position + (slice(first, last),)]
        parts.append(ops.moveaxis(ops.tensordot(over, mean, [[position], [0]]), -1, position))
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, position)
