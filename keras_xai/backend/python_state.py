"""Restores the Python state that a model's code changes while it is traced.

A graph is traced by running the model's code once. Its side effects happen at that time: draws from Python's and NumPy's
generators, counters in layers.
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
    """Restore, after the block, the generators of Python and NumPy and the plain attributes of the model's layers."""
    generators = random.getstate(), np.random.get_state()
    layers = [] if model is None else [model, *model._flatten_layers(include_self=False)]
    attributes = [_plain_attributes(layer) for layer in layers]
    try:
        yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for layer, before in zip(layers, attributes, strict=True):
            # Not by the layer's __setattr__, which tracks the values that it gets.
            vars(layer).update(before)


def _plain_attributes(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return a layer's attributes that are numbers or text, without those that Keras sets (`built` among them)."""
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, _PLAIN) and name not in _attributes_of_keras()
    }


@functools.cache
def _attributes_of_keras() -> frozenset[str]:
    # Names are given, since Keras would count the names that it makes up, and the user's next layers would get other ones.
    return frozenset({*vars(keras.layers.Layer(name="layer")), *vars(keras.Model(name="model"))})
