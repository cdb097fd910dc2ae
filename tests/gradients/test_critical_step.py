"""How far a step could have gone: the search against closed forms and a twin in NumPy, and inside trainings."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.errors import InvalidInput
from keras_xai.gradients import step_loss
from keras_xai.gradients.critical_step import critical_step
from keras_xai.records import STEP_LIMITS
from tests.gradients.situations import SITUATIONS, all_state, made

WITHIN = 2 ** (1 / 8) * 1.001  # the resolution of the search


def quadratic(x, y):
    """A linear model without bias under half the squared error; its Hessian is XᵀX / n."""
    model = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign(np.zeros((x.shape[1], 1)))
    return model


def half_squared_error(truth, output):
    return 0.5 * keras.ops.mean(keras.ops.square(truth - output))


def close(value, expected):
    return expected / WITHIN <= value <= expected * WITHIN


@pytest.mark.parametrize("start", [1.0, 0.01, 37.0, 1e9])
@pytest.mark.parametrize("truth", [0.02, 0.3, 1.0, 2.6, 70.0, 900.0])
def test_the_search_ends_at_the_root(truth, start):
    """L(α) = (α − c)² is back at its start at 2c, wherever the search begins; in few passes where it begins near."""
    step = critical_step(lambda multiple: (multiple - truth / 2) ** 2, start)
    assert close(step.multiple, truth)
    assert step.passes <= 6 + abs(np.log2(np.clip(start, *STEP_LIMITS) / truth))
    assert critical_step(lambda multiple: (multiple - truth / 2) ** 2, step.multiple).passes <= 6


def test_what_lies_beyond_the_limits_is_the_limit():
    """A loss that falls for ever, one that rises at once, one that is NaN behind a point, one that is NaN from the start."""
    assert critical_step(lambda multiple: -multiple).multiple == STEP_LIMITS[1]
    assert critical_step(lambda multiple: 1 + multiple).multiple == STEP_LIMITS[0]
    assert critical_step(lambda multiple: 1.0).multiple == STEP_LIMITS[1]  # no change is no rise
    assert close(critical_step(lambda multiple: 1 - multiple if multiple < 5 else np.nan).multiple, 5)
    assert critical_step(lambda multiple: np.nan) is None


@pytest.mark.every_backend
@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_on_a_quadratic_loss_it_is_the_closed_form(rate, tmp_path):
    """SGD on half a squared error: 2 / (ηλ) where the gradient is an eigenvector of XᵀX / n, else 2 ‖g‖² / (η gᵀHg)."""
    random = np.random.default_rng(3)
    aligned = 1.7 * np.linalg.qr(random.normal(size=(16, 3)))[0].astype("float32")  # all eigenvalues are 1.7² / 16
    skewed = random.normal(size=(16, 3)).astype("float32") * [1, 2, 4]
    for name, x in (("aligned", aligned), ("skewed", skewed.astype("float32"))):
        y = (x @ [[1.0], [-2.0], [0.5]]).astype("float32")
        model = quadratic(x, y)
        model.compile(keras.optimizers.SGD(rate), half_squared_error)
        watch = kx.WeightGradients(tmp_path / name, samples_per_epoch=1, critical_step=True, on_error="raise")
        logs = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=[watch]).history
        hessian, weights = x.T @ x / 16, np.zeros((3, 1))
        records = kx.load(tmp_path / name)["."].critical_step
        for record, logged in zip(records, logs["xai_critical_step"], strict=True):
            gradient = x.T @ (x @ weights - y) / 16
            expected = 2 * np.sum(gradient**2) / (rate * float((gradient.T @ hessian @ gradient)[0, 0]))
            if name == "aligned":
                np.testing.assert_allclose(expected, 2 / (rate * 1.7**2 / 16), rtol=1e-4)
            (multiple,), (loss,) = record.multiples, record.losses
            assert close(multiple, np.clip(expected, *STEP_LIMITS))
            assert multiple == pytest.approx(logged)
            np.testing.assert_allclose(loss, 0.5 * np.mean((x @ weights - y) ** 2), rtol=1e-4)
            weights = weights - rate * gradient


def deep(rate):
    keras.utils.set_random_seed(4)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(12, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.ActivityRegularization(l2=0.01),
            layers.Dense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.every_backend
def test_the_loss_is_the_one_that_the_step_descended(tmp_path):
    """Before the first step it equals the loss that Keras reports: with dropout's mask, batch statistics, weights, penalties."""
    random = np.random.default_rng(5)
    x, y = random.normal(size=(24, 6)).astype("float32"), random.integers(0, 3, 24)
    weights = random.uniform(0.2, 2, 24).astype("float32")
    watch = kx.WeightGradients(tmp_path, samples_per_epoch="all", critical_step=True, on_error="raise")
    model = deep(0.01)
    reported = model.fit(
        x, y, sample_weight=weights, batch_size=24, epochs=4, verbose=0, shuffle=False, callbacks=[watch]
    )
    state = all_state(model)
    losses = [record.losses[0] for record in kx.load(tmp_path)["."].critical_step]
    np.testing.assert_allclose(losses, reported.history["loss"], rtol=1e-5)
    plain = deep(0.01)
    plain.fit(x, y, sample_weight=weights, batch_size=24, epochs=4, verbose=0, shuffle=False)
    for mine, theirs in zip(state, all_state(plain), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# Where it is measured, and why not where it is not.
REASONS = {
    "own_train_step": step_loss.OWN_TRAIN_STEP,
    "accumulation": step_loss.ACCUMULATES,
    "several_steps": step_loss.SEVERAL_STEPS,
}
MEASURED = ("functional", "subclassed", "eager", "mixed_float16", "embedding", "xla", "batch_normalization")
QUICK = ("mixed_float16", "several_steps")


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in SITUATIONS]
)
def test_in_every_training_it_is_measured_or_says_why_and_no_bit_changes(name, tmp_path):
    """Adam, metrics and state in the forward pass: weights, optimizer, generators and metrics as without."""
    situation = SITUATIONS[name]
    watch = kx.WeightGradients(tmp_path, samples_per_epoch=2, critical_step=True, on_error="raise", on_flag=print)

    def fitted(callbacks):
        model = made(situation, demanding=True)
        options = {"batch_size": situation.batch_size, "epochs": 2, "shuffle": False, "verbose": 0}
        logs = model.fit(situation.x, situation.y, callbacks=callbacks, **options, **situation.fit).history
        return all_state(model), logs

    (state, logs), (state_without, logs_without) = fitted([watch]), fitted([])
    for mine, theirs in zip(state, state_without, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for key, values in logs_without.items():
        np.testing.assert_array_equal(logs[key], values)
    run = kx.load(tmp_path)["."]
    for record, gradients in zip(run.critical_step, run.weight_gradients, strict=True):
        assert bool(record.missing) != bool(record.multiples)
        assert not record.missing or record.missing == REASONS.get(name, record.missing)
        if name in MEASURED and gradients.steps:  # of those that the loss scale skips there is none
            assert record.multiples, record.missing


def test_it_is_off_unless_asked_for(tmp_path):
    """No key, no record; and an argument that is no truth value is refused."""
    situation = SITUATIONS["functional"]
    model = made(situation)
    watch = kx.WeightGradients(tmp_path)
    logs = model.fit(situation.x, situation.y, batch_size=22, verbose=0, callbacks=[watch]).history
    assert "xai_critical_step" not in logs
    assert kx.load(tmp_path)["."].critical_step == []
    with pytest.raises(InvalidInput, match="critical_step='yes': expected True or False"):
        kx.WeightGradients(tmp_path, critical_step="yes")


def test_a_step_that_changes_nothing_is_not_measured(tmp_path):
    """Learning rate 0: not a figure, a reason."""
    situation = SITUATIONS["functional"]
    model = made(situation)
    model.optimizer.learning_rate = 0.0
    watch = kx.WeightGradients(tmp_path, critical_step=True)
    logs = model.fit(situation.x, situation.y, batch_size=22, verbose=0, callbacks=[watch]).history
    assert np.isnan(logs["xai_critical_step"]).all()
    (record,) = kx.load(tmp_path)["."].critical_step
    assert (record.multiples, record.missing) == ((), step_loss.UNMOVED)
