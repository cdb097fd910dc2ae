"""The runs of the benchmark of updates: each scenario's seeds are trained at once, and what was measured is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.update_scenarios import FINE_TUNE, PRETRAINED, RATES, Scenario, drawn, rates
from keras_xai.drift.reliance_gap import MAX_TARGET, Evidence, reliance_gap, share_of

FIRST_SEED = 0


class Trace(NamedTuple):
    """What was measured in all seeds of a scenario; S seeds, U updates, F features."""

    steps: NDArray[np.int64]  # (U) done at each update
    rates: NDArray[np.float64]  # (S, U) learning rate of the last step
    change: NDArray[np.int64]  # (S) steps done before something changes
    guilty: NDArray[np.int64]  # (features)
    clean: NDArray[np.float32]  # (S, U, F)
    live: NDArray[np.float32]  # (S, U, F)
    gap: NDArray[np.float32]  # (S, U, F) z
    share: NDArray[np.float32]  # (S, U, F) of the evidence on the live rows
    error: NDArray[np.float32]  # (S, U, F)


def trace(scenario: Scenario, runs: Path) -> Trace | None:
    """Return what is measured of a scenario, None where nothing is."""
    path = runs / f"{scenario.name}.npz"
    if not path.exists():
        return None
    with np.load(path) as arrays:
        return Trace(**arrays)


def measure(scenarios: Iterable[Scenario], runs: Path) -> None:
    """Train what has no file yet."""
    runs.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios:
        path = runs / f"{scenario.name}.npz"
        if path.exists():
            continue
        began = time.perf_counter()
        part = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(part, **trained(scenario)._asdict())
        part.replace(path)
        print(f"{scenario.name}: {time.perf_counter() - began:.1f} s", flush=True)


def trained(scenario: Scenario) -> Trace:
    from benchmarks.update_trainings import Training  # JAX: what is measured can be read without it

    seeds = [FIRST_SEED + number for number in range(scenario.seeds)]
    draws = [drawn(scenario, seed) for seed in seeds]
    training = Training(scenario.net, [d.rows for d in draws], seeds)
    if scenario.is_fine_tune:
        training.give([d.pretrained or d.rows for d in draws])
        before = np.full(PRETRAINED, RATES[scenario.optimizer], np.float32)
        training.train(0, PRETRAINED, np.stack([d.before for d in draws]), before)
        training.restart_optimizer()
        training.give([d.rows for d in draws])
    batches = np.stack([d.batches for d in draws])
    # One step of change for all seeds of a scenario: they are trained together.
    change = draws[0].change
    rate = rates(scenario, change / scenario.steps)
    if scenario.is_planted and not np.isclose(rate[0], RATES[scenario.optimizer] * (FINE_TUNE if scenario.is_fine_tune else 1)):
        raise AssertionError("a planted change has a constant learning rate")
    steps = np.asarray(scenario.update_steps())
    columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ("clean", "live", "gap", "share", "error")}
    done, is_planted = 0, False
    for step in steps:
        if scenario.is_planted and not is_planted and step > change:
            training.train(done, change, batches, rate)
            training.give([d.planted or d.rows for d in draws])
            done, is_planted = change, True
        training.train(done, int(step), batches, rate)
        done = int(step)
        explained = training.explained()
        columns["clean"].append(explained.clean)
        columns["live"].append(explained.live)
        compared = [
            _compared(explained.live_margin[s], explained.probe_margin[s], draws[s].rows.live_y, draws[s].rows.probe_y, scenario)
            for s in range(len(draws))
        ]
        for name, values in zip(("gap", "share", "error"), zip(*compared, strict=True), strict=True):
            columns[name].append(np.stack(values))
    stacked = {name: np.stack(values, 1).astype(np.float32) for name, values in columns.items()}
    return Trace(
        steps,
        np.tile(rate[steps - 1].astype(np.float64), (len(draws), 1)),
        np.full(len(draws), change),
        np.asarray(draws[0].guilty, np.int64),
        **stacked,
    )


def _compared(live, probe, live_y, probe_y, scenario):
    if scenario.net.outputs == 0:
        directions = [np.clip((y - live_y.mean()) / live_y.std(), -MAX_TARGET, MAX_TARGET) for y in (live_y, probe_y)]
        strata = [np.zeros(len(y), np.int64) for y in (live_y, probe_y)]
    else:
        directions = [np.ones(len(y)) for y in (live_y, probe_y)]
        strata = [y.astype(np.int64) for y in (live_y, probe_y)]
    gap = reliance_gap(Evidence(live, strata[0], directions[0]), Evidence(probe, strata[1], directions[1]))
    magnitude = np.abs(live.astype(np.float64))
    share = share_of(magnitude, magnitude.sum(1))
    return gap.z, share.share, share.error
