"""Finds what a model must be given so that a layer at its beginning gets a certain value."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend.layer_calls import replaced_calls
from keras_xai.backend.protocol import Preimage
from keras_xai.backend.tensorflow.program import compiled

logger = logging.getLogger("keras_xai")
TOLERANCE = 1e-3  # of the value's size: what rounding in a rescaling leaves

Function = Callable[[list[Any]], Any]


class _Point(NamedTuple):
    """An input for which one call of a layer may get the value that it is to get; one entry for each floating input."""

    layer: keras.layers.Layer
    reached: list[Any]  # which entries of the input lead to the layer
    values: list[Any]  # of these entries, float32
    is_exact: Any  # whether the layer does get the value


def preimages(
    function: Function, inputs: Sequence[NDArray[Any]], layers: Sequence[keras.layers.Layer], model: keras.Model
) -> list[Preimage]:
    """See `Backend`.

    Between a model's inputs and such a layer stand shifts, scales, slices and reshapes, which take each entry of an input to
    some entries of their own. Of such a map the value at zero and one backward pass give the inverse; whether it is one is
    seen by going forward again. A layer that is fed by something else is left out.
    """
    floating = [k for k, a in enumerate(inputs) if a.dtype.kind == "f"]

    def points(z: list[Any]) -> list[_Point]:
        zeros = [tf.zeros_like(a) if k in floating else a for k, a in enumerate(z)]
        return _points(lambda x: _layer_inputs(function, x, layers), zeros, floating)

    try:
        results: list[_Point] = compiled(points, model)([np.asarray(a) for a in inputs])
    except Exception:  # of a model that takes no single row, or is refused later on, in words
        logger.debug("no value in front of a Normalization or Masking could be found", exc_info=True)
        return []
    solved = []
    for result in results:
        values = {
            k: (np.asarray(reached)[0], np.asarray(value)[0])
            for k, reached, value in zip(floating, result.reached, result.values, strict=True)
            if np.asarray(reached).any()
        }
        if values and bool(result.is_exact):
            solved.append(Preimage(result.layer, values))
    return solved


def _layer_inputs(
    function: Function, inputs: list[Any], layers: Sequence[keras.layers.Layer]
) -> list[tuple[keras.layers.Layer, Any]]:
    """The first tensor that each call of the layers gets, in order; none that lies in the body of a loop."""
    calls: list[tuple[keras.layers.Layer, Any]] = []

    def replacing(layer: keras.layers.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*args: Any, **kwargs: Any) -> Any:
            if args and tf.is_symbolic_tensor(args[0]) and args[0].graph is tf.compat.v1.get_default_graph():
                calls.append((layer, args[0]))
            return call(*args, **kwargs)

        return recording

    with replaced_calls(layers, replacing):
        function(inputs)
    return calls


def _points(
    layer_inputs: Callable[[list[Any]], list[tuple[keras.layers.Layer, Any]]], zeros: list[Any], floating: list[int]
) -> list[_Point]:
    """For each call of the layers the inputs that the inverse of the map at zero gives, and whether they are right."""
    sources = [zeros[k] for k in floating]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(sources)
        calls = layer_inputs(zeros)
    points = []
    for number, (layer, tensor) in enumerate(calls):
        if not tensor.dtype.is_floating:
            continue
        value = tf.broadcast_to(tf.cast(_value_of(layer), tensor.dtype), tf.shape(tensor))
        slopes = tape.gradient(tensor, sources)
        products = tape.gradient(tensor, sources, output_gradients=value - tensor)
        reached, point, again = [], [], list(zeros)
        for k, slope, product in zip(floating, slopes, products, strict=True):
            if slope is None:
                reached.append(tf.zeros(zeros[k].shape, tf.bool))
                point.append(tf.zeros(zeros[k].shape, tf.float32))
            else:
                reached.append(tf.not_equal(slope, 0))
                point.append(tf.cast(tf.math.divide_no_nan(product, tf.square(slope)), tf.float32))
            again[k] = tf.cast(point[-1], zeros[k].dtype)
        _, result = layer_inputs(again)[number]
        scale = tf.cast(tf.reduce_max(tf.abs(value)) + 1.0, result.dtype)
        is_exact = tf.reduce_max(tf.abs(result - value)) <= TOLERANCE * scale
        points.append(_Point(layer, reached, point, is_exact))
    return points


def _value_of(layer: keras.layers.Layer) -> Any:
    """The value that a layer is to get: a Masking its mask value, a Normalization its mean."""
    return layer.mask_value if isinstance(layer, keras.layers.Masking) else layer.mean
