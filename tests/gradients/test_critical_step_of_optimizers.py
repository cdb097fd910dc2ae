"""The critical step of every optimizer and loss: against twins in NumPy, and no bit of the training changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.gradients.critical_step import ROUNDING
from keras_xai.records import STEP_LIMITS
from tests.gradients.situations import all_state

WITHIN = 2 ** (1 / 8) * 1.005  # the resolution of the search, and what float32 rounds
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(24, 5)).astype("float32")
CLASSES = RANDOM.integers(0, 3, 24)
NUMBERS = RANDOM.normal(size=(24, 3)).astype("float32")
LABELS = (RANDOM.random((24, 3)) < 0.5).astype("float32")

optimizers, losses = keras.optimizers, keras.losses
OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "clipped": lambda: optimizers.SGD(0.5, clipnorm=0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "adamax": lambda: optimizers.Adamax(0.01),
    "nadam": lambda: optimizers.Nadam(0.01),
    "ftrl": lambda: optimizers.Ftrl(0.1),
    "lion": lambda: optimizers.Lion(0.01),
    "loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01)),
    "averaged": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=None),
    "scheduled": lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)),
}


def huber(error):
    size = np.abs(error)
    return np.where(size <= 1, error**2 / 2, size - 0.5)


def crossentropy(y, z):
    top = z.max(1, keepdims=True)
    return np.log(np.exp(z - top).sum(1)) + top[:, 0] - z[np.arange(len(y)), y]


# The loss of Keras, what it is of, and the same of logits z (n, 3) in NumPy.
LOSSES = {
    "squared error": (losses.MeanSquaredError, NUMBERS, lambda y, z: (y - z) ** 2),
    "absolute error": (losses.MeanAbsoluteError, NUMBERS, lambda y, z: np.abs(y - z)),
    "huber": (losses.Huber, NUMBERS, lambda y, z: huber(y - z)),
    "log cosh": (losses.LogCosh, NUMBERS, lambda y, z: np.logaddexp(y - z, z - y) - np.log(2)),
    "labels": (lambda: losses.BinaryCrossentropy(from_logits=True), LABELS, lambda y, z: np.logaddexp(0, z) - y * z),
    "classes": (lambda: losses.SparseCategoricalCrossentropy(from_logits=True), CLASSES, crossentropy),
}


class Weights(keras.callbacks.Callback):
    """Keeps the kernel and bias of each epoch, and those before the first."""

    def on_train_begin(self, logs=None):
        self.of_epochs = [self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(self.model.get_weights())


def trained(optimizer, loss, y, callbacks):
    """A linear model after four epochs of one step each."""
    keras.utils.set_random_seed(12)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile(optimizer(), loss(), jit_compile=False)
    model.fit(X, y, batch_size=24, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.full
@pytest.mark.every_backend
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_where_the_loss_rises_again_and_no_bit_changes(name, loss_name, tmp_path):
    """Along the step Δ that was taken the loss is not above its start before α, and is behind; of squares α = −2 gᵀΔ / ΔᵀHΔ."""
    optimizer, (loss, y, twin) = OPTIMIZERS[name], LOSSES[loss_name]
    watch = kx.WeightGradients(tmp_path, samples_per_epoch="all", critical_step=True, on_error="raise", on_flag=print)
    weights = Weights()
    state = all_state(trained(optimizer, loss, y, [weights, watch]))
    for watched, plain in zip(state, all_state(trained(optimizer, loss, y, [])), strict=True):
        np.testing.assert_array_equal(watched, plain)

    records = kx.load(tmp_path)["."].critical_step
    assert len(records) == 4
    x = np.concatenate([X, np.ones((24, 1))], 1).astype(np.float64)
    matrices = [np.concatenate([kernel, bias[None]]).astype(np.float64) for kernel, bias in weights.of_epochs]
    for record, before, after in zip(records, matrices, matrices[1:], strict=False):
        (multiple,), (start,) = record.multiples, record.losses
        step = after - before

        def loss_at(alpha, before=before, step=step):
            return float(np.mean(twin(y, x @ (before + alpha * step))))

        np.testing.assert_allclose(start, loss_at(0), rtol=1e-5)
        ceiling = loss_at(0) * (1 + ROUNDING)
        assert multiple == STEP_LIMITS[0] or loss_at(multiple / WITHIN) <= ceiling
        assert multiple == STEP_LIMITS[1] or loss_at(multiple * WITHIN) > ceiling
        if loss_name == "squared error":
            moved = x @ step
            alpha = 2 * np.sum((y - x @ before) * moved) / np.sum(moved**2)
            expected = np.clip(alpha, *STEP_LIMITS)
            assert expected / WITHIN <= multiple <= expected * WITHIN
