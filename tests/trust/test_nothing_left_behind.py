"""What a training leaves behind is the same with and without us: in the model, in the process, in the generators.

Each situation of `tests/gradients/situations.py` is trained to its end, broken off by its data and by another callback.
Four of them here, all with `-m full`.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import random
import signal
import threading
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.gradients.tap import TrainFunctionTap
from tests.frameworks import BACKEND, array, framework_settings, generator_states, noise_of
from tests.gradients.situations import SITUATIONS, made
from tests.trust.trainings import assert_same, state

ALWAYS = ("functional", "eager", "subclassed", *(("xla",) if BACKEND == "tensorflow" else ()))
ENDS = ("ended", "broken by its data", "broken by a callback")


def cases():
    """Every situation with every end; quick is one end of some, each end at least once."""
    quick = {(name, ENDS[n % len(ENDS)]) for n, name in enumerate(ALWAYS)}
    pairs = itertools.product(SITUATIONS, ENDS)
    return [pytest.param(*pair, marks=[] if pair in quick else pytest.mark.full) for pair in pairs]


class Break(keras.callbacks.Callback):
    """Ends the fit in epoch 1, after our callbacks had their turn."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise InterruptedError("a callback's own")


def batches(situation, end):
    """The situation's data, in order; the last batch of epoch 1 fails where the data are to break the fit."""
    size, count = situation.batch_size, len(situation.x)
    reads = iter(range(10_000))

    class Source(keras.utils.PyDataset):
        def __len__(self):
            return -(-count // size)

        def __getitem__(self, k):
            if end == "broken by its data" and next(reads) == 2 * len(self) - 1:
                raise InterruptedError("the data's own")
            return situation.x[k * size : (k + 1) * size], situation.y[k * size : (k + 1) * size]

    return Source()


def process():
    """What a training may not change around itself."""
    return {
        "threads": {thread.name for thread in threading.enumerate() if "Thread" not in thread.name},
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "filters": list(warnings.filters),
        "handlers": [list(logging.getLogger(name).handlers) for name in (None, "keras_xai", "tensorflow", "absl")],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "numpy": np.geterr(),
        "policy": (keras.config.dtype_policy().name, keras.config.floatx(), keras.config.image_data_format()),
        "framework": framework_settings(),
        "hooks": [sorted(vars(cls)) for cls in (keras.Model, keras.layers.Layer, keras.optimizers.Optimizer)],
        "wrapped": [cls.apply for cls in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)],
        "collector": (gc.isenabled(), gc.get_threshold()),
    }


def open_below(directory: Path) -> list[str]:
    """Files and directories below `directory` that this process holds open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(str(directory)):
            found.append(target)
    return found


def attributes(model) -> dict[str, list[str]]:
    """The names of everything that hangs on the model, its layers and its optimizer."""
    parts = [model, *model._flatten_layers(include_self=False), model.optimizer]
    return {f"{k} {type(part).__name__}": sorted(vars(part)) for k, part in enumerate(parts)}


def traces(model) -> list[int]:
    """How often each compiled function that the model holds was traced."""
    held = {name: getattr(model, name) for name in ("train_function", "test_function", "predict_function")}
    held = {name: getattr(f, "__wrapped__", f) for name, f in held.items()}
    return [
        f.experimental_get_tracing_count() if hasattr(f, "experimental_get_tracing_count") else 0 for f in held.values()
    ]


def after(situation, end, *callbacks):
    """Train, and tell of the model, the generators and Keras' names."""
    keras.utils.clear_session()
    model = made(situation)
    callbacks = [*callbacks, *([Break()] if end == "broken by a callback" else [])]
    broke = ""
    try:
        model.fit(batches(situation, end), epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    except Exception as error:  # TensorFlow wraps what its data raise
        broke = str(error)
    if end == "broken by its data" and BACKEND != "tensorflow":
        # The data are read outside of the train function, which learns nothing of their end: the next call finds the own one.
        model.train_on_batch(situation.x[: situation.batch_size], situation.y[: situation.batch_size])
    assert ("'s own" in broke) == (end != "ended")
    found = {
        "attributes": attributes(model),
        "traces": traces(model),
        "function": type(model.train_function),
        "losses": [len(layer.losses) for layer in model.layers],
        "stop": model.stop_training,
        "name": keras.layers.Dense(1).name,
        "drawn": (
            np.random.random(),
            random.random(),
            array(keras.random.uniform((2,))).tolist(),
            array(noise_of(keras.ops.zeros((2,)))).tolist(),
            [state.tolist() for state in generator_states()],
        ),
    }
    return model, found


@pytest.mark.every_backend
@pytest.mark.parametrize(("name", "end"), cases())
def test_nothing_is_left_behind(tmp_path, name, end):
    """Model, optimizer, compiled functions, generators, names, threads, files, environment: as without us."""
    situation = SITUATIONS[name]
    alone, without = after(situation, end)
    kind = "tokens" if situation.x.dtype.kind == "i" else "table"
    probe = kx.Probe(situation.x[:16], situation.y[:16], kind=kind)
    before = process()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The probe has 16 rows")
        warnings.filterwarnings("ignore", "epoch .*gradient")
        ours = kx.Explain(tmp_path, probe, on_flag=lambda record: None, on_error="raise")
        watched, found = after(situation, end, ours)
    assert process() == before
    for what, expected in without.items():
        assert found[what] == expected, what
    assert_same(state(watched), state(alone))
    assert not isinstance(watched.train_function, TrainFunctionTap)
    assert not any(isinstance(reference, TrainFunctionTap) for reference in vars(watched).values())
    if end != "ended":
        del ours
        for _ in range(3):  # what a finalizer lets go of is for the next collection
            gc.collect()
    assert open_below(tmp_path) == []
    run = kx.load(tmp_path)["."]
    assert run.epochs == ([0] if end == "broken by its data" else [0, 1])
