"""Runs of the gap benchmark once more through `model.fit`, with the real callback and what it writes."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import keras_xai as kx
from benchmarks._gap_runs import FIT, Alarm, Result, read, write
from benchmarks.gap_scenarios import REGRESSION, SCENARIOS, Net, Rows, Scenario
from keras_xai.drift.reliance_gap import UPDATES_RUNNING
from keras_xai.drift.rules import Rule
from keras_xai.run import Run

NORM_MEMORY = 0.9
RULED = "ruled"  # the first word of a feature that a rule is about


class Noisy(keras.utils.PyDataset):
    """Batches of a new order every epoch, with noise drawn anew at each read."""

    def __init__(self, rows: Rows, sigma: float, batch: int, seed: int) -> None:
        super().__init__()
        self._rows, self._sigma, self._batch = rows, sigma, batch
        self._generator, self._reads = np.random.default_rng(seed).spawn(2)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._rows.x) // self._batch

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        return self._noisy(self._rows.x[rows], self._generator), self._rows.y[rows]

    def on_epoch_end(self) -> None:
        self._order = self._generator.permutation(len(self._rows.x))

    def live(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the live rows as the pipeline gives them now."""
        rows = self._rows.live()
        return self._noisy(self._rows.x[rows], self._reads), self._rows.y[rows]

    def _noisy(self, x: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        return (x + self._sigma * generator.normal(size=x.shape)).astype(np.float32)


def measure_in_fit(names: Iterable[str], seeds: Sequence[int], runs: Path) -> None:
    """Train what has no result yet."""
    runs.mkdir(parents=True, exist_ok=True)
    for name in names:
        results = read(name + FIT, runs)
        measured = {result.seed for result in results}
        for seed in [seed for seed in seeds if seed not in measured]:
            began = time.perf_counter()
            results.append(fitted(SCENARIOS[name], seed))
            write(name + FIT, runs, results)
            alarms = [(alarm.epoch, alarm.feature) for alarm in results[-1].alarms]
            print(f"{name} through fit, seed {seed}: {time.perf_counter() - began:.0f} s; {alarms}", flush=True)


def fitted(scenario: Scenario, seed: int) -> Result:
    """Train one seed by `model.fit`, and return what the callback recorded."""
    keras.utils.set_random_seed(seed)
    keras.backend.clear_session()
    rows = scenario.rows(seed)
    model = compiled(scenario, rows.x.shape[1:])
    probe, rules = rows.held_out(), {}
    if scenario.rule is not None:
        probe, rules = with_rule(scenario.rule, rows)
    with tempfile.TemporaryDirectory() as logs, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(scenario, seed, rows, model, probe, rules, logs)
        return result_of(scenario, seed, rows, kx.load(logs)["."], model)


def with_rule(rule: Rule, rows: Rows) -> tuple[kx.Probe, dict[str, float]]:
    """Return a probe whose features of a rule are named by a pattern, and the rule as a user writes it."""
    names = list(rows.held_out().features)
    for feature in rule.features:
        names[feature] = f"{RULED} {feature}"
    return kx.Probe(rows.probe_x, rows.probe_y, feature_names=names), {f"{RULED} *": rule.limit}


def fit(
    scenario: Scenario,
    seed: int,
    rows: Rows,
    model: keras.Model,
    probe: kx.Probe,
    rules: dict[str, float],
    logs: str,
) -> None:
    net = scenario.net
    pipeline = Noisy(rows, scenario.redrawn_noise, net.batch, seed)
    live = pipeline.live if scenario.redrawn_noise else (rows.x, rows.y)
    watch = kx.ImportanceDrift(logs, probe, live=live, rules=rules, on_drift=lambda alert: None, on_error="raise")
    options: dict[str, Any] = {"epochs": net.epochs, "verbose": 0, "callbacks": [watch]}
    if scenario.redrawn_noise:
        model.fit(pipeline, **options)
    else:
        model.fit(rows.x, rows.y, batch_size=net.batch, **options)


def compiled(scenario: Scenario, shape: tuple[int, ...]) -> keras.Model:
    """Return the net of a scenario in Keras."""
    net = scenario.net
    outputs = 1 if net.one_logit else max(scenario.classes, 1)
    model = keras.Sequential([keras.Input(shape), *body(net), keras.layers.Dense(outputs)])
    losses = keras.losses
    if scenario.classes == REGRESSION:
        loss: keras.losses.Loss = losses.MeanSquaredError()
    elif net.one_logit:
        loss = losses.BinaryCrossentropy(from_logits=True)
    else:
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(net.rate, 0.9) if net.optimizer == "sgd" else keras.optimizers.Adam(net.rate)
    model.compile(optimizer, loss)
    return model


def body(net: Net) -> list[keras.layers.Layer]:
    """Return all layers but the last."""
    layers = keras.layers
    stack: list[keras.layers.Layer] = [layers.GaussianNoise(net.input_noise)] if net.input_noise else []
    if net.is_convolutional:
        return [
            *stack,
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
        ]
    if net.embedding:
        initial = keras.initializers.RandomUniform(-0.05, 0.05)
        stack.append(layers.Dense(net.embedding, use_bias=False, kernel_initializer=initial))
    for width in net.hidden:
        stack.append(layers.Dense(width))
        if net.batch_norm:
            stack.append(layers.BatchNormalization(momentum=NORM_MEMORY))
        stack.append(layers.Activation("relu"))
        if net.dropout:
            stack.append(layers.Dropout(net.dropout))
    return stack


def result_of(scenario: Scenario, seed: int, rows: Rows, run: Run, model: keras.Model) -> Result:
    """Read what was recorded as the loop's results are written."""
    result = Result(seed, rows.guilty_names(), accuracy(scenario, model, rows), 0)
    gap = run.gap
    if gap is not None:
        result.live_rows = int(gap.live_rows[-1])
        lasting = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(gap.z), UPDATES_RUNNING, axis=0).min(-1)
        result.peak = round(float(lasting.max()), 3)
        result.peak_feature = gap.names[int(lasting.max(0).argmax())]
    for alert in run.alerts:
        if alert.source == "rule" and result.rule_epoch is None:
            result.rule_epoch = alert.epoch
        if alert.source == "gap":
            differ = alert.verdict == "rows differ"
            result.alarms += [Alarm(alert.epoch, move.name, round(move.z, 3), differ) for move in alert.features]
    result.alarms.sort(key=lambda alarm: (alarm.epoch, -alarm.z))
    return result


def accuracy(scenario: Scenario, model: keras.Model, rows: Rows) -> float:
    """Return the share of the probe's rows that are right; in a regression R²."""
    outputs = model.predict(rows.probe_x, verbose=0)
    if scenario.classes == REGRESSION:
        return round(float(1 - ((outputs[:, 0] - rows.probe_y) ** 2).mean() / rows.probe_y.var()), 4)
    predicted = outputs[:, 0] > 0 if scenario.net.one_logit else outputs.argmax(1)
    return round(float((predicted == rows.probe_y).mean()), 4)
