"""Finds what a model must be given so that a layer at its beginning gets a certain value."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.activations import is_floating
from keras_xai.backend.layer_calls import Call, replaced_calls
from keras_xai.backend.protocol import Tensor, Tensors

logger = logging.getLogger("keras_xai")
TOLERANCE = 1e-3  # of the value's size: what rounding in a rescaling leaves

Function = Callable[[Tensors], Any]


class Preimage(NamedTuple):
    """Inputs for which a layer at the beginning of a model gets a certain value."""

    layer: keras.layers.Layer
    # By index of the input: True for the entries that lead to the layer, and their values; both in the shape of one sample.
    values: Mapping[int, tuple[NDArray[Any], NDArray[Any]]]


class _Point(NamedTuple):
    """An input for which one call of a layer may get the value that it is to get; one entry for each floating input."""

    layer: keras.layers.Layer
    reached: Tensors  # which entries of the input lead to the layer
    values: Tensors  # of these entries, float32
    is_exact: Tensor  # whether the layer does get the value


def preimages(
    function: Function, inputs: Sequence[NDArray[Any]], layers: Sequence[keras.layers.Layer], model: keras.Model
) -> list[Preimage]:
    """Find the inputs for which a Normalization gets its mean, or a Masking its mask value.

    Between a model's inputs and such a layer stand shifts, scales, slices and reshapes, which take each entry of an input to
    some entries of their own. Of such a map the value at zero and one backward pass give the inverse; whether it is one is
    seen by going forward again. A layer that is fed by something else is left out.

    Args:
        function: of the inputs, which calls the layers.
        inputs: (1, ...) one sample.
        layers: to look for.
        model: whose state is restored.
    """
    floating = [k for k, a in enumerate(inputs) if a.dtype.kind == "f"]

    def points(z: Tensors) -> list[_Point]:
        zeros = [keras.ops.zeros_like(a) if k in floating else a for k, a in enumerate(z)]
        calls = _layer_inputs(function, zeros, layers)
        candidates = [_point(function, zeros, floating, layers, number) for number in range(len(calls))]
        return [point for point in candidates if point is not None]

    numpy = get_backend().numpy
    try:
        results: list[_Point] = get_backend().compiled(points, model)([np.asarray(a) for a in inputs])
    except Exception:  # of a model that takes no single row, or is refused later on, in words
        logger.debug("no value in front of a Normalization or Masking could be found", exc_info=True)
        return []
    solved = []
    for result in results:
        values = {
            k: (numpy(reached)[0], numpy(value)[0])
            for k, reached, value in zip(floating, result.reached, result.values, strict=True)
            if numpy(reached).any()
        }
        if values and bool(numpy(result.is_exact)):
            solved.append(Preimage(result.layer, values))
    return solved


def _layer_inputs(
    function: Function, inputs: Tensors, layers: Sequence[keras.layers.Layer]
) -> list[tuple[keras.layers.Layer, Tensor]]:
    """The first tensor that each call of the layers gets, in order."""
    calls: list[tuple[keras.layers.Layer, Tensor]] = []

    def replacing(layer: keras.layers.Layer, call: Call) -> Call:
        def recording(*args: Any, **kwargs: Any) -> Any:
            if args and keras.ops.is_tensor(args[0]):
                calls.append((layer, args[0]))
            return call(*args, **kwargs)

        return recording

    with replaced_calls(layers, replacing):
        function(list(inputs))
    return calls


def _point(
    function: Function, zeros: Tensors, floating: list[int], layers: Sequence[keras.layers.Layer], number: int
) -> _Point | None:
    """The inputs that the inverse of the map at zero gives for one call of the layers, and whether they are right.

    Returns:
        None where the call gets no numbers, or lies in the body of a loop, whose tensors do not leave it.
    """
    ops, gradient = keras.ops, get_backend().gradient
    layer, _ = _layer_inputs(function, zeros, layers)[number]

    def layer_input(z: Tensors) -> Tensor:
        return _layer_inputs(function, z, layers)[number][1]

    def missing(tensor: Tensor) -> Tensor:
        """The difference of the value that the layer is to get from the tensor."""
        return ops.cast(_value_of(layer), tensor.dtype) - tensor

    def total(z: Tensors) -> Tensor:
        return ops.reshape(ops.sum(layer_input(z)), (1,))

    def weighted_total(z: Tensors) -> Tensor:
        tensor = layer_input(z)
        return ops.reshape(ops.sum(tensor * ops.stop_gradient(missing(tensor))), (1,))

    try:
        tensor = layer_input(zeros)
        if not is_floating(tensor):
            return None
        slopes, products = gradient(total, zeros).gradients, gradient(weighted_total, zeros).gradients
    except Exception:  # a tensor of a loop's body, which raises differently on each framework
        logger.debug("the input of %r is out of reach", layer.name, exc_info=True)
        return None
    reached, values, again = [], [], list(zeros)
    for k in floating:
        if slopes[k] is None:
            reached.append(ops.zeros_like(zeros[k], dtype="bool"))
            values.append(ops.zeros_like(zeros[k], dtype="float32"))
        else:
            has_slope = slopes[k] != 0
            reached.append(has_slope)
            square = ops.where(has_slope, ops.square(slopes[k]), ops.ones_like(slopes[k]))
            values.append(ops.cast(ops.where(has_slope, products[k] / square, ops.zeros_like(square)), "float32"))
        again[k] = ops.cast(values[-1], zeros[k].dtype)
    error = ops.max(ops.abs(missing(layer_input(again))))
    size = ops.cast(ops.max(ops.abs(ops.cast(_value_of(layer), "float32"))) + 1.0, error.dtype)
    return _Point(layer, reached, values, error <= TOLERANCE * size)


def _value_of(layer: keras.layers.Layer) -> Any:
    """The value that a layer is to get: a Masking its mask value, a Normalization its mean."""
    return layer.mask_value if isinstance(layer, keras.layers.Masking) else layer.mean
