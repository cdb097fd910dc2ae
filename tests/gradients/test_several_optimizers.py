"""Train steps that call more than one optimizer, or none for some weights; against the same step run eagerly."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array, value_and_gradients, without_gradients
from tests.gradients import by_hand
from tests.gradients.situations import LOSS, X, Y, sgd

pytestmark = pytest.mark.oldest

NOISE = np.random.default_rng(2).normal(size=(44, 4)).astype(np.float32)


def update(rule, gradients, variables):
    """Call an optimizer as a train step of users' own does."""
    pairs = zip(gradients, variables, strict=True)
    without_gradients(lambda: rule.apply_gradients(pairs))


class Adversaries(keras.Model):
    """A GAN that keeps its networks and its optimizers in dicts: looking through the model would find neither."""

    def __init__(self):
        super().__init__()
        self.nets = {
            "generator": keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name="out")]),
            "critic": keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, name="out")]),
        }
        self.rules = {"generator": sgd(), "critic": keras.optimizers.Adam(0.01)}
        self.built = True

    def compute(self, x, noise):
        real = self.nets["critic"](x)
        fake = self.nets["critic"](self.nets["generator"](noise))
        ops = keras.ops
        return ops.mean(ops.softplus(-real) + ops.softplus(fake)), ops.mean(ops.softplus(-fake))

    def train_step(self, data):
        x, noise = data
        for k, name in enumerate(("critic", "generator")):
            variables = self.nets[name].trainable_variables
            loss, gradients = value_and_gradients(lambda k=k: self.compute(x, noise)[k], variables)
            update(self.rules[name], gradients, variables)
        return {"loss": loss}


def adversaries(**options):
    keras.utils.set_random_seed(4)
    model = Adversaries()
    model.compile(**options)
    return model


def fit(model, *callbacks):
    model.fit(X, NOISE, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def assert_same_weights(first, second):
    for mine, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def overheard(calls, rule, gradients, variables):
    before = [array(v) for v in variables]
    type(rule).apply(rule, gradients, variables)
    for v, g, old in zip(variables, gradients, before, strict=True):
        calls.setdefault(id(v), []).append(by_hand.Call(by_hand.dense(g), old, array(v), True))


def replayed(model):
    """The same steps in eager mode, one by one, their optimizers overheard by hand."""
    history = []
    for _ in range(2):
        calls = {}
        for rule in model.rules.values():
            vars(rule)["apply"] = functools.partial(overheard, calls, rule)
        for start in range(0, 44, 8):
            model.train_step(tuple(keras.ops.convert_to_tensor(a[start : start + 8]) for a in (X, NOISE)))
        history.append([calls[id(v)] for v in model.trainable_variables])
    return history


@pytest.mark.tensorflow
@pytest.mark.torch  # on JAX Keras trains with one optimizer: test_jax_recorder.py has a step that calls two
@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"jit_compile": True}, marks=pytest.mark.tensorflow),  # torch.compile: see test_torch_compile.py
        pytest.param({"steps_per_execution": 3}, marks=pytest.mark.tensorflow),  # which Keras refuses on PyTorch
    ],
    ids=["graph", "xla", "steps"],
)
def test_both_optimizers_of_a_gan_are_heard(options, tmp_path):
    """Two calls a step, each with its own variables, whose equal paths are told apart."""
    watched = fit(adversaries(**options), kx.WeightGradients(tmp_path, samples_per_epoch="all", on_error="raise"))
    assert_same_weights(watched, fit(adversaries(**options)))
    found = kx.load(tmp_path)["."].weight_gradients
    assert len(set(found[0].names)) == 4
    for record, expected in zip(found, replayed(adversaries()), strict=True):
        assert record.steps == 12
        for v, calls in enumerate(expected):
            twin = by_hand.statistics(calls)
            for name in ("rms", "mean", "max", "weight_norm", "update_ratio"):
                np.testing.assert_allclose(record.statistics[name][v], twin[name], rtol=1e-3, atol=1e-7, err_msg=name)


class Partly(keras.Model):
    """Has weights that its loss does not depend on."""

    def train_step(self, data):
        x, y = data
        variables = self.trainable_variables

        def loss_of_first():
            first, _ = self(x, training=True)
            return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, first))

        loss, gradients = value_and_gradients(loss_of_first, variables)
        update(self.optimizer, gradients, variables)
        return {"loss": loss}


def partly():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((6,))
    used = keras.layers.Dense(3, activation="softmax", name="used")(inputs)
    unused = keras.layers.Dense(2, name="unused")(inputs)
    model = Partly(inputs, [used, unused])
    model.compile(sgd())
    return model


@pytest.mark.tensorflow
@pytest.mark.torch  # on JAX such a gradient is zero
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")  # Keras says so itself
def test_variables_without_a_gradient_are_nan_not_zero(tmp_path):
    """They stand in the record, hatched in the view, raise no flag and change nothing for the others."""

    def trained(*callbacks):
        model = partly()
        model.fit(X, Y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))
        return model

    watched = trained(kx.WeightGradients(tmp_path, on_error="raise"))
    assert_same_weights(watched, trained())
    for record in kx.load(tmp_path)["."].weight_gradients:
        rows = {name: [values[v] for values in record.statistics.values()] for v, name in enumerate(record.names)}
        assert np.isnan(rows["unused/kernel"]).all()
        assert np.isnan(rows["unused/bias"]).all()
        assert np.isfinite(rows["used/kernel"]).all()
        assert record.flags == ()


@pytest.mark.every_backend
def test_a_checkpoint_in_the_middle_of_a_fit_holds_nothing_of_ours(tmp_path):
    """Whole models saved by ModelCheckpoint while we listen: the same variables, the same optimizer state."""

    def saved(name, *callbacks):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax", name="scores")])
        model.compile(keras.optimizers.Adam(name="rule"), LOSS)
        checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / name, save_freq=3)
        model.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[*callbacks, checkpoint])
        return keras.models.load_model(tmp_path / name)

    first = saved("watched.keras", kx.WeightGradients(tmp_path / "logs", samples_per_epoch="all", on_error="raise"))
    second = saved("alone.keras")
    assert [v.path for v in first.optimizer.variables] == [v.path for v in second.optimizer.variables]
    assert_same_weights(first, second)
    for mine, theirs in zip(first.optimizer.variables, second.optimizer.variables, strict=True):
        np.testing.assert_array_equal(array(mine), array(theirs))


@pytest.mark.tensorflow  # whose checkpoint it is
def test_a_tensorflow_checkpoint_holds_nothing_of_ours(tmp_path):
    """The names that `tf.train.Checkpoint` writes, with the tap in place, are those of the model alone."""
    import tensorflow as tf

    class Names(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            path = tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer).save(str(tmp_path / "ckpt"))
            self.names = [name for name, _ in tf.train.list_variables(path)]

    def written(*callbacks):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax", name="scores")])
        model.compile("adam", LOSS)
        names = Names()
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[*callbacks, names])
        return names.names

    assert written(kx.WeightGradients(tmp_path / "logs", on_error="raise")) == written()
