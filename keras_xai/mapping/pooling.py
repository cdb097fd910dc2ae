"""An activation as a matrix, one row a sample, and its figures over units; inside a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

MOST = 4096  # numbers of a map: global average pooling would lose where things are
NEAR = 0.01  # of a bound counts as saturated
BOUNDS = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
FLAT = {"relu": (0.0,), "relu6": (0.0, 6.0)}

Tensor = Any


class Pooled(NamedTuple):
    """Of n rows: the matrix, and what has to be added up over further rows."""

    rows: Tensor  # (n, D) float32
    moments: Tensor  # (5): count, mean, Σ(a − mean)², count in a flat part, largest distance from the first row
    peaks: Tensor  # (C) max|a| of each unit


def pooled(activation: Tensor, weight: Tensor, mask: Tensor, function: str, channels_first: bool) -> Pooled:
    """Vectors as they are; sequences the mean over the steps that count; maps average-pooled to at most 4096 numbers.

    Args:
        activation: (n), (n, C), (n, T, C), (n, H, W, C) or more places.
        weight: (n) 1 for a row that counts, 0 for a filler.
        mask: (n, T) true where a step counts, or None.
        function: that made it.
        channels_first: the units stand behind the samples.
    """
    a = ops.cast(activation, "float32")
    if len(a.shape) == 1:
        a = a[:, None]  # one unit
    rank = len(a.shape)
    if channels_first and rank > 2:
        a = ops.moveaxis(a, 1, -1)
    counts = ops.reshape(weight, (-1, *[1] * (rank - 1)))
    steps = None
    if mask is not None:
        steps = ops.reshape(ops.cast(mask, "float32"), (-1, a.shape[1], *[1] * (rank - 2)))
        a = ops.where(steps > 0, a, 0.0)  # what a padded step holds may be anything, NaN too
        counts = counts * steps
    return Pooled(_matrix(a, steps), _moments(a, counts, function), _peaks(a, counts))


def by_weights(found: Pooled, weights: Sequence[Any]) -> Pooled:
    """Of a rectifier: NaN where a weight of its layer is not finite. Some processors make 0 of NaN, as if nothing were wrong."""
    numbers = [w for w in weights if "float" in w.dtype]
    if not numbers:
        return found
    finite = ops.all(ops.stack([ops.all(ops.isfinite(w)) for w in numbers]))
    spoiled = ops.where(finite, 0.0, float("nan"))
    return Pooled(*(ops.cast(part, "float32") + spoiled for part in found))


def _matrix(a: Tensor, steps: Tensor | None) -> Tensor:
    if steps is not None:
        a = ops.sum(a, 1) / ops.maximum(ops.sum(steps, 1), 1.0)
    elif len(a.shape) == 3:
        a = ops.mean(a, 1)
    # Only the last three axes of places can be averaged down; what lies before them (steps of films) stays.
    while len(a.shape) > 2 and _product(a.shape[1:]) > MOST and max(a.shape[1:-1][-3:]) > 1:
        a = _halved(a)
    return ops.reshape(a, (-1, _product(a.shape[1:])))


def _halved(a: Tensor) -> Tensor:
    places = a.shape[1:-1]
    kept, halved = places[:-3], places[-3:]
    window = tuple(2 if n > 1 else 1 for n in halved)
    rows = ops.reshape(a, (-1, *halved, a.shape[-1]))
    # "same" counts no padding, so that an odd edge is the mean of what is there
    smaller = ops.average_pool(rows, window, window, padding="same", data_format="channels_last")
    return ops.reshape(smaller, (-1, *kept, *smaller.shape[1:]))


def _moments(a: Tensor, counts: Tensor, function: str) -> Tensor:
    everywhere = counts * ops.ones_like(a)
    n = ops.sum(everywhere)
    mean = ops.sum(a * counts) / ops.maximum(n, 1.0)
    squares = ops.sum(ops.square(a - mean) * counts)
    apart = ops.max(ops.abs(a - a[:1]) * counts * counts[:1])
    return ops.stack([n, mean, squares, ops.sum(_flat(a, function) * counts), apart])


def _flat(a: Tensor, function: str) -> Tensor:
    if function in FLAT:
        found = [ops.equal(a, bound) for bound in FLAT[function]]
    elif function in BOUNDS:
        low, high = BOUNDS[function]
        found = [a < low + NEAR, a > high - NEAR]
    else:
        return ops.zeros_like(a)
    return sum(ops.cast(one, "float32") for one in found)


def _peaks(a: Tensor, counts: Tensor) -> Tensor:
    return ops.max(ops.abs(a) * counts, axis=tuple(range(len(a.shape) - 1)))


def _product(numbers: Any) -> int:
    out = 1
    for n in numbers:
        out *= int(n)
    return out
