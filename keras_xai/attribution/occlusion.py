"""Occlusion."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import picture_axes
from keras_xai.attribution.method import Method, Rows, Tensor
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

MOST = 1024  # windows over a series where their size is not given


@dataclasses.dataclass(frozen=True)
class Occlusion(Method):
    """What the score loses when a window of the input is replaced by the baseline (Zeiler and Fergus 2013, arXiv 1311.2901).

        values = mean over the windows w that cover an entry of  score(x) − score(x with w from x₀)

    The windows slide over the places of a picture (all channels at once), over the moments of each channel of a series by
    itself, over the tokens of a text, over the columns of a table; a sample that is one string or token goes as a whole.
    Signed, in score units; each entry of a window gets the window's whole loss, so sums mean nothing. It asks what the
    model does, not what it might: no gradient, no saturation. Prefer it for small inputs, and to check another method. Zero
    on inputs the model does not use.

    Sanity: fails the randomisation test on digits (0.91 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: one forward pass a window, and one more.

    Args:
        window: a side in places, or a tuple with one for each axis of places; default 1 for tables and tokens, an eighth of a
            picture's side, of a series one moment of one channel, or as many moments as leave 1,024 windows in all. A number
            takes moments with all their channels. (H, W) pictures without a channel axis: a tuple of two, the default of a
            probe of images.
        stride: how far the window moves, likewise; default the window.

    Raises:
        InvalidInput: a window or stride under 1, larger than the input, or of another rank.

    Example:
        >>> a = kx.attribute(model, images, method="occlusion", window=4, stride=2)
        >>> a.values.shape
        (16, 16, 16, 1)
    """

    differentiates: ClassVar[bool] = False

    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride"):
            given = getattr(self, name)
            sides = (1,) if given is None else tuple(np.atleast_1d(given).tolist())
            for side in sides:
                check_int(name, side, expected="a positive integer, or a tuple of such")

    def values(self, at: Rows) -> list[Tensor]:
        full = at.score
        return [self._of(at, number, tuple(x.shape[1:]), full) for number, x in enumerate(at.given)]

    def _of(self, at: Rows, number: int, shape: tuple[int, ...], full: Tensor) -> Tensor:
        """(n, ...) of one input; the others stay as they are."""
        ops, backend = keras.ops, get_backend()
        looked_up = at.looked_up[number]
        axes = tuple(range(len(shape))) if looked_up else self._axes(shape)
        by_channel = not looked_up and _by_channel(shape, axes)
        sides = self._sides(shape, axes, by_channel, places=not looked_up)
        covers = [_cover(shape[a], w, s) for a, w, s in zip(axes, *sides, strict=True)]
        steps = [len(c) for c in covers]
        count = int(np.prod(steps))  # 1 for a sample that is one string or token: it goes as a whole
        tensors = [backend.constant(c) for c in covers]
        # (count,) an axis: which of its windows each variant has.
        numbers = np.unravel_index(np.arange(count), steps) if steps else ()
        windows = [backend.constant(number.astype(np.int32)) for number in numbers]

        def without(k: Tensor) -> list[Tensor]:
            inside = ops.ones((k.shape[0], *[1] * len(shape)))
            for axis, cover, window in zip(axes, tensors, windows, strict=True):
                along = [shape[axis] if a == axis else 1 for a in range(len(shape))]
                side = ops.take(cover, ops.take(window, k, axis=0), axis=0)
                inside = inside * ops.reshape(side, [k.shape[0], *along])
            masks = [ops.ones((1, *[1] * len(x.shape))) for x in at.given]
            masks[number] = 1 - inside[:, None]
            return at.kept(masks)

        loss = full[:, None] - at.tried(count, without)
        # A window's loss goes to every entry under it: one product an axis, and as many for the windows over an entry.
        total = ops.reshape(loss, (at.size, *steps))
        for place, cover in enumerate(covers):
            mean = cover / np.maximum(cover.sum(0), 1)
            total = ops.moveaxis(
                ops.tensordot(total, backend.constant(mean.astype(np.float32)), [[place + 1], [0]]), -1, place + 1
            )
        spread = [at.size, *(s if a in axes else 1 for a, s in enumerate(shape))]
        return ops.broadcast_to(ops.reshape(total, spread), (at.size, *shape))

    def for_probe(self, probe: Probe) -> Method:
        if self.window is not None or probe.kind != "image" or len(probe.shape) != 2:
            return self
        return dataclasses.replace(self, window=tuple(max(1, side // 8) for side in probe.shape))

    def _axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of a sample that windows slide over: of places, moments or columns; the channels of a series too."""
        if isinstance(self.window, tuple) and len(self.window) == len(shape):
            return tuple(range(len(shape)))
        picture = picture_axes((1, *shape))
        if picture:
            return tuple(a - 1 for a in picture)
        return (0, 1) if len(shape) == 2 and self.window is None else tuple(range(len(shape)))[:1]

    def _sides(
        self, shape: tuple[int, ...], axes: tuple[int, ...], by_channel: bool, places: bool = True
    ) -> tuple[list[int], list[int]]:
        if by_channel and self.window is None:
            window = [min(-(-math.prod(shape) // MOST), shape[0]), 1]
            return window, window if self.stride is None else _a_side(self.stride, axes, window, "stride")
        default = [max(1, shape[a] // 8) if places and len(axes) > 1 else 1 for a in axes]
        window = _a_side(self.window, axes, default, "window")
        for side, axis in zip(window, axes, strict=True):
            if side > shape[axis]:
                raise InvalidInput(
                    f"window={self.window!r} is larger than the input, whose samples have shape {shape}."
                )
        return window, _a_side(self.stride, axes, window, "stride")


def _by_channel(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether the axes are the moments and the channels of a series."""
    return len(shape) == 2 and axes == (0, 1)


def _a_side(given: Any, axes: tuple[int, ...], default: list[int], name: str) -> list[int]:
    if given is None:
        return default
    sides = list(given) if isinstance(given, (tuple, list)) else [int(given)] * len(axes)
    if len(sides) != len(axes):
        raise InvalidInput(f"{name}={given!r} has {len(sides)} sides, the input {len(axes)} axes to slide over.")
    return sides


def _cover(length: int, window: int, stride: int) -> NDArray[np.float32]:
    """(windows, length) which entries each window covers; the last ones are pushed back inside, so that all are covered."""
    count = -(-max(length - window, 0) // stride) + 1
    begin = np.minimum(np.arange(count) * stride, length - window)
    entry = np.arange(length)
    return ((entry >= begin[:, None]) & (entry < begin[:, None] + window)).astype(np.float32)
