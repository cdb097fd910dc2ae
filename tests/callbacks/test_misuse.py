"""What cannot work is told at train begin, or right after the step that builds the model: nothing is lost yet."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import BACKEND, value_and_gradients, without_gradients

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
TEXTS = np.array(["good film", "bad film"] * 48, dtype=object)[:, None]


class Batches(keras.callbacks.Callback):
    """Counts the steps that were begun."""

    def __init__(self):
        super().__init__()
        self.begun = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.begun += 1


def compiled(model):
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def mlp():
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(1, activation="sigmoid")]
    return compiled(keras.Sequential([keras.Input((6,)), *layers]))


def unbuilt():
    return compiled(keras.Sequential([keras.layers.Dense(8, "relu"), keras.layers.Dense(1, activation="sigmoid")]))


def text():
    lookup = keras.layers.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad", "film"])
    inputs = keras.Input((1,), dtype="string")
    pooled = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(8, 4)(lookup(inputs)))
    return compiled(keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled)))


class Norms(keras.layers.Layer):
    """An operation that DeepLIFT has no rule for."""

    def call(self, x):
        return keras.ops.sort(x)


def sorting():
    return compiled(keras.Sequential([keras.Input((6,)), Norms(), keras.layers.Dense(1, activation="sigmoid")]))


def gallery(method, x=X, **options):
    return lambda log_dir: kx.ProbeAttributions(log_dir, kx.Probe(x, Y), method, **options)


def drift(method, live=None, x=X):
    name = "live_method" if live is not None else "method"
    return lambda log_dir: kx.ImportanceDrift(log_dir, kx.Probe(x, Y), live=live, **{name: method})


MISUSES = {
    "a map of a model without places": (mlp, X, gallery("grad_cam"), "spatial output"),
    "one of several methods": (mlp, X, gallery(["saliency", "layer_cam"]), "spatial output"),
    "a layer that is not there": (mlp, X, gallery({"grad_cam": {"layer": "convolution"}}), "no layer 'convolution'"),
    "gradients of texts": (text, TEXTS, gallery("integrated_gradients", TEXTS), "No gradient leads"),
    "an operation without a rule": (sorting, X, gallery("deeplift"), "no rule"),
    "drift by gradients of texts": (text, TEXTS, drift("saliency", x=TEXTS), "No gradient leads"),
    "live rows by a method without a rule": (sorting, X, drift("deeplift", live=(X, Y)), "no rule"),
    "a probe of another width": (mlp, X, gallery("saliency", X[:, :4]), "samples of shape"),
    "classes that the output has not": (mlp, X, lambda d: kx.ProbeAttributions(d, kx.Probe(X, Y, target=3)), "class 3"),
}


def as_text(x):
    """A tensor of strings, which TensorFlow alone has."""

    import tensorflow as tf

    return tf.constant(x.tolist())


def fit(model, x, *callbacks):
    data = as_text(x) if x.dtype == object else x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(data, Y, batch_size=32, epochs=2, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize(
    "misuse", [pytest.param(name, marks=[pytest.mark.tensorflow] if "texts" in name else []) for name in MISUSES]
)
def test_it_is_told_before_the_first_step(tmp_path, misuse):
    """An error in words, no warning, no step and no run."""
    build, x, ours, words = MISUSES[misuse]
    batches = Batches()
    with pytest.raises(kx.InvalidInput, match=words):
        fit(build(), x, batches, ours(tmp_path))
    assert batches.begun == 0
    assert kx.load(tmp_path) == {}


@pytest.mark.parametrize("ours", [gallery("grad_cam"), drift("deeplift", live=(X, Y)), gallery("saliency", X[:, :4])])
def test_of_a_model_that_its_first_step_builds_it_is_told_after_that_step(tmp_path, ours):
    """The second batch is begun, no more; where Keras builds the model before training, none."""
    model, batches = unbuilt(), Batches()
    if isinstance(ours(tmp_path), kx.ImportanceDrift):
        model = compiled(keras.Sequential([Norms(), keras.layers.Dense(1, activation="sigmoid")]))
    with pytest.raises(kx.InvalidInput):
        fit(model, X, batches, ours(tmp_path))
    assert batches.begun == (2 if BACKEND == "tensorflow" else 0)


def test_what_works_on_such_a_model_is_recorded_from_its_first_epoch(tmp_path):
    """Built or not, the records are the same."""
    for name, build in (("built", mlp), ("unbuilt", unbuilt)):
        keras.utils.set_random_seed(1)
        fit(build(), X, kx.Explain(tmp_path / name, kx.Probe(X, Y), live=(X, Y)))
    runs = kx.load(tmp_path)
    for run in runs.values():
        assert run.importance.epochs.tolist() == run.importance_live.epochs.tolist() == [0, 1]
        assert len(run.attributions("saliency")) == len(run.weight_gradients) == 2
    np.testing.assert_array_equal(runs["built"].importance.share, runs["unbuilt"].importance.share)


class Uncalled(keras.Model):
    """Trains a part of itself, and is never called or built as a whole."""

    def __init__(self):
        super().__init__()
        self.part = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
        self.other = keras.layers.Dense(3)

    def call(self, x):
        return self.other(self.part(x))

    def train_step(self, data):
        x, y = data
        variables = self.part.trainable_variables

        def loss_of_part():
            return keras.ops.mean(keras.losses.binary_crossentropy(y[:, None], self.part(x, training=True)))

        loss, gradients = value_and_gradients(loss_of_part, variables)
        without_gradients(lambda: self.optimizer.apply(gradients, variables))
        return {"loss": loss}


@pytest.mark.tensorflow  # elsewhere Keras calls it by itself, to know its shapes
def test_a_model_that_its_training_never_calls(tmp_path):
    """Its gradients are recorded; to explain it takes a function, and our call builds nothing."""
    model = Uncalled()
    model.compile("adam")
    with pytest.raises(kx.InvalidInput, match="output= a callable"):
        fit(model, X, kx.WeightGradients(tmp_path / "a"), gallery("saliency")(tmp_path / "a"))
    probe = kx.Probe(X, Y, output=lambda model, x: model.part(x))
    fit(model, X, kx.WeightGradients(tmp_path / "b"), kx.ProbeAttributions(tmp_path / "b", probe, "saliency"))
    assert not model.other.built
    run = kx.load(tmp_path)["b"]
    assert len(run.weight_gradients) == len(run.attributions("saliency")) == 2


def test_our_callbacks_leave_keras_its_way_of_calling_at_the_end_of_a_batch(tmp_path):
    """A callback that looks there has Keras wait for the figures of every batch."""
    ours = [kx.Explain(tmp_path, kx.Probe(X, Y)), kx.WeightGradients(tmp_path)]
    assert keras.callbacks.CallbackList(ours)._async_train == keras.callbacks.CallbackList([])._async_train
