"""A training on two virtual CPUs under `MirroredStrategy`, in a process of its own: devices are fixed at the first use.

Run as `python -m tests.gradients.mirrored LOG_DIR`; says by its exit code whether everything held.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_xai as kx
from tests.gradients import by_hand
from tests.gradients.situations import X, Y, mlp, overflowing, sgd, with_policy

BUILDS = {
    "sgd": lambda: mlp(sgd(momentum=0.9)),
    "mixed_float16": lambda: with_policy("mixed_float16", keras.optimizers.LossScaleOptimizer(sgd(), 2.0**10)),
    "overflowing": overflowing,
}
ROUNDING = {"sgd": 1e-4, "mixed_float16": 2e-2}
EPOCHS = 1


def made(kind: str, strategy: tf.distribute.Strategy | None) -> keras.Model:
    keras.utils.set_random_seed(3)
    if strategy is None:
        return BUILDS[kind]()
    with strategy.scope():
        return BUILDS[kind]()


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback) -> keras.Model:
    model.fit(X, Y, batch_size=8, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def main(log_dir: Path, kind: str) -> None:
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    watched = made(kind, strategy)
    fit(watched, kx.WeightGradients(log_dir, samples_per_epoch="all", on_flag=lambda record: None, on_error="raise"))
    alone = fit(made(kind, strategy))
    mine, theirs = ([*m.variables, *m.optimizer.variables] for m in (watched, alone))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())

    records = kx.load(log_dir)["."].weight_gradients
    assert [record.missing for record in records] == [""]
    if kind == "overflowing":
        # Keras asks the first replica alone whether to skip a step, so there is no twin on one device: an infinite
        # gradient of the second one is applied. What was applied is what is recorded.
        assert (
            0
            < sum(record.steps for record in records)
            == int(watched.optimizer.inner_optimizer.iterations.value.numpy())
            < 6
        )
        return
    # Half a batch on each replica, each loss divided by two: the sum of their gradients is that of the whole batch.
    history = by_hand.train(made(kind, None), X, Y, batch_size=8, epochs=EPOCHS)
    for record, expected in zip(records, history, strict=True):
        assert record.steps == len(next(iter(expected.calls.values())))
        for v, calls in enumerate(expected.calls.values()):
            twin = by_hand.statistics(calls)
            for name in ("rms", "std", "max", "weight_norm", "update_ratio"):
                got = record.statistics[name][v]
                np.testing.assert_allclose(got, twin[name], rtol=ROUNDING[kind], err_msg=f"{name} of {record.names[v]}")


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for situation in BUILDS:
        main(Path(sys.argv[1]) / situation, situation)
