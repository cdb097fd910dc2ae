"""Scores and their gradients."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_xai.backend.ancestry import input_indices
from keras_xai.backend.layer_calls import replaced_outputs
from keras_xai.backend.protocol import ForwardPass, Gradient, LayerOutput, Logits, Slopes
from keras_xai.backend.tensorflow.ancestry import GraphAncestry, logits_of


def find_logits(function: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Logits:
    """See `Backend`."""
    return logits_of(function(list(inputs)))


def take_target(scores: Any, target: Any) -> Any:
    """See `Backend`."""
    if scores.shape.rank == 1:
        return scores
    if scores.shape[-1] == 1:
        return scores[:, 0]
    return tf.gather(scores, target, axis=1, batch_dims=1)


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Gradient:
    """See `Backend`."""
    floating = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in floating])
        value = score(list(inputs))
    gradients = dict(zip(floating, tape.gradient(value, [inputs[k] for k in floating]), strict=True))
    return Gradient(value, [gradients.get(k) for k in range(len(inputs))])


def forward_with_vjp(
    score: Callable[[list[Any]], tuple[Any, Any]], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> ForwardPass:
    """See `Backend`. What nobody asks of it is pruned from the graph."""
    floating = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    calls: dict[int, list[tuple[Any, Any]]] = {id(layer): [] for layer in layers}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in floating])

        def watch(layer: keras.layers.Layer, output: Any) -> Any:
            if not tf.is_tensor(output):
                return output
            # A zero is added, so that the tape has something of ours to differentiate by.
            zero = tf.zeros_like(output)
            tape.watch(zero)
            calls[id(layer)].append((output, zero))
            return output + zero

        with replaced_outputs(layers, watch):
            value, aux = score(list(inputs))
    by_layer = [calls[id(layer)] for layer in layers]

    @functools.cache
    def slopes() -> Slopes:
        zeros = [zero for pairs in by_layer for _, zero in pairs]
        gradients = tape.gradient(value, [*(inputs[k] for k in floating), *zeros])
        at_inputs = dict(zip(floating, gradients, strict=False))
        at_zeros = iter(gradients[len(floating) :])
        at_outputs = [list(itertools.islice(at_zeros, len(pairs))) for pairs in by_layer]
        return Slopes(inputs=[at_inputs.get(k) for k in range(len(inputs))], outputs=at_outputs)

    ancestry = GraphAncestry()
    nodes = [ancestry.node(tensor) for tensor in inputs]

    def outputs_of(pairs: list[tuple[Any, Any]]) -> list[LayerOutput]:
        return [LayerOutput(output, input_indices(ancestry.node(output), nodes, ancestry)) for output, _ in pairs]

    outputs = [outputs_of(pairs) for pairs in by_layer]
    return ForwardPass(value, aux, outputs, lambda at_inputs=True: slopes())
