"""All callbacks under `MirroredStrategy` on two virtual CPUs, in a process of its own: devices are fixed at first use.

Run as `python -m tests.trust.mirrored LOG_DIR`; says by its exit code whether everything held.
"""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_xai as kx
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.callbacks.probe_attributions import chosen_methods
from tests.callbacks.small_training import small_data
from tests.trust.trainings import assert_same, state

EPOCHS = 3


def model(scope: Any = None, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    with scope or tf.init_scope():
        layers = [keras.Input((4,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(3)]
        network = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.Adam(0.01), loss, **options)
    return network


def fit(network: keras.Model, *callbacks: keras.callbacks.Callback) -> keras.Model:
    network.fit(*small_data(), batch_size=32, epochs=EPOCHS, verbose=0, callbacks=list(callbacks))
    return network


def watch(log_dir: Path, **options: Any) -> kx.Explain:
    x, y = small_data()
    quiet: Any = lambda record: None  # noqa: E731
    return kx.Explain(log_dir, (x, y), live=(x, y), on_drift=quiet, on_flag=quiet, on_error="raise", **options)


def right(strategy: tf.distribute.Strategy, log_dir: Path) -> None:
    """The same weights as without us, one file, and the importance that a plain model with those weights has."""
    watched, alone = fit(model(strategy.scope()), watch(log_dir)), fit(model(strategy.scope()))
    assert_same(state(watched), state(alone))
    assert len(list((log_dir / "keras_xai").iterdir())) == 1
    run = kx.load(log_dir)["."]
    assert run.epochs == run.importance.epochs.tolist() == run.importance_live.epochs.tolist() == list(range(EPOCHS))
    assert [record.missing for record in run.weight_gradients] == [""] * EPOCHS
    assert len(run.attributions("integrated_gradients")) == EPOCHS
    plain = model()
    plain.set_weights(watched.get_weights())
    _, values = kx.importance(plain, small_data())
    np.testing.assert_allclose(run.importance.share[-1], values / values.sum(), rtol=1e-5)
    gallery = kx.Probe(*small_data()).gallery(16)
    for method, record in ProbeExplainer(plain, gallery, chosen_methods(run.methods, {}, 0))().items():
        np.testing.assert_allclose(run.attributions(method)[-1].values, record.values, rtol=1e-4, atol=1e-5)


def inside_epochs(strategy: tf.distribute.Strategy, log_dir: Path) -> None:
    """Updates every two of an epoch's three steps, and the same weights as without us."""
    watched, alone = fit(model(strategy.scope()), watch(log_dir, every="2 steps")), fit(model(strategy.scope()))
    assert_same(state(watched), state(alone))
    run = kx.load(log_dir)["."]
    assert run.updates == run.importance.updates.tolist() == [2, 3, 4, 6, 8, 9]
    assert all("loss" in record.logs for record in run.history)


def outcome(train: Callable[[], Any]) -> str:
    """Return how a training ends: nothing, or the error's kind and where it comes from, without addresses and names."""
    try:
        train()
    except Exception as error:
        return f"{type(error).__name__}: {re.sub(r'0x[0-9a-f]+|_[0-9]+|[0-9]+', '', str(error))[:300]}"
    return ""


def what_keras_cannot_do(log_dir: Path) -> None:
    """XLA, several steps an execution, several workers: whatever comes of it comes of it with us too, and no other."""
    cases: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
        "XLA": (lambda: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), {"jit_compile": True}),
        "several steps": (lambda: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), {"steps_per_execution": 2}),
        "several workers": (tf.distribute.MultiWorkerMirroredStrategy, {}),
    }
    for name, (strategy, options) in cases.items():

        def train(*callbacks: Any, strategy: Any = strategy, options: Any = options) -> None:
            fit(model(strategy().scope(), **options), *callbacks)

        alone = outcome(train)
        watched = outcome(functools.partial(train, watch(log_dir / name)))
        print(f"{name}: {alone or 'trains'}", file=sys.stderr)
        assert watched == alone, f"{name}: alone {alone!r}, watched {watched!r}"


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    warnings.simplefilter("error", UserWarning)
    right(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), Path(sys.argv[1]) / "right")
    inside_epochs(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), Path(sys.argv[1]) / "inside")
    what_keras_cannot_do(Path(sys.argv[1]))
