"""The runner: chunks, filled-up passes, one trace, and state that is left alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.model.layers import find_layer, iter_layers, layer_path, spatial_layers
from keras_xai.model.runner import ModelRunner, joined
from keras_xai.records import TASKS

layers = keras.layers
R = np.random.default_rng(0)
X = R.normal(size=(11, 3)).astype("float32")
W, B = R.normal(size=(3, 4)).astype("float32"), R.normal(size=4).astype("float32")


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="softmax")])
    model.set_weights([W, B])
    return model


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8])
def test_every_row_is_in_one_chunk(model, size):
    """Chunks are of one size; what fills the last one up is a copy of the last row, and does not count."""
    chunks = ModelRunner(model, X, chunk=4).chunks(size)
    rows = [np.arange(size)[chunk.rows] for chunk in chunks]
    assert {len(part) for part in rows} == {min(4, size)}
    counted = np.concatenate([part[: chunk.size] for part, chunk in zip(rows, chunks, strict=True)])
    np.testing.assert_array_equal(counted, np.arange(size))
    assert all(
        part[chunk.size :].tolist() == [size - 1] * (len(part) - chunk.size)
        for part, chunk in zip(rows, chunks, strict=True)
    )


@pytest.mark.parametrize("chunk", [1, 4, 11, 64])
def test_outputs_and_scores_are_the_models(model, chunk):
    """In whatever chunks: probabilities, and the logits behind them for the classes that are asked for."""
    runner, target = ModelRunner(model, X, chunk=chunk), np.arange(11) % 4
    logits = X @ W + B
    power = np.exp(logits)
    np.testing.assert_allclose(runner.outputs(X[None]), power / power.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(runner.scores([X], target), logits[np.arange(11), target], rtol=1e-4, atol=1e-5)
    assert (runner.task.kind, runner.task.link) == ("classes", "softmax")
    assert runner.task.kind in TASKS
    assert not runner.has_side_effects
    assert runner.lasting_effects() == ""


def test_one_sample_after_the_other_has_the_same_task(model):
    """It is decided once for both; the chunk stays what variants of a sample fill."""
    runner = ModelRunner(model, X)
    task = runner.settle([X])
    other = runner.by_sample()
    assert (other.chunk, other.task) == (runner.chunk, task)
    assert [chunk.size for chunk in other.chunks(3)] == [1, 1, 1]
    assert runner.settle([X[:1]]) is task


def test_one_call_of_attribute_builds_one_runner(monkeypatch):
    """The rows that are run again with more steps are, too, and the target."""
    built = []
    original = ModelRunner.__init__
    monkeypatch.setattr(
        ModelRunner, "__init__", lambda self, *args, **more: (built.append(1), original(self, *args, **more))[1]
    )
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8, "relu"), layers.Dense(2)])
    a = kx.attribute(model, X, "integrated_gradients", n_steps=1)
    assert a.values.shape == X.shape
    assert len(built) == 1


def test_parts_are_joined_and_let_go():
    """The first rows of all, and an empty list."""
    parts = [X[:4], X[4:8], np.concatenate([X[8:], X[-1:]])]
    np.testing.assert_array_equal(joined(parts, 11), X)
    assert parts == []
    assert joined([X], 3) is not X


def test_layers_are_found_by_path_and_by_name():
    """Nested ones by both; a name that two have is a doubt."""
    inner = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(3, 3, name="conv"), layers.ReLU(name="relu")], name="inner"
    )
    model = keras.Sequential([keras.Input((8, 8, 2)), inner, layers.Flatten(name="flat"), layers.Dense(2, name="out")])
    names = [layer.name for layer in iter_layers(model)]
    assert set(names) == {"inner", "conv", "relu", "flat", "out"}
    conv = find_layer(model, "inner/conv")
    assert conv is find_layer(model, "conv")
    assert layer_path(conv, model) == "inner/conv"
    assert layer_path(inner.get_layer("relu"), model) == "inner/relu"
    with pytest.raises(kx.InvalidInput, match=r"no layer 'con'.*inner/conv"):
        find_layer(model, "con")


def test_spatial_layers_have_two_axes_to_look_at():
    """Convolutions and what follows them, until all is flat; a model without any is refused."""
    images = R.normal(size=(2, 8, 8, 2)).astype("float32")
    stack = [layers.Conv2D(3, 3, name="conv"), layers.ReLU(name="relu"), layers.GlobalAveragePooling2D(keepdims=True)]
    model = keras.Sequential([keras.Input((8, 8, 2)), *stack, layers.Flatten(), layers.Dense(2)])
    spatial = spatial_layers(model, lambda z: model(z[0], training=False), [images])
    assert [layer.name for layer in spatial] == ["conv", "relu"]
    dense = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(kx.InvalidInput, match="spatial output"):
        spatial_layers(dense, lambda z: dense(z[0]), [X])
