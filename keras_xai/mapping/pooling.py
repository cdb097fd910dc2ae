"""An activation as a matrix, one row a sample, and statistics over its units; runs inside a compiled program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

MAX_COLUMNS = 4096  # of a feature map's row; global average pooling would lose where in an image something is
SATURATION_MARGIN = 0.01  # an activation this close to a bound counts as saturated
BOUNDS = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
CONSTANT_VALUES = {"relu": (0.0,), "relu6": (0.0, 6.0)}  # values of an activation function where its slope is 0

Tensor = Any


class Pooled(NamedTuple):
    """The matrix of n rows, and statistics that can be merged with those of further rows."""

    rows: Tensor  # (n, D) float32
    moments: Tensor  # (5): count, mean, Σ(a − mean)², count of saturated ones, largest distance from the first row
    peaks: Tensor  # (C) max|a| of each unit


def pool_activation(
    activation: Tensor, weight: Tensor, mask: Tensor, activation_function: str, channels_first: bool
) -> Pooled:
    """The rows of an activation and its statistics.

    A vector is its own row, a sequence the mean over its unmasked steps, a map average-pooled to at most 4096 columns.

    Args:
        activation: (n), (n, C), (n, T, C), (n, H, W, C) or more spatial axes.
        weight: (n) 1 for a row that counts, 0 for padding.
        mask: (n, T) true where a step counts, or None.
        activation_function: its name, "" unknown.
        channels_first: the axis of units is the second one, not the last.
    """
    a = ops.cast(activation, "float32")
    if len(a.shape) == 1:
        a = a[:, None]  # one unit
    rank = len(a.shape)
    if channels_first and rank > 2:
        a = ops.moveaxis(a, 1, -1)
    weights = ops.reshape(weight, (-1, *[1] * (rank - 1)))
    steps = None
    if mask is not None:
        steps = ops.reshape(ops.cast(mask, "float32"), (-1, a.shape[1], *[1] * (rank - 2)))
        a = ops.where(steps > 0, a, 0.0)  # a masked step may hold anything, NaN too
        weights = weights * steps
    return Pooled(_matrix(a, steps), _moments(a, weights, activation_function), _peaks(a, weights))


def pool_gradient(gradient: Tensor, mask: Tensor, channels_first: bool) -> Tensor:
    """The gradient with respect to the rows of `pool_activation` (n, D), of that with respect to the activation.

    To move a mean is to move all that it is of alike: it is the sum over the steps that count, over each cell of a map.

    Args:
        gradient: in the shape of the activation.
        mask: (n, T) true where a step counts, or None.
        channels_first: the axis of units is the second one, not the last.
    """
    g = ops.cast(gradient, "float32")
    if len(g.shape) == 1:
        g = g[:, None]
    rank = len(g.shape)
    if channels_first and rank > 2:
        g = ops.moveaxis(g, 1, -1)
    if mask is not None:
        steps = ops.reshape(ops.cast(mask, "float32"), (-1, g.shape[1], *[1] * (rank - 2)))
        g = ops.sum(ops.where(steps > 0, g, 0.0), 1)
    elif rank == 3:
        g = ops.sum(g, 1)
    while _is_to_be_halved(g):
        g = _halved_sum(g)
    return ops.reshape(g, (-1, math.prod(g.shape[1:])))


def spoil_by_weights(pooled: Pooled, weights: Sequence[Any]) -> Pooled:
    """The same, or NaN throughout where a weight of the layer is not finite.

    On some processors ReLU turns NaN into 0, so that a layer with NaN weights would look like a dead one.
    """
    numeric = [variable for variable in weights if "float" in variable.dtype]
    if not numeric:
        return pooled
    finite = ops.all(ops.stack([ops.all(ops.isfinite(variable)) for variable in numeric]))
    spoiled = ops.where(finite, 0.0, float("nan"))
    return Pooled(*(ops.cast(values, "float32") + spoiled for values in pooled))


def _matrix(a: Tensor, steps: Tensor | None) -> Tensor:
    """The rows (n, D) of an activation (n, …, C), see `pool_activation`."""
    if steps is not None:
        a = ops.sum(a, 1) / ops.maximum(ops.sum(steps, 1), 1.0)
    elif len(a.shape) == 3:
        a = ops.mean(a, 1)
    while _is_to_be_halved(a):
        a = _halved(a)
    return ops.reshape(a, (-1, math.prod(a.shape[1:])))


def _is_to_be_halved(a: Tensor) -> bool:
    """True for a map of too many columns, whose last three spatial axes are halved; those before (frames of a video) stay."""
    return len(a.shape) > 2 and math.prod(a.shape[1:]) > MAX_COLUMNS and max(a.shape[1:-1][-3:]) > 1


def _halved_sum(a: Tensor) -> Tensor:
    """The sum over each cell of `_halved`."""
    spatial = a.shape[1:-1]
    sides = [(0, length % 2 if length > 1 else 0) for length in spatial[-3:]]
    padded = ops.pad(a, [(0, 0), *[(0, 0)] * len(spatial[:-3]), *sides, (0, 0)])
    return _halved(padded) * math.prod(_window(spatial[-3:]))


def _window(pooled: Sequence[int]) -> tuple[int, ...]:
    return tuple(2 if length > 1 else 1 for length in pooled)


def _halved(a: Tensor) -> Tensor:
    """Average pooling by 2 along the last three spatial axes."""
    spatial = a.shape[1:-1]
    leading, pooled = spatial[:-3], spatial[-3:]
    window = _window(pooled)
    rows = ops.reshape(a, (-1, *pooled, a.shape[-1]))
    # "same" does not count its padding: the last cell of an odd side is the mean of fewer.
    smaller = ops.average_pool(rows, window, window, padding="same", data_format="channels_last")
    return ops.reshape(smaller, (-1, *leading, *smaller.shape[1:]))


def _moments(a: Tensor, weights: Tensor, activation_function: str) -> Tensor:
    """The five statistics of `Pooled.moments`."""
    count = ops.sum(weights * ops.ones_like(a))
    mean = ops.sum(a * weights) / ops.maximum(count, 1.0)
    squares = ops.sum(ops.square(a - mean) * weights)
    distance = ops.max(ops.abs(a - a[:1]) * weights * weights[:1])
    saturated = ops.sum(_saturated(a, activation_function) * weights)
    return ops.stack([count, mean, squares, saturated, distance])


def _saturated(a: Tensor, activation_function: str) -> Tensor:
    """1 where the slope of the activation function is 0 or nearly so; 0 elsewhere, and for functions that are not known."""
    if activation_function in CONSTANT_VALUES:
        conditions = [ops.equal(a, value) for value in CONSTANT_VALUES[activation_function]]
    elif activation_function in BOUNDS:
        low, high = BOUNDS[activation_function]
        conditions = [a < low + SATURATION_MARGIN, a > high - SATURATION_MARGIN]
    else:
        return ops.zeros_like(a)
    return sum(ops.cast(condition, "float32") for condition in conditions)


def _peaks(a: Tensor, weights: Tensor) -> Tensor:
    """The largest |a| of each unit (C)."""
    return ops.max(ops.abs(a) * weights, axis=tuple(range(len(a.shape) - 1)))
