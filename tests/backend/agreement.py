"""Writes the answers of one backend into a file, for `test_agreement.py`, which runs it in a process for each backend.

The weights are drawn by NumPy, so that every backend has the same ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.mapping.reading import Reader

ROWS = 16
SMOOTH = ("table", "series", "tokens", "attention")  # without a kink; the others are `KINKED`
KINKED = ("images",)
# Recurrent: LRP has no rule for the loop of a compiled program; PyTorch runs it step by step.
LOOPS = ("series", "tokens")


def table() -> keras.Model:
    stack = [keras.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(6, "gelu"), layers.Dense(1, "sigmoid")]
    return keras.Sequential(stack)


def series() -> keras.Model:
    convolution = layers.Conv1D(6, 3, activation="softplus", padding="same")
    return keras.Sequential([keras.Input((12, 2)), convolution, layers.GRU(5), layers.Dense(3, "softmax")])


def tokens() -> keras.Model:
    embedding = layers.Embedding(30, 4, mask_zero=True)
    return keras.Sequential([keras.Input((7,), dtype="int32"), embedding, layers.LSTM(6), layers.Dense(3, "softmax")])


def attention() -> keras.Model:
    inputs = keras.Input((6, 4))
    mixed = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    normalized = layers.LayerNormalization()(inputs + mixed)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(normalized)))


def images() -> keras.Model:
    x = inputs = keras.Input((12, 12, 2))
    for filters in (6, 8):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x)))


MODELS = {"table": table, "series": series, "tokens": tokens, "attention": attention, "images": images}


def fill(model: keras.Model, seed: int) -> None:
    """Set all weights to NumPy's numbers; those of a seed generator stay."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        values = generator.normal(size=variable.shape) * (0.4 if len(variable.shape) > 1 else 0.1)
        if variable.path.endswith(("gamma", "moving_variance")):
            values = np.abs(values) + 1
        if "float" in str(variable.dtype):
            variable.assign(values.astype("float32"))


def samples(name: str) -> np.ndarray:
    generator = np.random.default_rng(len(name))
    if name == "tokens":
        return np.where(np.arange(7) < 5, generator.integers(1, 30, (ROWS, 7)), 0).astype("int32")
    shape = {"table": (5,), "series": (12, 2), "attention": (6, 4), "images": (12, 12, 2)}[name]
    return generator.normal(size=(ROWS, *shape)).astype("float32")


def answers(name: str, seed: int) -> Iterator[tuple[str, Any]]:
    """The answers about one model: by name, an array with a row for each sample, feature or layer's unit."""
    model, x = MODELS[name](), samples(name)
    fill(model, seed)
    for method in METHODS:
        if method == "lrp" and name in LOOPS:
            continue
        maps_convolutions = not METHODS[method].input_shaped
        if maps_convolutions and name not in ("images", "series"):
            continue
        # Draws follow the number of samples; these are enough to compare.
        options = {"n_samples": 64} if method in ("kernel_shap", "lime", "rise", "smoothgrad") else {}
        try:
            attribution = kx.attribute(model, x, method, verbose=False, **options)
        except kx.InvalidInput:  # whose text names the operations of the framework
            yield f"{name}/{method}/refused", np.array(True)
            continue
        yield f"{name}/{method}/values", attribution.values
        yield f"{name}/{method}/score", attribution.score
        yield f"{name}/{method}/space", np.array(attribution.space)
        if attribution.completeness_error is not None:
            yield f"{name}/{method}/completeness", np.asarray(attribution.completeness_error) < 1e-2
    features, shares = kx.importance(model, kx.Probe(x), "saliency")
    yield f"{name}/importance/features", np.array(features)
    yield f"{name}/importance/shares", shares
    if name != "tokens":
        yield f"{name}/deletion", kx.metrics.deletion(model, x, np.abs(x), target=0, steps=4)
    reader = Reader(model, [x], x, None, None)
    reading = reader.read()
    for layer, matrix in zip(reader.layers, reading.matrices, strict=True):
        yield f"{name}/mapping/{layer.name}/values", matrix.values
        yield f"{name}/mapping/{layer.name}/function", np.array(layer.function)
        yield f"{name}/mapping/{layer.name}/statistics", np.array([matrix.mean, matrix.std, matrix.saturation])
    if reading.embedding is not None:
        yield f"{name}/mapping/embedding", reading.embedding


def write_answers(path: str, names: Collection[str]) -> None:
    """Write the answers about some of the models."""
    arrays: dict[str, Any] = {}
    for seed, name in enumerate(MODELS):
        if name not in names:
            continue
        keras.backend.clear_session()  # layers are named anew: the same names on every backend
        arrays |= dict(answers(name, seed))
    np.savez(path, **{key.replace("/", "|"): values for key, values in arrays.items()})
