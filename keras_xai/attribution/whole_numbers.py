"""Inputs of whole numbers that a model reads as numbers, as pictures of bytes: differentiated as such."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

READERS = (keras.layers.Rescaling, keras.layers.Normalization)


def read_as_numbers(model: keras.Model) -> list[Any]:
    """The input tensors of whole numbers that only a Rescaling or Normalization gets: it makes floats of them at once.

    Another layer might do what only whole numbers do (look them up, wrap around at 256), and keeps what it gets.
    """
    inputs = [tensor for tensor in getattr(model, "inputs", None) or [] if "int" in str(tensor.dtype)]
    if not inputs:
        return []
    readers: dict[int, list[Any]] = {id(tensor): [] for tensor in inputs}
    for layer in model._flatten_layers(include_self=False):
        for node in getattr(layer, "_inbound_nodes", []):
            for tensor in node.input_tensors:
                readers.get(id(tensor), []).append(layer)
    return [t for t in inputs if readers[id(t)] and all(isinstance(layer, READERS) for layer in readers[id(t)])]


@contextlib.contextmanager
def as_numbers(model: keras.Model) -> Iterator[None]:
    """Inside, the model takes floats for `read_as_numbers`, where it would round them first: no gradient leads through that.

    For the time of a trace alone; the numbers are the same.
    """
    tensors = read_as_numbers(model)
    # A Sequential asks the layer, a functional model the tensor.
    held = [(holder, holder._dtype) for tensor in tensors for holder in (tensor, tensor._keras_history.operation)]
    try:
        for holder, _ in held:
            holder._dtype = "float32"
        yield
    finally:
        for holder, dtype in held:
            holder._dtype = dtype
