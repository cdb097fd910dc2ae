"""Trainings that run side by side, each in short turns, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras
import numpy as np

TURNS = 12  # an epoch


def mlp() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """784-128-64-10, 60,000 samples in batches of 32: 1,875 steps."""
    layers = keras.layers
    widths = [layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(10)]
    return keras.Sequential([keras.Input((784,)), *widths]), *samples(60_000, 784), 32


def cnn() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """Five convolutions on 32 × 32 × 3, 5,000 samples in batches of 64: 79 steps."""
    layers = keras.layers
    stack: list[keras.layers.Layer] = [keras.Input((32, 32, 3))]
    for filters in (16, 32):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        stack += [layers.MaxPooling2D(), layers.Dropout(0.1)]
    stack += [layers.Conv2D(64, 3, padding="same", activation="relu"), layers.GlobalAveragePooling2D()]
    return keras.Sequential([*stack, layers.Dense(10)]), *samples(5_000, 32, 32, 3), 64


def transformer() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """Two blocks of width 64 with 4 heads on 32 tokens, 5,000 samples in batches of 32: 157 steps."""
    layers = keras.layers
    inputs = keras.Input((32,), dtype="int32")
    x = layers.Embedding(2_000, 64)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 16, dropout=0.1)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(64)(layers.Dense(128, activation="relu")(x))]))
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    tokens = np.random.default_rng(0).integers(0, 2_000, (5_000, 32))
    return keras.Model(inputs, outputs), tokens, tokens[:, 0] % 10, 32


def breast_cancer() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """30-64-32-2 on scikit-learn's table of 569 rows, in batches of 32: 18 steps."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    x = ((data.data - data.data.mean(0)) / data.data.std(0)).astype(np.float32)
    layers = keras.layers
    widths = [layers.Dense(64, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(2)]
    return keras.Sequential([keras.Input((30,)), *widths]), x, data.target.astype(np.int64), 32


def samples(count: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a class that can be learned from it."""
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    return x, (x.reshape(count, -1)[:, :10] ** 2).argmax(1)


MODELS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


class Turns:
    """Lets one of several threads run at a time, each once a round, in an order drawn anew for every round."""

    def __init__(self, names: Iterable[str]) -> None:
        self._go = {name: threading.Semaphore(0) for name in names}
        self._yielded = threading.Semaphore(0)
        self._gone: set[str] = set()

    def wait(self, name: str) -> None:
        """Until it is one's turn."""
        self._go[name].acquire()

    def give(self, name: str, *, for_good: bool = False) -> None:
        """End one's turn."""
        if for_good:
            self._gone.add(name)
        self._yielded.release()

    def run(self) -> None:
        """Round after round, until all have gone for good."""
        order = random.Random(0)
        while left := [name for name in self._go if name not in self._gone]:
            for name in order.sample(left, len(left)):
                self._go[name].release()
                self._yielded.acquire()


class Clock(keras.callbacks.Callback):
    """CPU seconds of each of one's own epochs, others' turns left out."""

    def __init__(self, name: str, turns: Turns) -> None:
        super().__init__()
        self.name, self.turns = name, turns
        self.seconds: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._give()
        self.seconds.append(0.0)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch and batch % -(-self.params["steps"] // TURNS) == 0:
            self._give()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop()

    def _give(self) -> None:
        self._stop()
        self.turns.give(self.name)
        self.turns.wait(self.name)
        self._began = time.process_time()

    def _stop(self) -> None:
        if self.seconds:
            self.seconds[-1] += time.process_time() - self._began


def measured(
    make: Callable[[], tuple[keras.Model, np.ndarray, np.ndarray, int]],
    rounds: int,
    share: float,
    variants: Mapping[str, Callable[[Path], list[keras.callbacks.Callback]]],
) -> dict[str, list[float]]:
    """CPU seconds of `rounds` + 2 epochs of each variant; the first and the last are not to be used."""
    turns = Turns(variants)
    clocks = {name: Clock(name, turns) for name in variants}
    faults: list[BaseException] = []

    def train(name: str, log_dir: Path) -> None:
        turns.wait(name)
        try:
            keras.utils.set_random_seed(0)
            model, x, y, batch_size = make()
            x, y = x[: int(share * len(x))], y[: int(share * len(y))]
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            callbacks = [clocks[name], *variants[name](log_dir)]
            model.fit(x, y, batch_size=batch_size, epochs=rounds + 2, verbose=0, callbacks=callbacks)
        except BaseException as fault:
            faults.append(fault)
        finally:
            turns.give(name, for_good=True)

    with tempfile.TemporaryDirectory() as directory:
        threads = [
            threading.Thread(target=train, args=(name, Path(directory) / name.replace(" ", "_"))) for name in variants
        ]
        for thread in threads:
            thread.start()
        turns.run()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]
    return {name: clock.seconds for name, clock in clocks.items()}
