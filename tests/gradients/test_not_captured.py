"""Trainings whose gradients cannot be recorded: they run on as without us, whatever their first step makes."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import warnings

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.gradients.tap import TrainFunctionTap
from tests.frameworks import BACKEND, array, noise_of, sealed, value_and_gradients, without_gradients
from tests.gradients.listeners import Listener, assert_same, fit, model
from tests.gradients.situations import LOSS, X, Y, sgd

SUMS = importlib.import_module(f"keras_xai.backend.{BACKEND}").GradientSums


def uncaptured(watched, tmp_path, match):
    """Fit with the callback; the training runs on and the reason is told once, in the record and as a warning."""
    with pytest.warns(UserWarning, match=match):
        fit(watched, kx.WeightGradients(tmp_path), epochs=2)
    records = kx.load(tmp_path)["."].weight_gradients
    assert [record.epoch for record in records] == [0, 1]
    for record in records:
        assert record.missing
        assert record.names == tuple(v.path for v in watched.trainable_variables)
        assert record.steps == 0
        assert all(np.isnan(values).all() for values in record.statistics.values())
    assert not isinstance(watched.train_function, TrainFunctionTap)
    return records[0].missing


def differentiated(model, x, y):
    """The predictions and the gradients of a train step of users' own."""
    predictions = []

    def loss():
        predictions.append(model(x, training=True))
        return model.compute_loss(x=x, y=y, y_pred=predictions[0])

    _, gradients = value_and_gradients(loss, model.trainable_variables)
    return predictions[0], gradients


def update(model, gradients):
    """Call the optimizer."""
    pairs = zip(gradients, model.trainable_variables, strict=True)
    without_gradients(lambda: model.optimizer.apply_gradients(pairs))


class ByHand(keras.Model):
    """Updates its weights without an optimizer."""

    def train_step(self, data):
        x, y = data
        predictions, gradients = differentiated(self, x, y)
        for variable, gradient in zip(self.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
        return self.compute_metrics(x, y, predictions)


class Sealed(keras.Model):
    """Compiles its step itself."""

    @sealed
    def train_step(self, data):
        x, y = data
        predictions, gradients = differentiated(self, x, y)
        update(self, gradients)
        return self.compute_metrics(x, y, predictions)


class Noise(keras.layers.Layer):
    """Draws by the framework's own random operation, which has a state of its own in each graph of TensorFlow's."""

    def call(self, x, training=False):
        return x + 0.1 * noise_of(x) if training else x


class Once(keras.Model):
    """A step whose code runs a single time."""

    traces = 0

    def train_step(self, data):
        if self.traces:
            raise ValueError("the second trace is one too many")
        self.traces = 1
        return super().train_step(data)


def rebuilt(cls):
    plain = model()
    found = cls(plain.input, plain.output)
    found.compile(sgd(), LOSS)
    return found


def noisy():
    inputs = keras.Input((6,))
    found = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(Noise()(inputs)))
    found.compile(sgd(), LOSS)
    return found


# Whatever the first step makes.


class OwnFunction(keras.Model):
    """Does more than a train step."""

    def make_train_function(self, force=False):
        super().make_train_function(force)
        return self.train_function


class LegacyDropout(keras.layers.Layer):
    """The framework's own."""

    def call(self, x, training=False):
        if not training:
            return x
        if BACKEND == "torch":
            import torch

            return torch.nn.functional.dropout(x, 0.2)
        import tensorflow as tf

        return tf.nn.dropout(x, 0.2)


class SealedUpdate(keras.Model):
    """Compiles nothing but its update."""

    @sealed
    def update(self, gradients):
        update(self, gradients)

    def train_step(self, data):
        x, y = data
        predictions, gradients = differentiated(self, x, y)
        self.update(gradients)
        return self.compute_metrics(x, y, predictions)


class Late(keras.Model):
    """Built by its first step, with a lookup table of its own."""

    def __init__(self):
        super().__init__()
        self.lookup = keras.layers.IntegerLookup(vocabulary=[0, 1, 2])
        self.hidden = keras.layers.Dense(6, activation="relu")
        self.noise = Noise()
        self.scores = keras.layers.Dense(3)

    def call(self, x, training=False):
        known = keras.ops.cast(self.lookup(keras.ops.cast(x[:, :1] > 0, "int64")), "float32")
        return self.scores(self.noise(self.hidden(x) + known, training=training))


def functional(cls=keras.Model, layer=None):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6, activation="relu")(inputs)
    return cls(inputs, keras.layers.Dense(3)(layer()(hidden) if layer else hidden))


REFUSED = {
    "random operation": lambda: functional(layer=Noise),
    "legacy dropout": lambda: functional(layer=LegacyDropout),
    "sealed step": lambda: functional(Sealed),
    "sealed update": lambda: functional(SealedUpdate),
    "by hand": lambda: functional(ByHand),
    "own function": lambda: functional(OwnFunction),
    "fault of ours": functional,
    "made late": Late,
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), 2.0**10),
}
MODES = {
    "graph": {},
    "xla": {"jit_compile": True},
    "several steps": {"steps_per_execution": 2},
    "metrics": {"metrics": ["accuracy"]},
    "metrics, xla": {"metrics": ["accuracy"], "jit_compile": True},
    "eager": {"metrics": ["accuracy"], "run_eagerly": True},
}
if BACKEND == "jax":  # test_jax_recorder.py has the train steps of users' own
    MODES = {name: mode for name, mode in MODES.items() if "xla" not in name}
    REFUSED = {name: REFUSED[name] for name in ("own function", "fault of ours")}
if BACKEND == "torch":  # where all steps run eagerly; torch.compile has tests of its own
    MODES = {name: MODES[name] for name in ("graph", "metrics")}
    REFUSED = {name: build for name, build in REFUSED.items() if "sealed" not in name}


def is_heard(why, mode):
    """A step that runs eagerly is heard, whatever it draws."""
    if BACKEND == "torch":
        return why not in ("by hand", "fault of ours")
    return mode == "eager" and why not in ("by hand", "own function", "fault of ours")


def refused_fit(why, optimizer, mode, *callbacks):
    """Everything that such a training moves."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    refused = REFUSED[why]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused.compile(OPTIMIZERS[optimizer](), loss, **MODES[mode])
        history = refused.fit(X, Y, batch_size=11, epochs=2, verbose=0, callbacks=list(callbacks)).history
    history = {name: values for name, values in history.items() if not name.startswith("xai_")}
    values = [array(v) for v in (*refused.variables, *refused.optimizer.variables, *refused.metrics_variables)]
    return values, history


def matrix():
    """Each reason with one optimizer, each in another mode; the rest of the product is for `-m full`."""
    names = list(itertools.product(REFUSED, OPTIMIZERS, MODES))
    quick = {
        (why, optimizer, list(MODES)[(n + k) % len(MODES)])
        for n, why in enumerate(REFUSED)
        for k, optimizer in enumerate(OPTIMIZERS)
        if k == n % len(OPTIMIZERS)
    }
    return [pytest.param(*row, marks=[] if row in quick else pytest.mark.full) for row in names]


@pytest.mark.parametrize(("why", "optimizer", "mode"), matrix())
def test_a_refused_training_runs_as_without_us(tmp_path, monkeypatch, why, optimizer, mode):
    """From the first step after compile on: slots, metrics, a loss scale, late layers and tables are made as ever."""
    alone, history = refused_fit(why, optimizer, mode)

    def broken(*args, **kwargs):
        raise TypeError("a fault of ours")

    if why == "fault of ours":
        monkeypatch.setattr(SUMS, "add", broken)
    watched, theirs = refused_fit(why, optimizer, mode, kx.WeightGradients(tmp_path, on_flag=lambda record: None))
    assert [values.shape for values in watched] == [values.shape for values in alone]
    assert all(np.isfinite(values).all() for values in watched)
    if not (why in ("random operation", "legacy dropout") and "xla" in mode):  # which is not reproducible by itself
        for mine, other in zip(watched, alone, strict=True):
            np.testing.assert_array_equal(mine, other)
        assert theirs == history
    missing = kx.load(tmp_path)["."].weight_gradients[-1].missing
    assert bool(missing) != is_heard(why, mode)


@pytest.mark.tensorflow
def test_after_a_refusal_the_model_trains_on_without_us(tmp_path):
    """A plain fit afterwards, `train_on_batch`, `evaluate`: nothing uninitialised was left."""
    inputs = keras.Input((6,))
    refused = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(Noise()(inputs)))
    refused.compile("adam", LOSS, metrics=["accuracy"])
    with pytest.warns(UserWarning, match="not captured"):
        fit(refused, kx.WeightGradients(tmp_path))
    fit(refused)
    refused.train_on_batch(X[:8], Y[:8])
    assert np.isfinite(refused.evaluate(X, Y, verbose=0)[0])


# One by one.


@pytest.mark.tensorflow  # PyTorch records such a step, or says after some more that it has no optimizer
@pytest.mark.parametrize("cls", [ByHand, Sealed])
def test_a_step_without_an_optimizer_that_can_be_heard(cls, tmp_path):
    """Never a silent zero, and the weights are those of a training without us."""
    watched, alone = rebuilt(cls), rebuilt(cls)
    reason = uncaptured(watched, tmp_path, "not captured")
    assert ("tf.function" in reason) if cls is Sealed else ("no optimizer" in reason)
    fit(alone, epochs=2)
    assert_same(watched, alone)


@pytest.mark.tensorflow
def test_a_train_function_of_the_models_own(tmp_path):
    """It may do anything: nothing is tried."""
    watched, alone = rebuilt(OwnFunction), rebuilt(OwnFunction)
    uncaptured(watched, tmp_path, "make_train_function")
    fit(alone, epochs=2)
    assert_same(watched, alone)


@pytest.mark.tensorflow
def test_a_graph_that_cannot_be_built_twice(tmp_path):
    """The model was trained before, so its step is traced; the second trace fails, the training runs on."""
    watched, alone = rebuilt(Once), rebuilt(Once)
    fit(watched)
    reason = uncaptured(watched, tmp_path, "one too many")
    assert "ValueError" in reason
    fit(alone, epochs=3)
    assert_same(watched, alone)


@pytest.mark.tensorflow
def test_random_operations_with_a_state_in_the_graph(tmp_path):
    """Two functions in turns would draw other numbers than one: the recording one is thrown away before it runs."""
    import tensorflow as tf

    tf.random.set_seed(11)
    watched = noisy()
    start = watched.get_weights()
    tf.random.set_seed(11)
    reason = uncaptured(watched, tmp_path, "random")
    assert "RandomStandardNormal" in reason
    alone = noisy()
    alone.set_weights(start)
    tf.random.set_seed(11)
    fit(alone, epochs=2)
    assert_same(watched, alone)


def test_a_fault_of_ours_while_tracing_costs_nothing(tmp_path, monkeypatch):
    """The trace is thrown away; the plain function trains the model."""

    def broken(*args, **kwargs):
        raise TypeError("a fault of ours")

    monkeypatch.setattr(SUMS, "add", broken)
    watched, alone = model(), model()
    uncaptured(watched, tmp_path, "a fault of ours")
    fit(alone, epochs=2)
    assert_same(watched, alone)


@pytest.mark.every_backend
def test_a_fault_of_ours_in_eager_mode_costs_nothing(tmp_path, monkeypatch):
    """There the step is running already: it goes on without us."""

    def broken(*args, **kwargs):
        raise TypeError("a fault of ours")

    monkeypatch.setattr(SUMS, "add", broken)
    watched, alone = model(run_eagerly=True), model(run_eagerly=True)
    uncaptured(watched, tmp_path, "a fault of ours")
    fit(alone, epochs=2)
    assert_same(watched, alone)


@contextlib.contextmanager
def eager_functions(is_on):
    """TensorFlow's switch."""
    if not is_on:
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_an_error_in_eager_mode_is_never_answered_by_a_second_step():
    """Half of such a step has run. Also where functions run eagerly behind the model's back."""

    class Broken(keras.Model):
        steps = 0

        def train_step(self, *arguments):
            self.steps += 1
            super().train_step(*arguments)
            raise KeyError("after the update")

    plain = model()
    for behind in (False, True) if BACKEND == "tensorflow" else (False,):
        watched = Broken(plain.input, plain.output)
        watched.compile(sgd(), LOSS, run_eagerly=not behind)
        with eager_functions(behind), pytest.raises(KeyError, match="after the update"):
            fit(watched, Listener(0))
        assert watched.steps == 1


@pytest.mark.tensorflow
def test_dropout_that_is_off_is_not_random():
    """cuDNN's recurrent operation has seeds, for a dropout that Keras leaves at zero; with one it is random."""
    import tensorflow as tf

    from keras_xai.backend.tensorflow.graphs import stateful_random_operations

    for dropout, expected in ((0.0, []), (0.5, ["CudnnRNN"])):
        graph = tf.Graph()
        with graph.as_default():
            zeros = tf.zeros([1, 1, 1])
            tf.raw_ops.CudnnRNN(input=zeros, input_h=zeros, input_c=zeros, params=tf.zeros([9]), dropout=dropout)
        assert stateful_random_operations(graph) == expected


@pytest.mark.tensorflow
def test_an_error_of_the_step_itself_reaches_the_user(tmp_path):
    """Labels out of range fail on the device as they would without us, and are not taken for a failed trace."""
    import tensorflow as tf

    watched = model()
    wrong = Y.copy()
    wrong[0] = 99
    with pytest.raises(tf.errors.InvalidArgumentError):
        watched.fit(X, wrong, batch_size=8, verbose=0, shuffle=False, callbacks=[Listener(0)])
    assert "apply" not in vars(keras.optimizers.Optimizer)
