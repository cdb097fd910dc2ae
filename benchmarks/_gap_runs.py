"""The runs of the gap benchmark: each scenario's seeds are trained at once, judged by the product's own code, and written."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import keras_xai as kx
from benchmarks.gap_scenarios import REGRESSION, SCENARIOS, Rows, Scenario
from keras_xai.callbacks.row_values import by_feature, row_values
from keras_xai.drift.reliance_gap import MAX_TARGET, UPDATES_RUNNING, Evidence, GapChart, reliance_gap, share_of
from keras_xai.drift.row_comparison import RowComparison, compare_classes, compare_slopes
from keras_xai.drift.rules import Rule, RuleChart
from keras_xai.drift.strata import Strata, strata

FIT = ".fit"  # behind a scenario's name: its runs through `model.fit`

Array = NDArray[np.float64]


@dataclass
class Alarm:
    """A feature that says more in the training rows."""

    epoch: int
    feature: str
    z: float
    rows_differ: bool  # the sentence: the rows themselves differ, or else the feature speaks for the label


@dataclass
class Result:
    """The outcome of one seed of a scenario."""

    seed: int
    guilty: list[str]
    accuracy: float  # on the probe, in the end
    live_rows: int
    peak: float = 0.0  # the largest z that a feature reached at three updates running
    peak_feature: str = ""
    alarms: list[Alarm] = field(default_factory=list)  # at an epoch the largest z first
    rule_epoch: int | None = None  # at which the scenario's rule was broken
    blind: str = ""  # why live rows and probe could not be compared

    @property
    def is_located(self) -> bool:
        """True where the first alarm names a guilty feature first."""
        return bool(self.alarms) and self.alarms[0].feature in self.guilty

    @property
    def names_others(self) -> bool:
        """True where an alarm names a feature that is not guilty."""
        return any(alarm.feature not in self.guilty for alarm in self.alarms)


def path_of(name: str, runs: Path) -> Path:
    return runs / f"{name}.json"


def read(name: str, runs: Path) -> list[Result]:
    """Return the seeds of a scenario that are measured."""
    path = path_of(name, runs)
    if not path.exists():
        return []
    results = []
    for entry in json.loads(path.read_text()):
        alarms = [Alarm(**alarm) for alarm in entry.pop("alarms")]
        results.append(Result(alarms=alarms, **entry))
    return results


def write(name: str, runs: Path, results: Iterable[Result]) -> None:
    path = path_of(name, runs)
    part = path.with_suffix(f".{os.getpid()}")
    ordered = sorted(results, key=lambda result: result.seed)
    part.write_text(json.dumps([asdict(result) for result in ordered]))
    part.replace(path)


def measure(names: Iterable[str], seeds: Sequence[int], runs: Path) -> None:
    """Train what has no result yet."""
    runs.mkdir(parents=True, exist_ok=True)
    for name in names:
        results = read(name, runs)
        measured = {result.seed for result in results}
        missing = [seed for seed in seeds if seed not in measured]
        if not missing:
            continue
        began = time.perf_counter()
        results += results_of(SCENARIOS[name], missing)
        write(name, runs, results)
        alarms = sum(bool(result.alarms) for result in results)
        print(f"{name}: {len(missing)} runs in {time.perf_counter() - began:.0f} s; alarms in {alarms}", flush=True)


def results_of(scenario: Scenario, seeds: Sequence[int]) -> list[Result]:
    """Train some seeds together, and judge each."""
    from benchmarks.gap_trainings import updates  # JAX: what is measured can be read without it

    rows = [scenario.rows(seed) for seed in seeds]
    watches = [Watch(scenario, seed, of_seed) for seed, of_seed in zip(seeds, rows, strict=True)]
    for epoch, update in enumerate(updates(scenario, rows, seeds)):
        for index, watch in enumerate(watches):
            watch.update(epoch, update.of_seed(index))
    return [watch.result for watch in watches]


class SeedUpdate(Protocol):
    """The contributions of one seed after an epoch: `gap_trainings.Update` without its first axis."""

    live: NDArray[np.float32]
    probe: NDArray[np.float32]
    live_x: NDArray[np.float32]
    accuracy: NDArray[np.float32]


class Watch:
    """The work of the callback on one seed, without its engine and its files: all that judges is the product's own code."""

    def __init__(self, scenario: Scenario, seed: int, rows: Rows) -> None:
        self._scenario, self._rows = scenario, rows
        self._probe = rows.held_out()
        self._live_y = rows.y[rows.live()]
        self._strata = self._chosen_strata()
        self._chart, self._rules = GapChart(), RuleChart()
        self._recent: deque[Array] = deque(maxlen=UPDATES_RUNNING)
        self.result = Result(seed, rows.guilty_names(), 0.0, len(self._live_y), blind=self._strata.blind)

    def _chosen_strata(self) -> Strata:
        live, probe = self._live_y, self._rows.probe_y
        if self._scenario.classes == REGRESSION:
            return Strata(np.zeros(len(live), np.int64), np.zeros(len(probe), np.int64))
        return strata(live.astype(np.int64), probe.astype(np.int64))

    def update(self, epoch: int, update: SeedUpdate) -> None:
        """Judge the contributions of one seed after an epoch."""
        live = self._probe.pooled(update.live, samples=[update.live_x])
        self.result.accuracy = round(float(update.accuracy), 4)
        if not self._strata.blind:
            self._judge(epoch, live, update)
        if self._scenario.rule is not None:
            self._apply(self._scenario.rule, epoch, live)

    def _judge(self, epoch: int, live: Array, update: SeedUpdate) -> None:
        """Compare live rows with the probe, and note alarms."""
        probe = self._probe.pooled(update.probe)
        directions = self._direction(self._live_y), self._direction(self._rows.probe_y)
        gap = reliance_gap(
            Evidence(live, self._strata.live, directions[0]), Evidence(probe, self._strata.probe, directions[1])
        )
        names = self._probe.features
        for feature in sorted(self._chart.update(gap.hits()), key=lambda feature: -gap.z[feature]):
            rows_differ = bool(self._compared(update.live_x).rows_differ()[feature])
            self.result.alarms.append(Alarm(epoch, names[feature], round(float(gap.z[feature]), 3), rows_differ))
        self._recent.append(gap.z)
        if len(self._recent) < UPDATES_RUNNING:
            return
        lasting = np.min(list(self._recent), 0)
        if lasting.max() > self.result.peak:
            self.result.peak = round(float(lasting.max()), 3)
            self.result.peak_feature = names[int(lasting.argmax())]

    def _direction(self, y: NDArray[Any]) -> Array:
        """Return 1 for each row; in a regression its target in standard deviations of the live rows' targets, clipped."""
        if self._scenario.classes != REGRESSION:
            return np.ones(len(y))
        scaled: Array = np.clip((y - self._live_y.mean()) / self._live_y.std(), -MAX_TARGET, MAX_TARGET)
        return scaled

    def _compared(self, live_x: NDArray[np.float32]) -> RowComparison:
        """Compare the values of live rows with the probe's, without a model."""
        rows = kx.Probe(live_x, self._live_y)
        live, probe = row_values(rows, self._probe)
        if self._scenario.classes == REGRESSION:
            comparison = compare_slopes(live.values, probe.values, self._live_y, self._rows.probe_y)
        else:
            comparison = compare_classes(live.values, probe.values, self._strata.live, self._strata.probe)
        return by_feature(comparison, live.owners, self._probe.feature_count)

    def _apply(self, rule: Rule, epoch: int, live: Array) -> None:
        """Note the epoch at which a rule is broken for the second update running."""
        magnitude = np.abs(live)
        share = share_of(magnitude[:, rule.features].sum(1, keepdims=True), magnitude.sum(1))
        is_broken = rule.is_broken(float(share.share[0]), float(share.error[0]))
        if self._rules.update(rule.name, is_broken=is_broken):
            self.result.rule_epoch = epoch
