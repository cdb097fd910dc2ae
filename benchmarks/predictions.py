"""Measure what the record of predictions takes of an update of `ImportanceDrift`, as a share of the update's CPU time.

    python -m benchmarks.predictions [--updates 40]

The same updates are made with the record and without it, in turns, and their medians are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import keras
import numpy as np

import keras_xai as kx
from keras_xai.callbacks.importance_drift import ImportanceDrift

ROWS = 256


def table() -> tuple[keras.Model, np.ndarray]:
    """A table of 30 columns and a net with one hidden layer."""
    layers = [keras.Input((30,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
    return keras.Sequential(layers), np.random.default_rng(0).normal(size=(ROWS, 30)).astype("float32")


def images() -> tuple[keras.Model, np.ndarray]:
    """Images of 28 × 28 pixels and two convolutions."""
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, "softmax"),
    ]
    return keras.Sequential(layers), np.random.default_rng(0).random((ROWS, 28, 28, 1)).astype("float32")


class Timed(ImportanceDrift):
    """Takes the CPU seconds of each update, with the record of predictions at every second one."""

    @property
    def awaits_predictions(self) -> bool:
        return self._epoch % 2 == 0 and super().awaits_predictions

    def record_update(self, update, logs):
        began = time.process_time()
        records = super().record_update(update, logs)
        vars(self).setdefault("seconds", []).append(time.process_time() - began)
        return records


def share(model: keras.Model, x: np.ndarray, updates: int) -> tuple[float, float]:
    """Seconds of an update without the record, and what it adds as a share of them."""
    y = np.arange(ROWS) % 10
    model.compile("adam", "sparse_categorical_crossentropy")
    watch = Timed(tempfile.mkdtemp(), kx.Probe(x, y), on_error="raise")
    model.fit(x[:32], y[:32], epochs=2 * updates, verbose=0, callbacks=[watch])
    seconds = np.asarray(watch.seconds)[4:]
    with_record, without = np.median(seconds[::2]), np.median(seconds[1::2])
    return float(without), float(with_record / without - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=40)
    updates = parser.parse_args().updates
    for name, make in (("table, 30 columns", table), ("images, 28 × 28, two convolutions", images)):
        seconds, more = share(*make(), updates)
        print(f"| {name} | {ROWS} | {more:.1%} of {1000 * seconds:.1f} ms |")


if __name__ == "__main__":
    main()
