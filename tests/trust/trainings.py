"""A small training with and without the callbacks: their parts, the state that comes out, the warnings on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from tests.callbacks.small_training import small_data, small_model
from tests.frameworks import array

PARTS = ("WeightGradients", "ProbeAttributions", "ImportanceDrift")
EPOCHS = 3


class At(keras.callbacks.Callback):
    """Does something when an epoch begins."""

    def __init__(self, epoch: int, action: Callable[[keras.Model], Any]) -> None:
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action(self.model)


def callback(name: str, log_dir: Any, **options: Any) -> keras.callbacks.Callback:
    """One of ours by its name, on the small data. Its alarms are kept quiet: faults alone are of interest."""
    x, y = small_data()
    quiet: Any = lambda record: None  # noqa: E731
    if name == "WeightGradients":
        return kx.WeightGradients(log_dir, **{"on_flag": quiet, **options})
    if name == "ProbeAttributions":
        return kx.ProbeAttributions(log_dir, (x, y), "saliency", samples=6, **options)
    if name == "ImportanceDrift":
        return kx.ImportanceDrift(log_dir, (x, y), **{"on_drift": quiet, **options})
    options = {"on_drift": quiet, "on_flag": quiet, **options}
    return kx.Explain(log_dir, (x, y), method="saliency", **options)


def parts(ours: keras.callbacks.Callback) -> dict[str, Any]:
    """The callbacks with work of their own, by name."""
    return {type(c).__name__: c for c in getattr(ours, "callbacks", [ours])}


def trained(*callbacks: keras.callbacks.Callback, epochs: int = EPOCHS, **options: Any) -> keras.Model:
    """The small model, from the same seed each time."""
    model = small_model()
    options = {"verbose": 0, **options}
    keras.utils.set_random_seed(1)  # on PyTorch a global generator shuffles
    model.history_of_fit = model.fit(
        *small_data(), epochs=epochs, batch_size=32, callbacks=list(callbacks), **options
    ).epoch
    return model


def with_warnings(function: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what a function returns, and the texts of the warnings on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        returned = function()
    return returned, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def state(model: keras.Model) -> list[np.ndarray]:
    """Weights, generators' states and the optimizer's."""
    return [array(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    """Bit for bit."""
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
