"""The activations of layers in a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from keras_xai.backend.activations import activations_of
from keras_xai.backend.ancestry import looked_up_input
from keras_xai.backend.layer_calls import record_calls, record_first_calls
from keras_xai.backend.protocol import ActivationTrace, EmbeddingCall
from keras_xai.backend.torch.ancestry import FunctionAncestry, LogitAncestry


def trace_activations(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    vary: Sequence[bool] | None = None,
) -> ActivationTrace:
    """See `Backend`. Of a layer that is called in a loop the first call is like that of any other."""
    with FunctionAncestry(inputs, vary) as ancestry, LogitAncestry() as links:
        outputs, calls = record_first_calls(function, inputs, layers)
    logits = links.logits_of(outputs)
    activations = activations_of(calls, inputs, outputs, ancestry)
    return ActivationTrace(logits.outputs, logits.scores, logits.link, activations)


def embedding_outputs(
    function: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[EmbeddingCall]:
    """See `Backend`."""
    with FunctionAncestry(inputs) as ancestry:
        calls = record_calls(function, inputs, layers)
    nodes = [ancestry.node(tensor) for tensor in inputs]
    embeddings = []
    for argument, output in calls:
        is_tensor = torch.is_tensor(argument)
        index = looked_up_input(ancestry.node(argument), nodes, ancestry) if is_tensor else None
        embeddings.append(EmbeddingCall(index, output))
    return embeddings
