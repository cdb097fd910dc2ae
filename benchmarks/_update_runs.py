"""The runs of the benchmark of updates: what was measured is kept, and judged by the product's own code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.update_scenarios import PRETRAINED, RATES, Drawn, Scenario, drawn, rates
from keras_xai.drift.monitor import DriftMonitor, DriftSettings, Explained
from keras_xai.drift.reliance_gap import GAP_LIMIT, MAX_TARGET, Evidence, GapChart, reliance_gap, share_of
from keras_xai.drift.rules import RuleChart

FIRST_SEED = 100  # the setting was chosen on 0 to 9
ROOM = 1.2  # of a rule, over the share at the end of the training

Array = NDArray[np.float64]


class Trace(NamedTuple):
    """Measurements of all seeds of a scenario; S seeds, U updates, F features."""

    steps: NDArray[np.int64]  # (U) done at each update
    rates: Array  # (U) learning rate of the last step
    change: NDArray[np.int64]  # () steps done before something changes
    guilty: NDArray[np.int64]  # features
    clean: NDArray[np.float32]  # (S, U, F) importance on the probe
    live: NDArray[np.float32]  # (S, U, F) importance on the live rows
    gap: NDArray[np.float32]  # (S, U, F) z
    share: NDArray[np.float32]  # (S, U, F) of the evidence on the live rows
    error: NDArray[np.float32]  # (S, U, F)

    def every(self, scenario: Scenario, interval: int) -> Trace:
        """Return the updates of a wider interval."""
        taken = np.isin(self.steps, scenario.update_steps(interval))
        by_update = {name: getattr(self, name)[:, taken] for name in ("clean", "live", "gap", "share", "error")}
        return self._replace(steps=self.steps[taken], rates=self.rates[taken], **by_update)


def path_of(scenario: Scenario, runs: Path) -> Path:
    return runs / f"{scenario.name}.npz"


def trace(scenario: Scenario, runs: Path) -> Trace | None:
    """Return what is measured of a scenario, None where nothing is."""
    path = path_of(scenario, runs)
    if not path.exists():
        return None
    with np.load(path) as arrays:
        return Trace(**arrays)


def measure(scenarios: Iterable[Scenario], runs: Path) -> None:
    """Train what has no file yet."""
    runs.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios:
        path = path_of(scenario, runs)
        if path.exists():
            continue
        began = time.perf_counter()
        part = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(part, **trained(scenario)._asdict())
        part.replace(path)
        print(f"{scenario.name}: {time.perf_counter() - began:.1f} s", flush=True)


# Training.


def trained(scenario: Scenario, first_seed: int = FIRST_SEED) -> Trace:
    """Train all seeds of a scenario together, and explain them at every update."""
    from benchmarks.update_trainings import Training  # JAX: what is measured can be read without it

    seeds = list(range(first_seed, first_seed + scenario.seeds))
    draws = [drawn(scenario, seed) for seed in seeds]
    training = Training(scenario.net, [draw.rows for draw in draws], seeds)
    if scenario.is_fine_tune:
        training.give([draw.pretrained or draw.rows for draw in draws])
        usual_rate = np.full(PRETRAINED, RATES[scenario.optimizer], np.float32)
        training.train(0, PRETRAINED, np.stack([draw.before for draw in draws]), usual_rate)
        training.restart_optimizer()
        training.give([draw.rows for draw in draws])
    batches = np.stack([draw.batches for draw in draws])
    change = draws[0].change  # of all seeds: they are trained together
    rate = rates(scenario, change / scenario.steps)
    steps = np.asarray(scenario.update_steps())
    measured = []
    done, is_planted = 0, False
    for step in steps.tolist():
        if scenario.is_planted and not is_planted and step > change:
            training.train(done, change, batches, rate)
            training.give([draw.planted or draw.rows for draw in draws])
            done, is_planted = change, True
        training.train(done, step, batches, rate)
        done = step
        explained = training.explained()
        margins = zip(explained.live_margin, explained.probe_margin, draws, strict=True)
        compared = [_compared(live, probe, draw, scenario.net.outputs) for live, probe, draw in margins]
        measured.append((explained.clean, explained.live, *map(np.stack, zip(*compared, strict=True))))
    columns = [np.stack(values, 1).astype(np.float32) for values in zip(*measured, strict=True)]
    at_update = rate[steps - 1].astype(np.float64)
    return Trace(steps, at_update, np.asarray(change), np.asarray(draws[0].guilty, np.int64), *columns)


def _compared(live: Array, probe: Array, draw: Drawn, outputs: int) -> tuple[Array, Array, Array]:
    """Return the z of the gap, and the shares of the evidence with their errors."""
    labels = draw.rows.live_y, draw.rows.probe_y
    if outputs == 0:
        centre, scale = labels[0].mean(), labels[0].std()
        directions = [np.clip((y - centre) / scale, -MAX_TARGET, MAX_TARGET) for y in labels]
        strata = [np.zeros(len(y), np.int64) for y in labels]
    else:
        directions = [np.ones(len(y)) for y in labels]
        strata = [y.astype(np.int64) for y in labels]
    gap = reliance_gap(Evidence(live, strata[0], directions[0]), Evidence(probe, strata[1], directions[1]))
    magnitude = np.abs(live.astype(np.float64))
    share = share_of(magnitude, magnitude.sum(1))
    return gap.z, share.share, share.error


# Judging.


class Alarm(NamedTuple):
    """An alarm of one seed."""

    update: int  # counted from 0
    source: str
    features: list[int]  # the largest |z| first


def drift_alarms(measured: Trace, seed: int, *, inside_epochs: bool = True) -> list[Alarm]:
    """Return the alarms of the product's monitor on the shares of one seed.

    Args:
        measured: of the updates that are made.
        seed: its place.
        inside_epochs: as the callback tells the monitor; False is the chart of runs that count in epochs.
    """
    features = [str(feature) for feature in range(measured.clean.shape[-1])]
    monitor = DriftMonitor(features, DriftSettings.of(), live=True)
    monitor.inside_epochs = inside_epochs
    direction = np.ones(len(features), np.int8)
    importance: dict[Explained, NDArray[np.float32]] = {"clean": measured.clean[seed], "live": measured.live[seed]}
    alarms = []
    for update, (step, rate) in enumerate(zip(measured.steps.tolist(), measured.rates.tolist(), strict=True)):
        monitor.begin_update()
        for source, values in importance.items():
            monitor.update(step, source, values[update], direction, learning_rate=rate)
        for alert in monitor.end_update(step):
            alarms.append(Alarm(update, alert.source, [int(move.name) for move in alert.features]))
    return alarms


def gap_alarms(measured: Trace, seed: int) -> list[Alarm]:
    """Return the alarms of the product's chart of gaps on one seed."""
    chart = GapChart()
    alarms = []
    for update, z in enumerate(measured.gap[seed]):
        features = chart.update(z > GAP_LIMIT)
        if features:
            alarms.append(Alarm(update, "gap", sorted(features, key=lambda feature: -float(z[feature]))))
    return alarms


def broken_rules(measured: Trace, seed: int, early: int) -> int:
    """Return how many features break, on the way, a rule that the trained net keeps.

    Args:
        measured: of the updates that are made.
        seed: its place.
        early: the first updates, which do not count.
    """
    share, error = measured.share[seed].astype(np.float64), measured.error[seed].astype(np.float64)
    limit = ROOM * share[-1] + 2 * error[-1]
    is_broken = share - 2 * error > limit
    chart = RuleChart()
    count = 0
    for update, row in enumerate(is_broken):
        for feature, broken in enumerate(row.tolist()):
            count += chart.update(str(feature), is_broken=broken, is_early=update < early)
    return count


def first_update_after(measured: Trace) -> int:
    """Return the update in whose window the change lies."""
    return int(np.searchsorted(measured.steps, measured.change, side="right"))


def is_found(alarms: Sequence[Alarm], first: int, within: int, guilty: Sequence[int] | None = None) -> bool:
    """Return True where an alarm lies at an update or one of so many after it, and its first three features hold a guilty one."""
    for alarm in alarms:
        if first <= alarm.update <= first + within and (guilty is None or set(alarm.features[:3]) & set(guilty)):
            return True
    return False
