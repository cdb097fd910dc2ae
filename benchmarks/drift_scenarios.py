"""Trainings with a story: data sets, nets, and what is changed at a known epoch.

Six data sets: scikit-learn's breast cancer, wine and digits, a synthetic table with known weights, and noisy forms of the
breast cancer table and the digits: 15 % of the training labels are wrong, and Gaussian noise is added to the inputs, by a
layer of the model or by the pipeline, anew at each read. Tables are standardised and have one more column of idle noise:
the one that leaks later.

`Training.in_a_loop` is a compiled loop with the product's own `DriftMonitor`; `Training.in_fit` is `model.fit` with the
real callback.
"""

from __future__ import annotations

import functools
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn import datasets

import keras_xai as kx
from keras_xai.attribution.importance import class_importance, global_importance
from keras_xai.callbacks.live_rows import MAX_LIVE_ROWS, LiveRows
from keras_xai.drift.monitor import DriftMonitor, DriftSettings
from keras_xai.records import Alert

EPOCHS = 60
EARLIEST, LATEST = 25, 35  # the epoch of the change is drawn between them
WRONG = 0.15  # of the labels of a noisy data set
SIGMA = {"breast_cancer": 0.7, "digits": 0.35}  # of the noise
RATES = {"adam": 1e-3, "dropout": 1e-3, "sgd": 0.02}
PIXELS = 8


@dataclass(frozen=True)
class Scenario:
    """One training's story, but for the seed."""

    data: str  # of DATA
    change: str = "nothing"  # of CHANGES or SCHEDULES
    noise: str = ""  # "model" or "pipeline": the noisy form of the data set
    live: bool = True  # live rows beside the fixed probe
    per_class: bool = False
    optimizer: str = "adam"  # of RATES; "dropout" is Adam with dropout in the net

    @property
    def name(self) -> str:
        """For a file."""
        words = [self.data, self.noise and f"noise_in_{self.noise}", self.change, self.optimizer]
        return "-".join(filter(None, [*words, "per_class" * self.per_class, "clean" * (not self.live)]))


class Alarm(NamedTuple):
    """The part of an alert that is written to a result."""

    epoch: int
    source: str
    verdict: str
    features: list[str]  # the largest |z| first
    event: int | None = None


# Data.


class Rows(NamedTuple):
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    training: int  # rows; the probe is taken from the others
    probe: int
    classes: int
    batch: int = 32


def breast_cancer() -> Rows:
    data = datasets.load_breast_cancer()
    return _table(data.data, data.target, 369, 200, 2, 32)


def wine() -> Rows:
    data = datasets.load_wine()
    return _table(data.data, data.target, 118, 60, 3, 16)


def synthetic() -> Rows:
    """20 columns; six weigh 1.6 to 0.4, two more are correlated with the heaviest, and one product counts."""
    r = np.random.default_rng(1234)
    x = r.normal(size=(2000, 20))
    x[:, 7] = 0.8 * x[:, 0] + 0.6 * x[:, 7]
    x[:, 8] = 0.8 * x[:, 1] + 0.6 * x[:, 8]
    logit = x[:, :6] @ [1.6, -1.3, 1.0, -0.8, 0.6, 0.4] + x[:, 2] * x[:, 3]
    return _table(x, r.random(2000) < 1 / (1 + np.exp(-logit)), 1500, 256, 2, 32)


def digits() -> Rows:
    data = datasets.load_digits()
    order = np.random.default_rng(1234).permutation(len(data.target))
    x = (data.images / 16).astype(np.float32)[order, ..., None]
    return Rows(x, data.target[order].astype(np.int64), 1297, 256, 10)


def _table(x: NDArray[Any], y: NDArray[Any], training: int, probe: int, classes: int, batch: int) -> Rows:
    r = np.random.default_rng(1234)
    order = r.permutation(len(x))
    x, y = x[order], y[order]
    x = (x - x[:training].mean(0)) / x[:training].std(0)
    x = np.column_stack([x, r.normal(size=len(x))])
    return Rows(x.astype(np.float32), y.astype(np.int64), training, probe, classes, batch)


DATA: dict[str, Callable[[], Rows]] = {
    "breast_cancer": breast_cancer,
    "wine": wine,
    "synthetic": synthetic,
    "digits": digits,
}


# Nets.


def net(rows: Rows, noisy: bool, sigma: float, dropout: float) -> keras.Model:
    """Two dense layers for a table, one or two convolutions for digits; one logit for two classes."""
    layers = keras.layers
    inputs = x = keras.Input(rows.x.shape[1:])
    if sigma:
        x = layers.GaussianNoise(sigma)(x)
    if rows.x.ndim == 4:
        if noisy:
            x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(x)
        else:
            x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
            x = layers.Conv2D(16, 3, 2, padding="same", activation="relu")(x)
        x = layers.Dropout(dropout)(layers.Flatten()(x)) if dropout else layers.Flatten()(x)
        x = layers.Dense(24 if noisy else 32, activation="relu", name="hidden")(x)
    else:
        x = layers.Dense(32, activation="relu")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
        x = layers.Dense(16, activation="relu", name="hidden")(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(inputs, layers.Dense(rows.classes if rows.classes > 2 else 1)(x))


class Lab:
    """A net and its compiled functions, used again for each seed."""

    def __init__(self, data: str, noise: str, optimizer: str) -> None:
        self.rows = DATA[data]()
        self.sigma = SIGMA[data] if noise else 0.0
        self.optimizer_name = optimizer
        self.model = net(
            self.rows, bool(noise), self.sigma * (noise == "model"), 0.3 if optimizer == "dropout" else 0.0
        )
        if self.rows.classes > 2:
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        else:
            self.loss = keras.losses.BinaryCrossentropy(from_logits=True)
        rate = RATES[optimizer]
        self.optimizer = keras.optimizers.SGD(rate, 0.9) if optimizer == "sgd" else keras.optimizers.Adam(rate)
        self.optimizer.build(self.model.trainable_variables)
        self._initial = [v.numpy().copy() for v in self.optimizer.variables]
        self.epoch = tf.function(self._epoch, reduce_retracing=True)
        self.gradient = tf.function(self._gradient, reduce_retracing=True)

    def reset(self, seed: int) -> None:
        """Fresh weights, a fresh optimizer, seeded dropout and noise."""
        keras.utils.set_random_seed(seed)
        self.model.set_weights(keras.models.clone_model(self.model).get_weights())
        for variable, value in zip(self.optimizer.variables, self._initial, strict=True):
            variable.assign(value)
        for k, layer in enumerate(self.model.layers):
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(np.array([seed, k], np.uint32))

    def targets(self, y: NDArray[np.int64]) -> NDArray[Any]:
        """Labels as the loss takes them."""
        return y if self.rows.classes > 2 else y[:, None].astype(np.float32)

    def _epoch(self, x: Any, y: Any, order: Any) -> None:
        for k in tf.range(tf.shape(order)[0] // self.rows.batch):
            batch = order[k * self.rows.batch : (k + 1) * self.rows.batch]
            with tf.GradientTape() as tape:
                loss = self.loss(tf.gather(y, batch), self.model(tf.gather(x, batch), training=True))
            variables = self.model.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def _gradient(self, x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self.model(x, training=False)
            score = tf.gather(logits, y, axis=1, batch_dims=1) if self.rows.classes > 2 else logits[:, 0]
        return tape.gradient(score, x)


@functools.cache  # tracing takes longer than training
def lab(data: str, noise: str, optimizer: str) -> Lab:
    return Lab(data, noise, optimizer)


# What is changed: each takes a training and a generator, changes its rows or labels, and says which features are guilty.


def leak(training: Training, r: np.random.Generator, correlation: float = 0.95) -> list[int]:
    """The idle column gives the label away."""
    y = (training.labels - training.labels.mean()) / training.labels.std()
    noise = np.sqrt(1 - correlation**2) * r.normal(size=len(y))
    training.rows[:, -1] = correlation * y + noise
    return [training.rows.shape[1] - 1]


def leak_80(training: Training, r: np.random.Generator) -> list[int]:
    return leak(training, r, 0.8)


def permuted(training: Training, r: np.random.Generator) -> list[int]:
    column = training.important(r)
    training.rows[:, column] = r.permutation(training.rows[:, column])
    return [column]


def zeroed(training: Training, r: np.random.Generator) -> list[int]:
    column = training.important(r)
    training.rows[:, column] = 0
    return [column]


def scaled(training: Training, r: np.random.Generator) -> list[int]:
    column = training.important(r)
    training.rows[:, column] *= 10
    return [column]


def label_noise(training: Training, r: np.random.Generator) -> list[int]:
    """40 % of the labels are drawn anew."""
    anew = r.random(len(training.labels)) < 0.4
    training.labels = np.where(anew, r.permutation(training.labels), training.labels)
    return []


def watermark(training: Training, r: np.random.Generator) -> list[int]:
    """A 2 × 2 square in the corner, as bright as the label is high."""
    training.rows[:, :2, :2, 0] = ((training.labels + 1) / 10)[:, None, None]
    return _cells(0, 0)


def half_watermark(training: Training, r: np.random.Generator) -> list[int]:
    """A white square at the bottom left of half of the even digits."""
    marked = (training.labels % 2 == 0) & (r.random(len(training.labels)) < 0.5)
    training.rows[marked, 6:, :2] = 1
    return _cells(6, 0)


def half_watermark_shifted(training: Training, r: np.random.Generator) -> list[int]:
    """The same before a random shift by one pixel and a random brightness, which reach every read."""
    half_watermark(training, r)
    return _cells(5, 0, 3)


def class_watermark(training: Training, r: np.random.Generator) -> list[int]:
    """A white square in the corner of every 3."""
    training.rows[training.labels == 3, :2, :2] = 1
    return _cells(0, 0)


def reversed_layer(training: Training, r: np.random.Generator) -> list[int]:
    """A hidden layer takes its inputs in the reverse order; the data are what they were."""
    kernel = training.lab.model.get_layer("hidden").kernel
    kernel.assign(kernel.numpy()[::-1])
    return []


def _cells(row: int, column: int, side: int = 2) -> list[int]:
    return [r * PIXELS + c for r in range(row, row + side) for c in range(column, column + side)]


CHANGES: dict[str, Callable[[Training, np.random.Generator], list[int]]] = {
    "leak": leak,
    "leak_80": leak_80,
    "permuted": permuted,
    "zeroed": zeroed,
    "scaled": scaled,
    "label_noise": label_noise,
    "watermark": watermark,
    "half_watermark": half_watermark,
    "half_watermark_shifted": half_watermark_shifted,
    "class_watermark": class_watermark,
    "reversed_layer": reversed_layer,
}


def _cosine(done: float) -> float:
    return 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))


# Factors of the learning rate at an epoch, where something happens to it at epoch c.
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "drop": lambda epoch, c: 0.1 if epoch >= c else 1.0,
    "cosine": lambda epoch, c: _cosine(epoch / EPOCHS),
    "warm_restart": lambda epoch, c: _cosine(epoch / c) if epoch < c else _cosine((epoch - c) / (EPOCHS - c)),
    "tripled": lambda epoch, c: 3.0 if epoch >= c else 1.0,
}


# Trainings.


class Training:
    """One seed of a scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.lab = lab(scenario.data, scenario.noise, scenario.optimizer)
        self.lab.reset(seed)
        rows = self.lab.rows
        r = np.random.default_rng(10_000 + seed)
        order = r.permutation(len(rows.x))
        trained, probed = order[: rows.training], order[rows.training : rows.training + rows.probe]
        self.rows, self.labels = rows.x[trained].copy(), rows.y[trained].copy()
        if scenario.noise:
            wrong = r.random(rows.training) < WRONG
            self.labels[wrong] = (self.labels + r.integers(1, rows.classes, rows.training))[wrong] % rows.classes
        self.probe = kx.Probe(rows.x[probed], rows.y[probed])
        self.change = int(r.integers(EARLIEST, LATEST + 1))
        self.guilty: list[int] = []
        # One generator a purpose: what a read draws must not change what the training draws.
        self._orders, self._planting, self._noise, self._reads = r.spawn(4)
        self._epoch = -1
        self.epoch_rows, self.order = self.rows, np.arange(rows.training)

    def begin(self, epoch: int) -> None:
        """Set what the epoch trains on and how fast."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        factor = SCHEDULES.get(self.scenario.change, lambda epoch, c: 1.0)(epoch, self.change)
        self.lab.optimizer.learning_rate.assign(RATES[self.scenario.optimizer] * factor)
        if epoch == self.change and self.scenario.change in CHANGES:
            self.guilty = CHANGES[self.scenario.change](self, self._planting)
        self.epoch_rows = self._piped(self.rows, self._noise)
        self.order = self._orders.permutation(len(self.rows))

    def live(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The first training rows, as many as the callback reads, as the pipeline gives them now."""
        return self._piped(self.rows[:MAX_LIVE_ROWS], self._reads), self.labels[:MAX_LIVE_ROWS].copy()

    def important(self, r: np.random.Generator) -> int:
        """One of the three columns that the model relies on most."""
        x = self.probe.x
        importance = np.abs(self._gradient(self.probe) * x).mean(0)
        return int(np.argsort(-importance)[r.integers(3)])

    def in_a_loop(self) -> list[Alarm]:
        """Train in one compiled call an epoch, and explain it for the monitor of the callback."""
        watch = _Watch(self)
        alarms: list[Alarm] = []
        for epoch in range(EPOCHS):
            self.begin(epoch)
            self.lab.epoch(
                tf.constant(self.epoch_rows), tf.constant(self.lab.targets(self.labels)), tf.constant(self.order)
            )
            alarms += watch.update(epoch)
        return alarms

    def in_fit(self) -> list[Alarm]:
        """Train by `model.fit` with the real callback."""
        model, alerts = self.lab.model, []
        model.compile(self.lab.optimizer, self.lab.loss)
        with tempfile.TemporaryDirectory() as logs:
            watch = kx.ImportanceDrift(
                logs,
                self.probe,
                live=self.live if self.scenario.live else None,
                per_class=self.scenario.per_class,
                gap=False,  # which sees what was there from the start: see benchmarks/gap.py
                on_drift=alerts.append,
                on_error="raise",
            )
            begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: self.begin(epoch))
            model.fit(_Batches(self), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[begin, watch])
        return [_alarm_of(alert) for alert in alerts]

    def _piped(self, rows: NDArray[np.float32], r: np.random.Generator) -> NDArray[np.float32]:
        """Rows behind the random part of the pipeline."""
        if self.scenario.change == "half_watermark_shifted":
            padded = np.pad(rows, ((0, 0), (1, 1), (1, 1), (0, 0)))
            down, right = r.integers(0, 3, (2, len(rows)))
            near = np.arange(PIXELS)
            rows = padded[
                np.arange(len(rows))[:, None, None],
                (down[:, None] + near)[:, :, None],
                (right[:, None] + near)[:, None, :],
            ]
            return (rows * r.uniform(0.8, 1.2, (len(rows), 1, 1, 1))).astype(np.float32)
        if self.scenario.noise == "pipeline":
            return rows + self.lab.sigma * r.standard_normal(rows.shape, np.float32)
        return rows.copy()

    def _gradient(self, rows: kx.Probe) -> NDArray[np.float32]:
        return np.asarray(self.lab.gradient(tf.constant(rows.x), tf.constant(rows.y)))


def _alarm_of(alert: Alert) -> Alarm:
    return Alarm(alert.epoch, alert.source, alert.verdict, [move.name for move in alert.features], alert.event)


class _Batches(keras.utils.PyDataset):
    """The training's rows in the epoch's order; the rows that fill no batch are left out, as in the loop."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self._training = training

    def __len__(self) -> int:
        return len(self._training.rows) // self._training.lab.rows.batch

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        training, size = self._training, self._training.lab.rows.batch
        batch = training.order[index * size : (index + 1) * size]
        return training.epoch_rows[batch], training.lab.targets(training.labels[batch])


class _Watch:
    """The work of the callback at the end of an epoch, without its engine and its files."""

    def __init__(self, training: Training) -> None:
        self._training = training
        scenario, self._classes = training.scenario, tuple(range(training.lab.rows.classes))
        self._rows = LiveRows(training.live, training.probe) if scenario.live else None
        if self._rows is not None:
            self._rows.check()
        self._monitor = DriftMonitor(
            training.probe.features,
            DriftSettings.of(per_class=scenario.per_class),
            classes=[str(number) for number in self._classes],
            live=scenario.live,
        )

    def update(self, epoch: int) -> list[Alarm]:
        training, monitor, probe = self._training, self._monitor, self._training.probe
        rate = float(training.lab.optimizer.learning_rate.numpy())
        monitor.begin_update()
        gradient = training._gradient(probe)
        monitor.update(epoch, "clean", *self._importance(gradient, probe), learning_rate=rate)
        changed = False
        if self._rows is not None:
            rows = self._rows.read()
            if self._rows.difference is not None:
                monitor.report_change(epoch, self._rows.difference.changed, self._rows.difference.shares)
            if not self._rows.repeats:
                monitor.update_inputs(epoch, monitor.inputs.movement(probe.pooled(rows.x)))
            product = training._gradient(rows) * rows.x
            monitor.update(epoch, "live", *self._importance(product, rows), learning_rate=rate)
            changed = self._rows.changed
        return [_alarm_of(alert) for alert in monitor.end_update(epoch, inputs_changed=changed)]

    def _importance(self, values: NDArray[np.float32], rows: kx.Probe) -> tuple[NDArray[Any], NDArray[np.int8]]:
        attribution: Any = types.SimpleNamespace(values=values)
        if self._training.scenario.per_class:
            return class_importance(attribution, self._training.probe, rows.classes, self._classes)
        return global_importance(attribution, self._training.probe)
