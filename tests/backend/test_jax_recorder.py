"""JAX's recorder: a second program beside a step that nobody touches, and the steps of which it keeps away."""

from __future__ import annotations

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the recorder of JAX", allow_module_level=True)

import jax
import jax.numpy as jnp

from keras_xai.backend.gradient_table import COLUMNS
from keras_xai.backend.jax.gradient_recorder import StepRecorder
from keras_xai.backend.jax.gradient_sums import GradientSums
from tests.backend.recording import Recording

ROWS = 48
RAGGED = 44  # rows, whose last batch has 4
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, ROWS)


def built(cls=keras.Model, layer=None, **options):
    """A model with dropout, batch normalisation and Adam: what a step draws, moves and updates."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(hidden))
    hidden = layer(hidden) if layer else hidden
    model = cls(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    model.compile(options.pop("optimizer", "adam"), "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


def state_after(model, rows=ROWS):
    model.fit(X[:rows], Y[:rows], batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(v) for v in [*model.variables, *model.optimizer.variables]]


def watched_and_alone(make, calls=None, rows=ROWS):
    """The recorder of a model whose training came out bit for bit as that of the same model alone."""
    model = make()
    recording = Recording(model, calls)
    watched, alone = state_after(model, rows), state_after(make(), rows)
    for mine, theirs in zip(watched, alone, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return recording.recorder


@pytest.mark.parametrize("calls", [None, {0, 3, 9}], ids=["all", "some"])
@pytest.mark.parametrize(
    "options", [{}, {"steps_per_execution": 4}, {"run_eagerly": True}, {"jit_compile": False}], ids=str
)
def test_nothing_of_a_training_changes(options, calls):
    """Dropout's seeds, moving averages, Adam: also where a call ends in the middle of its steps, and without a compiler."""
    recorder = watched_and_alone(lambda: built(**options), calls, RAGGED)
    assert recorder.reason == ""
    table = recorder.read()
    expected = 12 if calls is None else len(calls)
    if "steps_per_execution" in options:
        expected = 12 if calls is None else 4 + 2  # calls 0 and 3: the second is the end of the second epoch
    assert table.steps == expected
    np.testing.assert_array_equal(table.sums[:, COLUMNS.index("updates")], expected)


@pytest.mark.every_backend
def test_a_program_is_compiled_once_a_shape():
    """44 rows in batches of 8: the last one has 4. What it took is counted."""
    traces = []

    class Counted(keras.Model):
        def train_step(self, state, data):
            traces.append(data[0].shape)
            return super().train_step(state, data)

    model = built(Counted)
    recorder = Recording(model).recorder
    state_after(model, RAGGED)
    assert sorted(traces) == [(4, 6)] * 2 + [(8, 6)] * 2  # the model's own, and ours
    assert recorder.seconds_built > 0


@pytest.mark.every_backend
def test_a_step_that_runs_eagerly_runs_once():
    """It is listened to, and not made a second time: nobody knows what else it does."""
    steps = []

    class Counted(keras.Model):
        def train_step(self, state, data):
            steps.append(data[0].shape)
            return super().train_step(state, data)

    recorder = watched_and_alone(lambda: built(Counted, run_eagerly=True))
    assert recorder.read().steps == 12
    assert len(steps) == 24


class Printing(keras.Model):
    """Tells the host of each step."""

    heard: list[float] = []  # noqa: RUF012

    def train_step(self, state, data):
        logs, state = super().train_step(state, data)
        jax.debug.callback(lambda loss: self.heard.append(float(loss)), logs["loss"])
        return logs, state


class Calling(keras.layers.Layer):
    """Asks the host."""

    def call(self, x):
        zeros = jax.pure_callback(lambda v: v * 0, jax.ShapeDtypeStruct(x.shape, x.dtype), jax.lax.stop_gradient(x))
        return x + zeros


class Drawing(keras.layers.Layer):
    """Draws from a generator of the compiled program."""

    def call(self, x):
        return x + 0.0 * jax.lax.stop_gradient(jax.lax.rng_uniform(0.0, 1.0, x.shape))


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: built(Printing), "calls Python code while it runs (debug_callback)"),
        (lambda: built(layer=Calling()), "calls Python code while it runs (pure_callback)"),
        (lambda: built(layer=Drawing()), "draws random numbers"),
    ],
    ids=["debug", "pure", "draws"],
)
def test_a_step_with_effects_is_not_made_twice(make, reason):
    """The reason says which; the host hears each step once."""
    Printing.heard.clear()
    recorder = watched_and_alone(make)
    jax.effects_barrier()
    assert reason in recorder.reason
    assert recorder.read().steps == 0
    assert len(Printing.heard) in (0, 24)


class Sealed(keras.Model):
    """Updates its weights in a jitted function of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.update = jax.jit(
            lambda state, gradients, weights: self.optimizer.stateless_apply(state, gradients, weights)
        )

    def train_step(self, state, data):
        weights, others, of_optimizer, metrics = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_of(weights):
            predicted, values = self.stateless_call(weights, others, x, training=True)
            return jnp.mean(keras.losses.sparse_categorical_crossentropy(y, predicted)), values

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        weights, of_optimizer = self.update(of_optimizer, gradients, weights)
        return {"loss": loss}, (weights, others, of_optimizer, metrics)


class Open(Sealed):
    """The same without a jitted function."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.update = lambda state, gradients, weights: self.optimizer.stateless_apply(state, gradients, weights)


class Untrained(keras.Model):
    """Calls no optimizer."""

    def train_step(self, state, data):
        return {"loss": jnp.zeros(())}, state


class OwnFunction(keras.Model):
    """Takes batches as it likes."""

    def make_train_function(self, force=False):
        super().make_train_function(force)


class TwoRules(Open):
    """Updates the first layer by an optimizer of its own, whose state does not change."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rule = keras.optimizers.SGD(0.1)
        first = self.trainable_variables[:2]
        self.rule.build(first)
        values = [keras.ops.convert_to_numpy(v) for v in self.rule.variables]

        def update(state, gradients, weights):
            weights, state = self.optimizer.stateless_apply(
                state, [*map(jnp.zeros_like, gradients[:2]), *gradients[2:]], weights
            )
            trained, _ = self.rule.stateless_apply(list(map(jnp.asarray, values)), gradients[:2], weights[:2])
            return [*trained, *weights[2:]], state

        self.update = update


@pytest.mark.every_backend
def test_two_optimizers_in_one_step():
    """Each call counts; the sums of a variable that both were given are those of both."""
    recorder = watched_and_alone(lambda: built(TwoRules, optimizer="sgd"), {0})
    table = recorder.read()
    assert recorder.reason == ""
    assert table.steps == 2
    calls = table.sums[:, COLUMNS.index("calls")]
    np.testing.assert_array_equal(calls, [2, 2] + [1] * (len(calls) - 2))
    assert (table.sums[:, COLUMNS.index("squares")] > 0).all()


@pytest.mark.every_backend
def test_a_variable_that_the_loss_does_not_depend_on_has_a_gradient_of_zeros():
    """As JAX hands it to the optimizer."""
    inputs = keras.Input((6,))
    used, unused = keras.layers.Dense(3, name="used")(inputs), keras.layers.Dense(2, name="unused")(inputs)
    model = keras.Model(inputs, [used, unused])
    model.compile("sgd", [keras.losses.SparseCategoricalCrossentropy(from_logits=True), None])
    recorder = Recording(model).recorder
    model.fit(X, [Y, Y], batch_size=8, verbose=0)
    table = recorder.read()
    rows = {variable.path: row for variable, row in zip(table.variables, table.sums, strict=True)}
    assert rows["unused/kernel"][COLUMNS.index("zeros")] == 12 * rows["unused/kernel"][COLUMNS.index("calls")] == 12 * 6
    assert rows["used/kernel"][COLUMNS.index("zeros")] == 0


@pytest.mark.parametrize("calls", [None, {3, 4}], ids=["from the first", "later"])
@pytest.mark.parametrize(
    ("cls", "reasons"),
    [
        (Open, ("",)),
        (Sealed, ("inside a jitted function", "traced before")),
        (Untrained, ("calls no optimizer",)),
        (OwnFunction, ("make_train_function",)),
    ],
)
def test_steps_of_users_own(cls, reasons, calls):
    """Heard where the optimizer can be; else refused, whether or not the step was traced before."""
    recorder = watched_and_alone(lambda: built(cls), calls)
    assert any(reason in recorder.reason for reason in reasons)
    assert bool(recorder.reason) == (cls is not Open)
    assert recorder.read().steps == (0 if recorder.reason else len(calls or range(12)))


@pytest.mark.every_backend
def test_a_jitted_function_in_an_eager_step_is_left_alone():
    """Its trace is kept for later steps, and would keep ours."""
    recorder = watched_and_alone(lambda: built(Sealed, run_eagerly=True))
    assert "inside a jitted function" in recorder.reason


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["compiled", "eager"])
@pytest.mark.parametrize("place", ["add", "take", "absorb"])
def test_a_fault_of_ours_stops_no_step(monkeypatch, options, place):
    """While the program is traced, or after it ran."""

    def broken(*args, **kwargs):
        raise TypeError("a fault of ours")

    monkeypatch.setattr(GradientSums, place, broken)
    recorder = watched_and_alone(lambda: built(**options))
    assert "TypeError: a fault of ours" in recorder.reason


@pytest.mark.every_backend
def test_a_fault_on_the_device_stops_no_step(monkeypatch):
    """As where the second program finds no memory."""

    def full(*args):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(StepRecorder, "_absorb", full)
    recorder = watched_and_alone(built)
    assert "RESOURCE_EXHAUSTED" in recorder.reason


def test_an_error_of_the_step_itself_reaches_the_user():
    """Its own words; the second program's error is not in its way."""

    class Broken(keras.Model):
        def train_step(self, state, data):
            raise KeyError("no such column")

    model = built(Broken)
    recorder = Recording(model).recorder
    with pytest.raises(KeyError, match="no such column"):
        model.fit(X, Y, batch_size=8, verbose=0)
    assert "no such column" in recorder.reason


@pytest.mark.every_backend
def test_losses_that_a_failed_trace_left_are_gone():
    """Keras keeps the losses of a forward pass on the model until its loss is computed."""

    class Adding(keras.layers.Layer):
        def call(self, x):
            self.add_loss(0.01 * keras.ops.mean(x**2))
            return x

    class Once(keras.Model):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            traces.append(None)
            if len(traces) == broken_trace:
                raise ValueError("not twice")
            return loss

    traces, broken_trace = [], 0
    alone = state_after(built(Once, layer=Adding()))
    # Keras computes the loss once before the first step, to see its shape: the second time is ours.
    traces, broken_trace = [], 2
    watched = built(Once, layer=Adding())
    recorder = Recording(watched).recorder
    for mine, theirs in zip(state_after(watched), alone, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert "not twice" in recorder.reason


@pytest.mark.every_backend
def test_counts_go_beyond_32_bits():
    """JAX has no integers of 64 bits by default."""
    variable = keras.Variable(np.ones(3, np.float32))
    sums = GradientSums([variable])
    sums.add([jnp.ones(3)], [variable], [jnp.ones(3)])
    of_step = sums.take()._replace(exponents=jnp.full((2, 512), 2**31 + 1, jnp.uint32))
    for _ in range(3):
        sums.absorb(of_step)
    assert sums.read()[0, COLUMNS.index("zeros")] == 2 * 3 * (2**31 + 1)


@pytest.mark.every_backend
def test_the_table_of_an_embedding_is_sparse():
    """A batch uses some rows; the gradients of the others are zero, which is no sign of a dead layer."""
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), keras.layers.Embedding(50, 4), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    recorder = Recording(model).recorder
    model.fit(np.abs(X[:, :3] * 10).astype("int32"), Y, batch_size=8, verbose=0)
    assert recorder.read().sparse == {id(model.layers[0].embeddings)}
