"""Inputs of whole numbers that a model reads as numbers, as images of bytes: differentiated as such."""

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
    # By the id of an input: the layers that are called with it.
    readers: dict[int, list[Any]] = {id(tensor): [] for tensor in inputs}
    for layer in model._flatten_layers(include_self=False):
        for node in getattr(layer, "_inbound_nodes", []):
            for tensor in node.input_tensors:
                readers.get(id(tensor), []).append(layer)
    return [tensor for tensor in inputs if _are_readers(readers[id(tensor)])]


def _are_readers(layers: list[Any]) -> bool:
    return bool(layers) and all(isinstance(layer, READERS) for layer in layers)


@contextlib.contextmanager
def as_numbers(model: keras.Model) -> Iterator[None]:
    """Inside, the model takes floats for `read_as_numbers`, where it would round them first: no gradient leads through that.

    For the time of a trace alone; the numbers are the same.
    """
    tensors = read_as_numbers(model)
    # A Sequential asks the layer, a functional model the tensor.
    holders = [holder for tensor in tensors for holder in (tensor, tensor._keras_history.operation)]
    dtypes = [holder._dtype for holder in holders]
    try:
        for holder in holders:
            holder._dtype = "float32"
        yield
    finally:
        for holder, dtype in zip(holders, dtypes, strict=True):
            holder._dtype = dtype
