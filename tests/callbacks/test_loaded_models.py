"""A model that is saved whole and loaded to go on is the same run, whatever Keras calls its variables then."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.model_parts import ModelParts

layers = keras.layers
X = np.random.default_rng(0).normal(size=(128, 6)).astype(np.float32)
Y = (X[:, 2] > 0).astype(np.int64)


def sequential():
    hidden, out = layers.Dense(8, "relu", name="hidden"), layers.Dense(2, name="out")
    return keras.Sequential([keras.Input((6,)), hidden, out], name="net")


def nested():
    body = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu", name="hidden")], name="body")
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(2, name="out")(body(inputs)), name="net")


@pytest.mark.parametrize("make", [sequential, nested])
def test_a_loaded_model_continues_its_run(tmp_path, make):
    """One run, with the names that it began with, and a mark where it was resumed."""

    def fit(model, **epochs):
        watch = kx.Explain(tmp_path, (X, Y), mappings=True, method=None, on_error="raise")
        model.fit(X, Y, verbose=0, callbacks=[watch], **epochs)

    model = make()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, epochs=3)
    model.save(tmp_path / "last.keras")
    fit(keras.models.load_model(tmp_path / "last.keras"), initial_epoch=3, epochs=5)
    runs = kx.load(tmp_path)
    assert list(runs) == ["."]
    run = runs["."]
    assert run.epochs == list(range(5))
    assert run.resumed == [3]
    assert len({record.names for record in run.weight_gradients}) == 1
    assert len({record.features.layers for record in run.mappings}) == 1
    assert "resumed" in str(run.figure("overview").to_dict())


@pytest.mark.parametrize(
    ("then", "sizes", "same"),
    [
        (("hidden/kernel", "hidden/bias"), (12, 3), True),
        (("body/dense_7/kernel", "body/dense_7/bias"), (12, 3), True),
        (("hidden/kernel", "hidden/bias"), (12, 4), False),
        (("hidden/bias", "hidden/kernel"), (12, 3), False),
        (("hidden/kernel",), (12,), False),
    ],
)
def test_parts_are_matched_by_place_size_and_kind(then, sizes, same):
    """Another path alone makes no other model."""
    assert ModelParts(("net/hidden/kernel", "net/hidden/bias"), (12, 3)).continues(then, sizes) == same
