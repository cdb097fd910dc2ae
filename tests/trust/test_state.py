"""What a forward pass moves is put back after every pass of ours, wherever the model keeps it."""

from __future__ import annotations

import random
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import BACKEND, array, generator_states

if BACKEND == "tensorflow":
    from tests.trust import tensorflow_layers as framework
elif BACKEND == "torch":
    from tests.trust import torch_layers as framework
else:  # whose layers keep all their state in variables of Keras
    framework = SimpleNamespace(LAYERS=(), held_state=lambda layer: [])


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
SERIES = RANDOM.normal(size=(64, 5, 3)).astype(np.float32)


class Rewriting(keras.layers.Layer):
    """Normalises a trained weight of its own."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), initializer="glorot_uniform")

    def call(self, x):
        self.kernel.assign(self.kernel / (1e-3 + keras.ops.norm(self.kernel)))
        return x @ self.kernel


class Unseeded(keras.layers.Layer):
    """Keras' global generator, as keras.io samples in a VAE."""

    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x))


class Seeded(keras.layers.Layer):
    """A generator of its own."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.seeds)


class OwnMetric(keras.layers.Layer):
    """A metric that is updated in the forward pass."""

    def __init__(self):
        super().__init__()
        self.size = keras.metrics.Mean(name="size")

    def call(self, x):
        self.size.update_state(keras.ops.abs(x))
        return x * (1 + 0.01 * self.size.result())


class AlwaysOn(keras.layers.Layer):
    """Dropout and batch statistics in inference, too."""

    def __init__(self):
        super().__init__()
        self.dropout, self.normalization = keras.layers.Dropout(0.2, seed=1), keras.layers.BatchNormalization()

    def call(self, x):
        return self.normalization(self.dropout(x, training=True), training=True)


class Python(keras.layers.Layer):
    """Python's and NumPy's generators and a counter, at each trace."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return x * (1 + 0.001 * (self.calls + random.random() + np.random.random()))


LAYERS = (*framework.LAYERS, Rewriting, Seeded, AlwaysOn, Python)
if BACKEND != "jax":  # where Keras can neither draw without a seed nor write a metric in a step
    LAYERS += (Unseeded, OwnMetric)


def table(layer):
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    layers = [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), layer(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def recurrent(layer):
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    inputs = keras.Input(batch_shape=(32, 5, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(4, stateful=True)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def moved(model):
    """Everything there is to move: variables of all kinds, state of the framework's own, generators."""
    values = [array(v) for v in (*model.variables, *model.optimizer.variables, *model.metrics_variables)]
    for layer in model._flatten_layers():
        values += framework.held_state(layer)
        values += [np.asarray(v) for k, v in vars(layer).items() if isinstance(v, int) and not k.startswith("_")]
    drawn = (random.random(), np.random.random(), array(keras.random.uniform((2,))))
    return [*values, *generator_states(), *map(np.asarray, drawn)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def watch(kind, log_dir, x, y, quiet=lambda record: None):
    """One of ours; its alarms and the noise of a small probe are of no interest here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The probe has")
        probe = kx.Probe(x[:32], y[:32], kind="series" if x.ndim == 3 else None)
        if kind == "gallery":
            return kx.ProbeAttributions(log_dir, probe, ["saliency", "input_x_gradient"], samples=32, on_error="raise")
        if kind == "drift":
            rows = (x[:32], y[:32])
            return kx.ImportanceDrift(log_dir, probe, live=rows, on_drift=quiet, on_error="raise")
        return kx.ProbeMappings(log_dir, probe, on_flag=quiet, on_error="raise")


WATCHES = ("gallery", "drift", "mappings")
PAIRS = [(layer, kind) for layer in LAYERS for kind in WATCHES]


@pytest.mark.oldest
@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        pytest.param(layer, kind, marks=[] if kind == WATCHES[n % 3] else pytest.mark.full)
        for n, layer in enumerate(LAYERS)
        for kind in WATCHES
    ],
)
def test_a_training_with_state_in_its_forward_pass(tmp_path, layer, kind):
    """It comes out bit for bit as without us, with Adam and a metric."""

    def trained(*callbacks):
        model = table(layer)
        model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=list(callbacks))
        return moved(model)

    assert_same(trained(watch(kind, tmp_path, X, Y)), trained())
    assert kx.load(tmp_path)["."].epochs == [0, 1]


# Of a stateful LSTM or GRU Keras 3.15 cannot train on PyTorch: it writes states in place that the gradient needs.
RECURRENT = [keras.layers.SimpleRNN]
if BACKEND != "torch":
    RECURRENT += [keras.layers.LSTM, keras.layers.GRU]


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "layer",
    [pytest.param(layer, marks=[pytest.mark.full] if layer is keras.layers.LSTM else []) for layer in RECURRENT],
)
def test_a_stateful_recurrent_training(tmp_path, layer):
    """Its states go on from batch to batch as without us."""

    def trained(*callbacks):
        model = recurrent(layer)
        model.fit(SERIES, Y, batch_size=32, epochs=2, shuffle=False, verbose=0, callbacks=list(callbacks))
        return moved(model)

    kind = {"LSTM": "gallery", "GRU": "drift", "SimpleRNN": "mappings"}[layer.__name__]
    assert_same(trained(watch(kind, tmp_path, SERIES, Y)), trained())


@pytest.mark.parametrize(
    "layer", [pytest.param(layer, marks=pytest.mark.full if n % 4 else []) for n, layer in enumerate(LAYERS)]
)
def test_questions_after_training_move_nothing(layer):
    """`attribute`, `importance` and the metrics leave all state as it was, and say the same when they are asked again."""
    model = table(layer)
    model.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    before = moved(model)
    answers = []
    for _ in range(2):
        attribution = kx.attribute(model, X[:8], "saliency", target=1)
        _, importance = kx.importance(model, (X, Y), "permutation")
        curve = kx.metrics.deletion(model, X[:8], attribution.values, target=1, steps=3)
        answers.append([attribution.values, importance, curve])
    random.seed(1)
    np.random.seed(1)
    after = moved(model)
    ours = len(after) - 3 - len(generator_states())
    assert_same(after[:ours], before[:ours])
    if layer is not Python:  # its graph is another one at each trace
        assert_same(answers[0], answers[1])


def test_the_state_of_a_recurrent_model_is_left_alone():
    """`kx.attribute` of a stateful LSTM."""
    model = recurrent(keras.layers.LSTM)
    model(keras.ops.convert_to_tensor(SERIES[:32]))  # `predict` keeps no state on JAX
    before = [array(state) for state in model.layers[1].states]
    kx.attribute(model, SERIES[:32], "saliency", target=1)
    assert any(state.any() for state in before)
    assert_same([array(state) for state in model.layers[1].states], before)


@pytest.mark.tensorflow  # whose graph says that it runs Python code
def test_state_that_nobody_can_see_is_said(tmp_path):
    """Python code that a graph runs may keep a state on its own side: one warning, a note in the run."""
    model = table(framework.Calling)
    with pytest.warns(UserWarning, match=r"runs Python code \(PyFunc\)"):
        kx.attribute(model, X[:4], "occlusion")
    with pytest.warns(UserWarning, match="runs Python code") as caught:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[watch("mappings", tmp_path, X, Y)])
    assert len([w for w in caught if "Python code" in str(w.message)]) == 1
    assert any("Python code" in note for note in kx.load(tmp_path)["."].history[0].notes)


def test_a_graph_that_writes_nothing_reads_nothing():
    """Weights are copied for nobody."""
    from keras_xai.backend import get_backend

    model = table(keras.layers.Identity)
    forward = get_backend().compiled(lambda x: model(x, training=False), model=model)
    forward(X[:4])
    assert not forward.has_side_effects
    assert forward.lasting_effects == ""


@pytest.mark.tensorflow
def test_only_what_is_written_is_copied():
    """A counter is kept, the kernels beside it are not; an error in the pass puts it back as well."""
    import tensorflow as tf

    from keras_xai.backend import get_backend

    model = table(framework.Counter)
    forward = get_backend().compiled(lambda x: model(x, training=False), model=model)
    forward(X[:4])
    (graph,) = forward._graphs.values()
    assert len(graph.state._readers) == 1

    def failing(x):
        value = model(x, training=False)
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_sum(value) > 1e9, ["no"])]):
            return tf.identity(value)

    with pytest.raises(tf.errors.InvalidArgumentError):
        get_backend().compiled(failing, model=model)(X[:4])
    assert model.layers[1].count.numpy() == 0
