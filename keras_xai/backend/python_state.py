"""Keeps what a model's Python code can move while it is traced.

A graph is traced by running the model's code once. Whatever that code does besides building the graph happens then: draws
from Python's and NumPy's generators, counters in layers.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


@contextlib.contextmanager
def python_state_kept(model: keras.Model | None) -> Iterator[None]:
    """Trace something of `model` inside: generators and plain attributes of its layers are afterwards what they were."""
    generators = random.getstate(), np.random.get_state()
    layers = [] if model is None else [model, *model._flatten_layers(include_self=False)]
    attributes = [_plain_attributes(layer) for layer in layers]
    try:
        yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for layer, before in zip(layers, attributes, strict=True):
            # Past the layer's __setattr__, which tracks what it is given.
            vars(layer).update(before)


def _plain_attributes(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return the numbers and texts that a layer's own code keeps, without those of Keras (`built` among them)."""
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, _PLAIN) and name not in _attributes_of_keras()
    }


@functools.cache
def _attributes_of_keras() -> frozenset[str]:
    # Named, since a name that Keras makes up would be missing from those of the user's next layers.
    return frozenset({*vars(keras.layers.Layer(name="layer")), *vars(keras.Model(name="model"))})
