"""Trainings under `keras.distribution` on JAX: on two virtual devices of one process, or as one of two processes on loopback.

`tests/trust/test_distribution.py` starts `main` with `DIRECTORY SPREAD SCENARIO…` for one process, and with `--process RANK PORT`
behind them for one of two. What each scenario comes to is in `DIRECTORY/<scenario><rank>.npz`, for the tests to compare.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.backend.jax import devices
from tests.helpers.tensorboard_client import TensorBoardClient
from tests.plugin.answers import HOME

L = keras.layers
EPOCHS = 3
BATCH, STEPS = 16, 4
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(BATCH * STEPS, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


class Place:
    """The devices of this process, and its part in the training."""

    def __init__(self, directory: Path, spread: str, rank: int | None) -> None:
        self.directory = directory
        self.rank = rank
        self.name = "" if rank is None else str(rank)
        both = keras.distribution.list_devices()
        assert len(both) == 2, both
        self.splits_batch = spread == "data"
        if self.splits_batch:
            distribution = keras.distribution.DataParallel(devices=both, auto_shard_dataset=False)
        else:
            layouts = keras.distribution.LayoutMap(keras.distribution.DeviceMesh((1, 2), ["batch", "model"], both))
            layouts[".*hidden.*kernel"] = (None, "model")
            layouts[".*hidden.*bias"] = ("model",)
            distribution = keras.distribution.ModelParallel(
                layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False
            )
        keras.distribution.set_distribution(distribution)
        self.mesh = distribution.device_mesh.backend_mesh

    def model(self) -> keras.Model:
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [
                keras.Input((4,)),
                L.Dense(8, activation="relu", name="hidden"),
                L.BatchNormalization(),
                L.Dropout(0.1),
                L.Dense(3, activation="softmax"),
            ]
        )
        model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
        return model

    def data(self) -> dict[str, Any]:
        """The rows that this process feeds: its half of every batch, where the batch is divided among devices."""
        if self.rank is None or not self.splits_batch:
            return {"x": X, "y": Y, "batch_size": BATCH, "shuffle": False}
        half = BATCH // 2
        rows = np.arange(len(X)).reshape(STEPS, 2, half)[:, self.rank].ravel()
        return {"x": X[rows], "y": Y[rows], "batch_size": half, "shuffle": False}

    def fit(self, *callbacks: keras.callbacks.Callback, epochs: int = EPOCHS) -> keras.Model:
        model = self.model()
        model.fit(**self.data(), epochs=epochs, verbose=0, callbacks=list(callbacks))
        return model

    def state(self, model: keras.Model) -> list[np.ndarray]:
        """Weights, generators' states and the optimizer's, whole."""
        whole = jax.jit(lambda v: v, out_shardings=jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec()))
        return [np.asarray(whole(v.value)) for v in (*model.variables, *model.optimizer.variables)]

    def log_dir(self, name: str) -> Path:
        """One of its own for each process: what only the chief may write is missing in the others'."""
        return self.directory / f"{name}{self.name}"

    def save(self, name: str, **values: Any) -> None:
        np.savez(self.directory / f"{name}{self.name}.npz", **values)

    def is_other(self) -> bool:
        return self.rank == 1


def fail(*args: Any) -> Any:
    """Fail as something of ours might."""
    raise RuntimeError("planted")


def quiet(record: Any) -> None:
    """Respond to an alarm with nothing."""


def explain(log_dir: Path, **options: Any) -> kx.Explain:
    options = {"live": (X, Y), "on_drift": quiet, "on_flag": quiet, **options}
    return kx.Explain(log_dir, (X, Y), method="saliency", log="all", **options)


# Scenarios.


class Viewer(keras.callbacks.Callback):
    """Looks at the run in TensorBoard after every epoch.

    Attributes:
        epochs: number of epochs that the tab had each time.
    """

    def __init__(self, log_dir: Path) -> None:
        super().__init__()
        self.log_dir, self.epochs = log_dir, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        client = TensorBoardClient(self.log_dir)
        runs = client.get(f"{HOME}index").json["runs"]
        self.epochs.append(runs[0]["epochs"] if runs else 0)


def watched(place: Place) -> None:
    """With and without us, and looked at while it grows."""
    viewer = Viewer(place.log_dir("watched"))
    with_us = place.fit(explain(place.log_dir("watched"), on_error="raise", mappings=True), viewer)
    place.save("viewed", epochs=viewer.epochs)
    without = place.fit()
    for a, b in zip(place.state(with_us), place.state(without), strict=True):
        np.testing.assert_array_equal(a, b)
    sharding = with_us.get_layer("hidden").kernel.value.sharding.spec
    assert (tuple(sharding) == (None, "model")) == (not place.splits_batch), sharding
    place.save("watched", **with_us.history.history)


def in_steps(place: Place) -> None:
    """Updates inside the epochs, the same with and without us; then a training that goes on in the middle of one."""
    with_us = place.fit(explain(place.log_dir("in_steps"), on_error="raise", every="3 steps"))
    without = place.fit()
    for a, b in zip(place.state(with_us), place.state(without), strict=True):
        np.testing.assert_array_equal(a, b)
    again = explain(place.log_dir("in_steps"), on_error="raise", every="3 steps")
    with_us.fit(**place.data(), initial_epoch=EPOCHS, epochs=EPOCHS + 1, verbose=0, callbacks=[again])
    place.save("in_steps", **with_us.history.history)


def stops(place: Place) -> None:
    """An alarm that stops the training, after few epochs: everything is one."""
    watch = kx.ImportanceDrift(place.log_dir("stops"), (X, Y), limit=1e-3, burn_in=0, on_drift="stop", on_error="raise")
    model = place.fit(watch, epochs=20)
    assert 5 < len(model.history.epoch) < 20, model.history.epoch
    place.save("stops", epochs=model.history.epoch)


def fault(place: Place) -> None:
    """One process only: the callback ends in both, the others go on."""
    ours = explain(place.log_dir("fault"))
    hit = ours.callbacks[1]
    if place.is_other():
        inner = hit.record_update
        hit.record_update = lambda epoch, logs: inner(epoch, logs) if epoch == 0 else fail()
    model = place.fit(ours)
    place.save("fault", epochs=model.history.epoch, retired=[callback.retired for callback in ours.callbacks])


def live(place: Place) -> None:
    """One process reads other rows from the second epoch on."""
    reads = []

    def read() -> tuple[Any, Any]:
        reads.append(1)
        return (X + (place.is_other() and len(reads) > 3), Y)

    watch = kx.ImportanceDrift(place.log_dir("live"), (X, Y), live=read, on_drift=quiet)
    model = place.fit(watch)
    place.save("live", epochs=model.history.epoch, retired=watch.retired, lost=watch._live_rows is None)


def refused(place: Place) -> None:
    """Another probe in each process."""
    with pytest.raises(kx.InvalidInput) as refusal:
        place.fit(kx.ImportanceDrift(place.log_dir("refused"), (X + place.is_other(), Y)))
    place.save("refused", text=str(refusal.value))


class InMidTraining(keras.callbacks.Callback):
    """Does something in one process, in the middle of the third epoch."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__()
        self.action, self.epoch, self.time = action, 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (2, 2):
            self.time = time.monotonic()
            self.action()


def _ends(place: Place, name: str, action: Callable[[], Any]) -> None:
    """Train until the action strikes in the other process, with the callbacks unless the name says "plain"."""
    strike = InMidTraining(action if place.is_other() else lambda: None)
    callbacks: list[keras.callbacks.Callback] = [strike]
    if "plain" not in name:
        callbacks.append(explain(place.log_dir(name), live=None))
    try:
        place.fit(*callbacks, epochs=6)
    except Exception as error:
        place.save(name, error=f"{type(error).__name__}: {error}", seconds=time.monotonic() - strike.time)
        os._exit(0)  # without the end of JAX, which waits for the process that is gone
    place.save(name, error="")


def killed(place: Place) -> None:
    """A process that is killed."""
    _ends(place, "killed", lambda: os.kill(os.getpid(), signal.SIGKILL))


def plain_killed(place: Place) -> None:
    """The same without us."""
    _ends(place, "plain_killed", lambda: os.kill(os.getpid(), signal.SIGKILL))


def raises(place: Place) -> None:
    """A process whose training ends with an error."""
    _ends(place, "raises", fail)


def plain_raises(place: Place) -> None:
    """The same without us."""
    _ends(place, "plain_raises", fail)


def alone(place: Place) -> None:
    """The other process has no such callbacks, and waits in its first step."""
    model = place.model()
    if place.is_other():
        next(devices._joins)
    else:
        seconds, devices.JOIN_SECONDS = devices.JOIN_SECONDS, 1
        with pytest.raises(kx.InvalidInput) as refusal:
            model.fit(**place.data(), verbose=0, callbacks=[kx.WeightGradients(place.log_dir("alone"))])
        devices.JOIN_SECONDS = seconds
        place.save("alone", text=str(refusal.value))
    model.fit(**place.data(), verbose=0)


SCENARIOS = (watched, in_steps, stops, fault, live, refused, killed, plain_killed, raises, plain_raises, alone)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("spread", choices=["data", "model"])
    parser.add_argument("scenarios", nargs="+")
    parser.add_argument("--process", nargs=2, type=int, metavar=("RANK", "PORT"))
    arguments = parser.parse_args()
    rank = None
    if arguments.process:
        rank, port = arguments.process
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(job_addresses=f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    place = Place(arguments.directory, arguments.spread, rank)
    by_name = {scenario.__name__: scenario for scenario in SCENARIOS}
    for name in arguments.scenarios:
        start = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            by_name[name](place)
        print(f"{name}{place.name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        texts = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        (arguments.directory / f"{name}{place.name}.txt").write_text("\n".join(texts))
