"""Measure whether a histogram of a layer's activations tells of a fault sooner than what is recorded already.

    python -m benchmarks.activations [--seeds 2] [--runs runs]

An MLP on scikit-learn's digits trains soundly for four epochs; then a fault is planted in its first hidden layer, a little more
of it before each epoch. Of every epoch, on 256 held-out rows: the flags of `TrainingChecks` and `ProbeMappings`, the figures
that `ProbeMappings` records of the layer, and a histogram of its activations over fixed bins, four a decade on either side of
zero. A figure or histogram tells of the fault at the first epoch at which it has moved from that of the fourth by more than it
ever did in sound trainings with the same activation function. Every run leaves a file under --runs: a benchmark that was cut
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import keras_xai as kx

FUNCTIONS = ("relu", "gelu", "elu", "tanh")
SOUND_EPOCHS, EPOCHS = 4, 14
FIRST_SOUND, FIRST_FAULTY = 0, 100  # seeds
LAYER = "watched"
SIZES = np.geomspace(1e-4, 1e4, 33)
EDGES = np.concatenate([[-np.inf], -SIZES[::-1], SIZES, [np.inf]])


def histogram_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the shares of activations in each bin."""
    counts = np.histogram(values.ravel(), EDGES)[0]
    return np.asarray(counts / counts.sum(), np.float64)


def falling_bias(layer: keras.layers.Dense) -> None:
    """Units are pushed to where the function is flat."""
    layer.bias.assign_sub(0.4 * np.ones(layer.bias.shape, np.float32))


def growing_weights(layer: keras.layers.Dense) -> None:
    """Activations explode."""
    layer.kernel.assign(layer.kernel * 1.5)


def shrinking_weights(layer: keras.layers.Dense) -> None:
    """The distribution collapses to a point."""
    layer.kernel.assign(layer.kernel * 0.5)


def growing_unit(layer: keras.layers.Dense) -> None:
    """One unit of 64 grows."""
    factor = np.ones(layer.bias.shape, np.float32)
    factor[0] = 2.0
    layer.kernel.assign(layer.kernel * factor)
    layer.bias.assign(layer.bias * factor)


def split_bias(layer: keras.layers.Dense) -> None:
    """Half of the units are pushed up and half down: two heaps."""
    sign = np.where(np.arange(layer.bias.shape[0]) % 2, 1, -1).astype(np.float32)
    layer.bias.assign_add(0.4 * sign)


FAULTS: dict[str, Callable[[keras.layers.Dense], None]] = {
    "bias falls": falling_bias,
    "weights grow": growing_weights,
    "weights shrink": shrinking_weights,
    "a unit grows": growing_unit,
    "biases part": split_bias,
}


class Planted(keras.callbacks.Callback):
    """Plants a fault before each epoch, and keeps the histogram of the layer behind it."""

    def __init__(self, fault: Callable[[keras.layers.Dense], None] | None, rows: NDArray[Any]) -> None:
        super().__init__()
        self.fault, self.rows = fault, rows
        self.histograms: list[list[float]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.fault is not None and epoch >= SOUND_EPOCHS:
            self.fault(self.model.get_layer(LAYER))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        layer = self.model.get_layer(LAYER)
        self.histograms.append(histogram_of(np.asarray(layer(self.rows))).tolist())


def run_of(function: str, fault: Callable[[keras.layers.Dense], None] | None, seed: int) -> dict[str, Any]:
    """Return, by epoch, the histogram, the recorded figures and the flags of one training."""
    keras.utils.set_random_seed(seed)
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x, y = (digits.data[order] / 16).astype(np.float32), digits.target[order]
    layers = keras.layers
    stack = [layers.Dense(64, function, name=LAYER), layers.Dense(32, function), layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *stack])
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    quiet: dict[str, Any] = {"on_flag": lambda record: None}
    with tempfile.TemporaryDirectory() as log_dir:
        planted = Planted(fault, x[:256])
        probe = kx.Probe(x[:256], y[:256])
        recorded = [kx.ProbeMappings(log_dir, probe, **quiet), kx.TrainingChecks(log_dir, probe, **quiet)]
        model.fit(x[256:1256], y[256:1256], epochs=EPOCHS, verbose=0, callbacks=[planted, *recorded])
        run = kx.load(log_dir)["."]
        mappings, checks = run.mappings, run.training_flags
    features = [record.features for record in mappings]
    place = features[0].layers.index(LAYER)
    names = ("mean", "std", "saturation", "dead", "spread", "participation")
    flags = []
    for records in zip(mappings, checks, strict=True):
        kinds = [flag.kind for record in records for flag in record.flags if flag.name in (LAYER, "model")]
        flags.append(sorted({*kinds, *(flag.kind for flag in records[0].notes if flag.name == LAYER)} - {"stable"}))
    figures = {}
    for name in names:
        figures[name] = np.stack([getattr(feature, name) for feature in features])[:, place].tolist()
    return {"histogram": planted.histograms, "figures": figures, "flags": flags}


def moves(run: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return by how far each figure lies (epochs) from that of the last sound epoch; ratios as logarithms."""
    figures = {name: np.asarray(values, np.float64) for name, values in run["figures"].items()}
    start = SOUND_EPOCHS - 1
    distances = {}
    for name, values in figures.items():
        if name in ("std", "spread", "participation"):
            values = np.log(np.maximum(values, 1e-12))
        scale = figures["std"][start] if name == "mean" else 1.0
        distances[name] = np.abs(values - values[start]) / scale
    shares = np.asarray(run["histogram"])
    distances["histogram"] = np.abs(shares - shares[start]).sum(1) / 2  # total variation
    distances["fullest bin"] = np.abs(shares.max(1) - shares.max(1)[start])
    return distances


def first_beyond(distance: NDArray[np.float64], limit: float) -> float:
    """Return how many epochs of the fault pass before a distance is above a limit; NaN for never."""
    beyond = np.flatnonzero(distance[SOUND_EPOCHS:] > limit)
    return float(beyond[0] + 1) if len(beyond) else np.nan


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "keras_xai_activations")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)

    def recorded(function: str, name: str, seed: int) -> dict[str, Any]:
        path = options.runs / f"{function} {name} {seed}.json"
        if not path.exists():
            path.write_text(json.dumps(run_of(function, FAULTS.get(name), seed)), encoding="utf-8")
            keras.backend.clear_session()
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result

    print("| function | fault | flags | best recorded figure | histogram | fullest bin |\n|---|---|---|---|---|---|")
    for function in FUNCTIONS:
        limits: dict[str, float] = defaultdict(float)
        for seed in range(FIRST_SOUND, FIRST_SOUND + options.seeds):
            for name, distance in moves(recorded(function, "sound", seed)).items():
                limits[name] = max(limits[name], float(np.nanmax(distance[SOUND_EPOCHS:], initial=0)))
        for fault in FAULTS:
            epochs: dict[str, list[float]] = defaultdict(list)
            kinds: set[str] = set()
            for seed in range(FIRST_FAULTY, FIRST_FAULTY + options.seeds):
                run = recorded(function, fault, seed)
                flagged = [k for k, flags in enumerate(run["flags"][SOUND_EPOCHS:]) if flags]
                kinds |= {kind for flags in run["flags"][SOUND_EPOCHS:] for kind in flags}
                epochs["flags"].append(flagged[0] + 1.0 if flagged else np.nan)
                for name, distance in moves(run).items():
                    epochs[name].append(first_beyond(distance, limits[name]))
            figures = [name for name in epochs if name not in ("flags", "histogram", "fullest bin")]
            best = min(figures, key=lambda name: np.nan_to_num(epochs[name], nan=99.0).mean())
            cells = [_words(epochs["flags"]) + f" {', '.join(sorted(kinds))}", f"{best} {_words(epochs[best])}"]
            cells += [_words(epochs[name]) for name in ("histogram", "fullest bin")]
            print(f"| {function} | {fault} | {' | '.join(cells)} |", flush=True)


def _words(epochs: list[float]) -> str:
    return ", ".join("never" if np.isnan(epoch) else f"{epoch:.0f}" for epoch in epochs)


if __name__ == "__main__":
    main()
