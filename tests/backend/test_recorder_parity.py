"""Any backend's `GradientRecorder`, against closed forms: a linear model, its mean squared error, and plain SGD.

Written against the protocol alone: a new framework runs these tests as they are.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_xai.backend.gradient_table import COLUMNS, LOWEST, WIDTH
from tests.backend.recording import Recording

pytestmark = [pytest.mark.oldest, pytest.mark.every_backend]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(24, 3)).astype(np.float32)
Y = RANDOM.normal(size=(24, 1)).astype(np.float32)
START = np.array([[0.5], [-1.0], [2.0]], np.float32)
RATE = 0.1
BATCH = 8
STEPS = len(X) // BATCH


def linear(optimizer=None, **options):
    """y = x · w, without a bias."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, name="linear")])
    model.set_weights([START])
    model.compile(optimizer or keras.optimizers.SGD(RATE), "mse", **options)
    return model


def fit(model, epochs=1):
    model.fit(X, Y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def recorded(model, **options):
    """The table after one epoch."""
    recording = Recording(model, **options)
    fit(model)
    assert recording.recorder.reason == ""
    return recording.recorder.read()


def column(table, name):
    return table.sums[:, COLUMNS.index(name)]


def history(steps=STEPS, update_every=1):
    """The weights before each step and its gradient, by the closed form 2/n · xᵀ(xw − y)."""
    weights, total = START.astype(np.float64), np.zeros((3, 1))
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        x, y = X[rows].astype(np.float64), Y[rows].astype(np.float64)
        gradient = 2 / BATCH * x.T @ (x @ weights - y)
        yield weights, gradient
        total = total + gradient
        if (step + 1) % update_every == 0:
            weights, total = weights - RATE * total / update_every, np.zeros((3, 1))


@pytest.mark.parametrize("run_eagerly", [False, True], ids=["compiled", "eager"])
def test_sums_of_plain_sgd(run_eagerly):
    """Calls, Σg, Σg², max |g|, Σw² before each call; an update is the rate times the gradient."""
    table = recorded(linear(run_eagerly=run_eagerly))
    steps = list(history())
    gradients = np.stack([gradient for _, gradient in steps])
    squares = np.sum(gradients**2)
    weights = sum(np.sum(w**2) for w, _ in steps)
    assert (table.steps, table.skipped, table.sums.shape) == (STEPS, 0, (1, WIDTH))
    for name, expected in {
        "calls": STEPS,
        "skipped": 0,
        "total": gradients.sum(),
        "squares": squares,
        "weight_squares": weights,
        "updates": STEPS,
        "updated_weight_squares": weights,
        "update_squares": RATE**2 * squares,
        "largest": np.abs(gradients).max(),
        "zeros": 0,
        "nonfinite": 0,
    }.items():
        np.testing.assert_allclose(column(table, name), [expected], rtol=1e-5, err_msg=name)


def test_octaves_count_every_entry():
    """The octave of |g| is the floor of its logarithm."""
    table = recorded(linear())
    gradients = np.stack([gradient for _, gradient in history()]).reshape(-1)
    expected = np.bincount(np.floor(np.log2(np.abs(gradients))).astype(int) - LOWEST, minlength=WIDTH - len(COLUMNS))
    assert table.has_octaves
    np.testing.assert_array_equal(table.sums[0, len(COLUMNS) :], expected)


def test_only_the_calls_that_are_recorded_count():
    """The plain function runs in between, on the same weights."""
    table = recorded(linear(), calls={1})
    _, gradient = list(history())[1]
    assert table.steps == 1
    np.testing.assert_allclose(column(table, "squares"), np.sum(gradient**2), rtol=1e-5)


@pytest.mark.parametrize("calls", [set(), {0}, {1}, None], ids=["none", "first", "later", "all"])
def test_the_training_is_the_same_bit_for_bit(calls):
    """Weights and the state of Adam."""
    watched, alone = (linear(keras.optimizers.Adam(RATE)) for _ in range(2))
    Recording(watched, calls)
    weights = [fit(model, epochs=2) for model in (watched, alone)]
    states = [
        [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables if "learning_rate" not in v.path]
        for model in (watched, alone)
    ]
    for first, second in (weights, states):
        for mine, theirs in zip(first, second, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_accumulated_gradients_update_now_and_then():
    """With three steps to an update all three gradients count, and one update."""
    table = recorded(linear(keras.optimizers.SGD(RATE, gradient_accumulation_steps=STEPS)))
    steps = list(history(update_every=STEPS))
    total = sum(gradient for _, gradient in steps)
    np.testing.assert_allclose(column(table, "calls"), STEPS)
    np.testing.assert_allclose(column(table, "squares"), sum(np.sum(g**2) for _, g in steps), rtol=1e-5)
    np.testing.assert_allclose(column(table, "updates"), 1)
    np.testing.assert_allclose(column(table, "updated_weight_squares"), np.sum(START**2), rtol=1e-6)
    np.testing.assert_allclose(column(table, "update_squares"), np.sum((RATE * total / STEPS) ** 2), rtol=1e-5)


def test_a_factor_in_the_loss_is_taken_out():
    """`loss_scale_factor` multiplies the gradients that `apply` gets."""
    scaled = recorded(linear(keras.optimizers.SGD(RATE, loss_scale_factor=64.0)))
    squares = sum(np.sum(gradient**2) for _, gradient in history())
    np.testing.assert_allclose(column(scaled, "squares"), squares, rtol=1e-5)


def test_a_step_that_loss_scaling_skips_is_counted_apart():
    """A scale of 2^127 makes infinite gradients: the first step is skipped and halves it, and so on."""
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE), initial_scale=2.0**127)
    table = recorded(linear(optimizer))
    assert table.skipped > 0
    assert table.steps + table.skipped == STEPS
    np.testing.assert_array_equal(column(table, "skipped"), [table.skipped])
    np.testing.assert_array_equal(column(table, "calls"), [table.steps])
    np.testing.assert_array_equal(column(table, "updates"), [table.steps])
    assert np.isfinite(table.sums).all()


def test_variables_that_are_not_selected_have_no_row():
    """Nor have those without a gradient any calls."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="linear")])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    table = recorded(model, is_selected=lambda variable: "bias" in variable.path)
    assert [v is model.layers[-1].bias for v in table.variables] == [True]
    assert table.steps == STEPS


def test_a_reset_begins_anew():
    """Sums since then alone; the function is built once."""
    model = linear()
    recording = Recording(model)
    fit(model)
    recording.recorder.reset()
    assert not recording.recorder.read().sums.any()
    fit(model)
    table = recording.recorder.read()
    assert table.steps == STEPS
    np.testing.assert_array_equal(column(table, "calls"), [STEPS])
    assert recording.announced == [1]
    assert recording.recorder.relative_size >= 1


def test_a_step_without_an_optimizer_is_refused_with_a_reason():
    """The training goes on by the plain function."""

    class Untrained(keras.Model):
        def train_step(self, *arguments):
            logs = {"loss": keras.ops.zeros(())}
            return (logs, arguments[0]) if len(arguments) == 2 else logs  # JAX: (state, batch)

    inputs = keras.Input((3,))
    model = Untrained(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    recording = Recording(model)
    fit(model, epochs=4)
    assert "apply()" in recording.recorder.reason
    assert recording.recorder.read().steps == 0
