"""Measure what each instrument that is off by default costs on the CNN of `benchmarks.overhead`, as one table.

    python -m benchmarks.instruments [--rounds 3] [--share 0.25] [--only NAME ...]

The trainings take turns, and an epoch's cost is its CPU time, as in `benchmarks.overhead`: that of the callback with the
instrument beside that of the callback without. What an instrument takes does not grow with the steps of an epoch, so that a
share of the data will do; the last column sets it beside the CNN's whole epoch of 79 steps. The map checks, which come at every
tenth update, are made at each one here, and a tenth of them is told.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import keras_xai as kx
from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS, measured, samples
from keras_xai.callbacks import probe_attributions
from keras_xai.callbacks.map_check import EVERY

X, Y = samples(5_000, 32, 32, 3)
PROBE, LIVE = kx.Probe(X[:128], Y[:128]), (X[128:], Y[128:])
STEPS = 79  # of a whole epoch

Callbacks = Callable[[Path], list[keras.callbacks.Callback]]


class Instrument(NamedTuple):
    """The callbacks with an instrument, and those that it is beside."""

    beside: str  # of `BESIDE`
    callbacks: Callbacks
    each: int = 1  # updates


def _gradients(log_dir: Path, **options: Any) -> list[keras.callbacks.Callback]:
    return [kx.WeightGradients(log_dir, **options)]


def _attributions(log_dir: Path, **options: Any) -> list[keras.callbacks.Callback]:
    return [kx.ProbeAttributions(log_dir, PROBE, ("saliency", "integrated_gradients"), **options)]


def _drift(log_dir: Path, **options: Any) -> list[keras.callbacks.Callback]:
    return [kx.ImportanceDrift(log_dir, PROBE, live=LIVE, on_drift=lambda alert: None, **options)]


def _checks(log_dir: Path) -> list[keras.callbacks.Callback]:
    return [kx.TrainingChecks(log_dir, PROBE, live=LIVE, on_flag=lambda record: None)]


def _mappings(log_dir: Path) -> list[keras.callbacks.Callback]:
    return [kx.ProbeMappings(log_dir, PROBE, on_flag=lambda record: None)]


BESIDE: dict[str, Callbacks] = {
    "plain": lambda log_dir: [],
    "WeightGradients": _gradients,
    "ProbeAttributions": _attributions,
    "ImportanceDrift": _drift,
}
INSTRUMENTS: dict[str, Instrument] = {
    "critical_step": Instrument("WeightGradients", lambda log_dir: _gradients(log_dir, critical_step=True)),
    "map_checks": Instrument("ProbeAttributions", lambda log_dir: _attributions(log_dir, check=True), EVERY),
    "training_checks": Instrument("plain", _checks),
    "influence": Instrument("ImportanceDrift", lambda log_dir: _drift(log_dir, influence=True)),
    "ProbeMappings: prediction_depth, label_quality": Instrument("plain", _mappings),
}


def lines(rounds: int, share: float, names: list[str]) -> list[str]:
    """Return the table of some instruments."""
    beside = {INSTRUMENTS[name].beside for name in names} | {"plain"}
    variants = {name: BESIDE[name] for name in BESIDE if name in beside}
    variants |= {name: INSTRUMENTS[name].callbacks for name in names}
    probe_attributions.EVERY = 1
    try:
        seconds = measured(MODELS["cnn"], rounds, share, variants)
    finally:
        probe_attributions.EVERY = EVERY
    epochs = {name: np.array(values[1:-1]) for name, values in seconds.items()}
    whole = float(np.median(epochs["plain"])) * STEPS / int(share * len(X) / 64 + 0.999)
    rows = [
        f"| instrument | beside | an epoch, CPU ms [95 %] | of {STEPS} steps ({whole:.1f} CPU s) | first epoch, CPU s more |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        instrument = INSTRUMENTS[name]
        middle, low, high = median_interval(1000 * (epochs[name] - epochs[instrument.beside]) / instrument.each)
        first = seconds[name][0] - seconds[instrument.beside][0]
        cells = f"{middle:.0f} [{low:.0f}, {high:.0f}] | {middle / 1000 / whole:.1%} | {first:.1f}"
        rows.append(f"| `{name}` | {instrument.beside} | {cells} |")
    return rows


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--only", nargs="*", default=list(INSTRUMENTS), choices=list(INSTRUMENTS), metavar="NAME")
    options = parser.parse_args()
    print("\n".join(lines(options.rounds, options.share, options.only)))


if __name__ == "__main__":
    main()
