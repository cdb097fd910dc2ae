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

from benchmarks.gap_scenarios import MAX_LIVE_ROWS, REGRESSION, SCENARIOS, Rows, Rule, Scenario
from keras_xai.drift.reliance_gap import MAX_TARGET, UPDATES_RUNNING, Evidence, GapChart, reliance_gap
from keras_xai.drift.row_comparison import RowComparison, compare_classes, compare_slopes

RULE_ERRORS = 2  # standard errors of a share that a rule leaves
RULE_UPDATES = 2  # over the limit, before a rule is broken

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
    """The work of the callback on one seed, without its files: the product's comparison of rows, its chart and its words."""

    def __init__(self, scenario: Scenario, seed: int, rows: Rows) -> None:
        self._scenario, self._rows = scenario, rows
        self._probe = rows.held_out()
        self._live_y = rows.y[:MAX_LIVE_ROWS]
        self._chart = GapChart()
        self._recent: deque[Array] = deque(maxlen=UPDATES_RUNNING)
        self._comparison: RowComparison | None = None
        self._over_limit = 0  # updates running
        self.result = Result(seed, rows.guilty_names(), 0.0, len(self._live_y))

    def update(self, epoch: int, update: SeedUpdate) -> None:
        """Judge the contributions of one seed after an epoch."""
        live = self._probe.pooled(update.live, samples=[update.live_x])
        probe = self._probe.pooled(update.probe)
        gap = reliance_gap(self._evidence(live, self._live_y), self._evidence(probe, self._rows.probe_y))
        alarms = sorted(self._chart.update(gap.hits()), key=lambda feature: -gap.z[feature])
        names = self._probe.features
        for feature in alarms:
            comparison = self._compared(update.live_x)
            sentence = bool(comparison.rows_differ()[feature])
            self.result.alarms.append(Alarm(epoch, names[feature], round(float(gap.z[feature]), 3), sentence))
        self._recent.append(gap.z)
        if len(self._recent) == UPDATES_RUNNING:
            lasting = np.min(list(self._recent), 0)
            if lasting.max() > self.result.peak:
                self.result.peak = round(float(lasting.max()), 3)
                self.result.peak_feature = names[int(lasting.argmax())]
        self.result.accuracy = round(float(update.accuracy), 4)
        if self._scenario.rule is not None:
            self._apply(self._scenario.rule, epoch, live)

    def _evidence(self, contributions: Array, y: NDArray[Any]) -> Evidence:
        if self._scenario.classes != REGRESSION:
            return Evidence(contributions, y.astype(np.int64), np.ones(len(y)))
        trained = self._rows.y
        direction = np.clip((y - trained.mean()) / trained.std(), -MAX_TARGET, MAX_TARGET)
        return Evidence(contributions, np.zeros(len(y), np.int64), direction)

    def _compared(self, live_x: NDArray[Any]) -> RowComparison:
        """Compare the rows, once where the pipeline repeats them."""
        if self._comparison is None or self._scenario.redrawn_noise:
            self._comparison = compared_rows(self._scenario, self._rows, live_x)
        return self._comparison

    def _apply(self, rule: Rule, epoch: int, live: Array) -> None:
        """Note the epoch at which a rule is broken for the second update running."""
        share, error = share_and_error(live, rule.features)
        is_over = share - RULE_ERRORS * error > rule.limit
        self._over_limit = self._over_limit + 1 if is_over else 0
        if self._over_limit == RULE_UPDATES and self.result.rule_epoch is None:
            self.result.rule_epoch = epoch


def compared_rows(scenario: Scenario, rows: Rows, live_x: NDArray[Any]) -> RowComparison:
    """Compare the values of training rows with the probe's, feature by feature, without a model."""
    compare = compare_slopes if scenario.classes == REGRESSION else compare_classes
    live_y = rows.y[: len(live_x)]
    if not rows.group:
        probe = rows.held_out()
        live, held_out = probe.pooled(live_x, samples=[live_x]), probe.pooled(rows.probe_x)
        return compare(live, held_out, live_y, rows.probe_y)
    columns = compare(live_x, rows.probe_x, live_y, rows.probe_y)
    # The sum of one-hot columns is constant: the group is judged by the column that depends most on the label.
    alone = live_x.shape[1] - rows.group
    strongest = alone + int(columns.dependent[alone:].argmax())
    order = [strongest, *range(alone)]  # a probe has its groups first
    return RowComparison(*(figure[order] for figure in columns[:3]), columns.strata)


def share_and_error(contributions: Array, features: Sequence[int]) -> tuple[float, float]:
    """Return some features' share of the evidence in all rows (n, F), and its standard error as a ratio of two means."""
    evidence = np.abs(contributions)
    part, whole = evidence[:, list(features)].sum(1), evidence.sum(1)
    share = part.sum() / whole.sum()
    residual = part - share * whole
    return float(share), float(residual.std(ddof=1) / np.sqrt(len(residual)) / whole.mean())
