"""The activations of layers in a graph that is being built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_xai.backend.activations import activations_of
from keras_xai.backend.ancestry import looked_up_input
from keras_xai.backend.layer_calls import record_calls, record_first_calls
from keras_xai.backend.protocol import ActivationTrace, EmbeddingCall
from keras_xai.backend.tensorflow.ancestry import GraphAncestry, logits_of


def trace_activations(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    vary: Sequence[bool] | None = None,
) -> ActivationTrace:
    """See `Backend`. What is called inside a graph of its own (the body of a loop) cannot be handed out, and says so."""
    outputs, calls = record_first_calls(function, inputs, layers)
    activations = activations_of(calls, inputs, outputs, GraphAncestry(inputs, vary))
    return ActivationTrace(*logits_of(outputs), activations)


def embedding_outputs(
    function: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[EmbeddingCall]:
    """See `Backend`."""
    calls = record_calls(function, inputs, layers)
    ancestry = GraphAncestry(inputs)
    nodes = [ancestry.node(tensor) for tensor in inputs]
    embeddings = []
    for argument, output in calls:
        is_tensor = keras.ops.is_tensor(argument)
        index = looked_up_input(ancestry.node(argument), nodes, ancestry) if is_tensor else None
        embeddings.append(EmbeddingCall(index, output))
    return embeddings
