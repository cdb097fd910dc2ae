"""What a model must be given so that a layer at its beginning gets a certain value."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend.tensorflow.layer_calls import calls_replaced
from keras_xai.backend.tensorflow.program import compiled

logger = logging.getLogger("keras_xai")
CLOSE = 1e-3  # of the value's size: what rounding in a rescaling leaves

Point = dict[int, tuple[NDArray[np.bool_], NDArray[np.float32]]]  # by input: which entries are meant, and their values


def preimages(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[NDArray[Any]],
    layers: Sequence[keras.layers.Layer],
    model: keras.Model,
) -> list[tuple[keras.layers.Layer, Point]]:
    """For each call of a `Normalization` the inputs for which it gets its mean, of a `Masking` its mask value.

    Between a model's inputs and such a layer stand shifts, scales, slices and reshapes, which take each entry of an input to
    some entries of their own. Of such a map the value at zero and one backward pass give the inverse; whether it is one is
    seen by going forward again. A layer that is fed by something else is left out.

    Args:
        function: of the inputs, which calls the layers.
        inputs: (1, ...) one sample.
        layers: to look for.
        model: whose state is kept as it is.
    """
    smooth = [k for k, a in enumerate(inputs) if a.dtype.kind == "f"]
    called: list[keras.layers.Layer] = []

    def fed(z: list[Any]) -> list[Any]:
        """What the layers were called with."""
        called.clear()
        tensors = []

        def replacing(layer: keras.layers.Layer) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
            def listening(call: Callable[..., Any]) -> Callable[..., Any]:
                def heard(*args: Any, **kwargs: Any) -> Any:
                    if args and tf.is_symbolic_tensor(args[0]) and args[0].graph is tf.compat.v1.get_default_graph():
                        called.append(layer)
                        tensors.append(args[0])
                    return call(*args, **kwargs)

                return heard

            return listening

        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(calls_replaced(layer, replacing(layer)))
            function(z)
        return tensors

    def points(z: list[Any]) -> list[Any]:
        zeros = [tf.zeros_like(a) if k in smooth else a for k, a in enumerate(z)]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch([zeros[k] for k in smooth])
            tensors = fed(zeros)
        found: list[tuple[list[Any], Any] | None] = []
        for layer, tensor in zip(tuple(called), tensors, strict=True):
            if not tensor.dtype.is_floating:
                found.append(None)
                continue
            wanted = tf.broadcast_to(tf.cast(_wanted(layer), tensor.dtype), tf.shape(tensor))
            sources = [zeros[k] for k in smooth]
            slope = tape.gradient(tensor, sources)
            handed = tape.gradient(tensor, sources, output_gradients=wanted - tensor)
            values = [
                None if s is None else (tf.not_equal(s, 0), tf.math.divide_no_nan(h, tf.square(s)))
                for s, h in zip(slope, handed, strict=True)
            ]
            found.append((values, wanted))
        return [_checked(fed, zeros, smooth, number, one) for number, one in enumerate(found)]

    try:
        results = compiled(points, model=model)([np.asarray(a) for a in inputs])
    except Exception:  # of a model that takes no single row, or is refused later on, in words
        logger.debug("no value in front of a Normalization or Masking could be found", exc_info=True)
        return []
    pairs = []
    for layer, result in zip(called, results, strict=True):
        reached, values, close = result
        point = {
            k: (np.asarray(where)[0], np.asarray(value)[0])
            for k, where, value in zip(smooth, reached, values, strict=True)
            if np.asarray(where).any()
        }
        if bool(close) and point:
            pairs.append((layer, point))
    return pairs


def _wanted(layer: keras.layers.Layer) -> Any:
    return layer.mask_value if isinstance(layer, keras.layers.Masking) else layer.mean


def _checked(
    fed: Callable[[list[Any]], list[Any]], zeros: list[Any], smooth: list[int], number: int, found: Any
) -> tuple[list[Any], list[Any], Any]:
    """Which entries of each input are meant, their values, and whether these lead to what is wanted."""
    nowhere = [tf.zeros(zeros[k].shape, tf.bool) for k in smooth]
    nothing = [tf.zeros(zeros[k].shape, tf.float32) for k in smooth]
    if found is None:
        return nowhere, nothing, tf.constant(False)
    values, wanted = found
    reached = [n if v is None else v[0] for v, n in zip(values, nowhere, strict=True)]
    point = [n if v is None else tf.cast(v[1], tf.float32) for v, n in zip(values, nothing, strict=True)]
    again = list(zeros)
    for k, value in zip(smooth, point, strict=True):
        again[k] = tf.cast(value, zeros[k].dtype)
    there = fed(again)[number]
    scale = tf.reduce_max(tf.abs(wanted)) + 1.0
    return reached, point, tf.reduce_max(tf.abs(there - wanted)) <= CLOSE * tf.cast(scale, there.dtype)
