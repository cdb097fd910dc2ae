"""The names that examples take for granted: a small trained model, its data, a probe, a directory to write to.

Docstrings and pages say `model`, `x`, `images` without making them. Their tests run them with the real things made here.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

import keras_xai as kx

CLASSES = ["no", "yes"]


@functools.cache
def _table() -> tuple[Any, ...]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(256, 4)).astype(np.float32)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).astype(np.int32)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, "tanh", name="backbone")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax", name="head")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    return model, x, y


@functools.cache
def _digits() -> tuple[Any, ...]:
    from sklearn.datasets import load_digits

    data = load_digits()
    x = np.kron(data.images[:300] / 16, np.ones((2, 2))).astype(np.float32)[..., None]
    y = data.target[:300].astype(np.int32)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    convolutions = [
        layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="top_conv"),
    ]
    inputs = keras.Input((16, 16, 1))
    maps = keras.Sequential([keras.Input((16, 16, 1)), *convolutions], name="backbone")(inputs)
    maps = layers.MaxPooling2D(name="pool")(maps)
    maps = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2")(maps)
    model = keras.Model(inputs, layers.Dense(10, "softmax", name="head")(layers.Flatten(name="flatten")(maps)))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=4, verbose=0)
    return model, x, y


def table() -> dict[str, Any]:
    """A table of four columns, two classes, and a network of two dense layers, `backbone` and `head`."""
    model, x, y = _table()
    return {
        "keras": keras,
        "kx": kx,
        "np": np,
        "model": model,
        "x": x[:12],
        "y": y[:12],
        "x_train": x,
        "y_train": y,
        "x_test": x,
        "y_test": y,
        "x_probe": x,
        "y_probe": y,
        "names": ["age", "dose", "weight", "height"],
        "classes": CLASSES,
        "rows_not_trained_on": np.arange(len(x)) >= 200,
        "probe": kx.Probe(x, y, class_names=CLASSES),
    }


def digits() -> dict[str, Any]:
    """Images of digits, ten classes, and a small CNN: `backbone` with conv1 and top_conv, then conv2 and `head`."""
    model, x, y = _digits()
    pipeline = SimpleNamespace(first_rows=lambda: (x[:64], y[:64]))
    return {
        "keras": keras,
        "kx": kx,
        "np": np,
        "model": model,
        "images": x[:16],
        "x": x,
        "y": y,
        "probe": kx.Probe(x[:128], y[:128]),
        "pipeline": pipeline,
    }
