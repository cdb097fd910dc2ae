"""Measure what `Explain` costs a whole `fit`, beside tf-explain's callbacks and TensorBoard's histograms.

    python -m benchmarks.explain [--rounds 12] [--only cnn breast_cancer transformer]
                                 [--share 1.0]  a part of the samples, to try the benchmark itself

Measured as `benchmarks.overhead` does: all variants of a model train at the same time, a twelfth of an epoch each in
turn, in an order drawn anew each time; an epoch's cost is the CPU time of the whole process; every epoch gives one ratio
to the same epoch of the plain training, and the table shows their median with a 95 % bootstrap interval. The first epoch, in
which functions are traced, stands apart, and is counted in the ratio of the whole `fit`. A bar is met where the
interval's lower end is at or below it. The last table says which part takes what, by the callbacks' own clock.

tf-explain's callbacks are measured where the package is installed and runs on this Keras.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS, breast_cancer, measured

ROWS = 128  # of the probe, and of the live rows
BARS = {("cnn", "Explain, live rows"): 1.05, ("cnn", "Explain"): 1.05, ("cnn", "Explain, saliency only"): 1.03}
Task = tuple[keras.Model, np.ndarray, np.ndarray, int]


MAKERS: dict[str, Callable[[], Task]] = {
    "cnn": MODELS["cnn"],
    "breast_cancer": breast_cancer,
    "transformer": MODELS["transformer"],
}


class CostKeeping(kx.Explain):
    """`Explain` that leaves what its parts cost, epoch by epoch, in `costs` when its training ends."""

    costs: list[tuple[float, dict[str, float]]] = []  # noqa: RUF012 - one list for the variant that is looked at

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        log_dir = self.callbacks[0].log_dir
        super().on_train_end(logs)
        run = kx.load(log_dir)["."]
        type(self).costs[:] = [(record.seconds, dict(record.costs)) for record in run.history]


def variants(kind: str) -> dict[str, Callable[[Path], list[keras.callbacks.Callback]]]:
    """Callbacks by the name in the table."""
    _, x, y, _ = MAKERS[kind]()
    probe = kx.Probe(x[:ROWS], y[:ROWS], kind={"cnn": "image", "transformer": "tokens"}.get(kind, "table"))
    live = (x[ROWS : 2 * ROWS], y[ROWS : 2 * ROWS])
    quiet: dict[str, Any] = {"on_drift": lambda alert: None, "on_error": "raise"}
    callbacks: dict[str, Callable[[Path], list[keras.callbacks.Callback]]] = {
        "plain": lambda log_dir: [],
        "plain again": lambda log_dir: [],
        "Explain": lambda log_dir: [kx.Explain(log_dir, probe, **quiet)],
        "Explain, live rows": lambda log_dir: [CostKeeping(log_dir, probe, live=live, **quiet)],
        "Explain, live rows, every=auto": lambda log_dir: [
            kx.Explain(log_dir, probe, live=live, every="auto", **quiet)
        ],
        "Explain, saliency only": lambda log_dir: [kx.Explain(log_dir, probe, method="saliency", **quiet)],
        "Keras TensorBoard, histograms": lambda log_dir: [keras.callbacks.TensorBoard(log_dir, histogram_freq=1)],
    }
    if kind == "cnn":
        callbacks |= tf_explain((x[:16], y[:16]))
    return callbacks


def tf_explain(data: tuple[np.ndarray, np.ndarray]) -> dict[str, Callable[[Path], list[keras.callbacks.Callback]]]:
    """Those of tf-explain's callbacks that get through an epoch here; why the others do not is printed."""
    builders: dict[str, Callable[[Path], keras.callbacks.Callback]] = {}
    for name, module in {
        "GradCAMCallback": "grad_cam",
        "VanillaGradientsCallback": "vanilla_gradients",
        "IntegratedGradientsCallback": "integrated_gradients",
    }.items():
        try:
            callback = getattr(importlib.import_module(f"tf_explain.callbacks.{module}"), name)

            def build(log_dir: Path, callback: Any = callback) -> keras.callbacks.Callback:
                return callback(validation_data=data, class_index=0, output_dir=str(log_dir))

            model, x, y, batch_size = MAKERS["cnn"]()
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            with tempfile.TemporaryDirectory() as directory:
                model.fit(x[:64], y[:64], batch_size=batch_size, verbose=0, callbacks=[build(Path(directory))])
        except Exception as fault:
            print(f"tf-explain's {name} is left out: {type(fault).__name__}: {str(fault).splitlines()[0][:120]}")
        else:
            builders[f"tf-explain, {name}"] = build
    return {name: lambda log_dir, build=build: [build(log_dir)] for name, build in builders.items()}  # type: ignore[misc]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    parts: list[str] = []
    print(f"{platform.processor() or platform.machine()}, {keras.backend.backend()}, Keras {keras.__version__}")
    print(
        "| model | training | first epoch, CPU s | epoch, CPU s | epoch, ratio to plain, median [95 %] | whole fit | bar |\n"
        "|---|---|---|---|---|---|---|"
    )
    for kind in options.only:
        seconds = measured(MAKERS[kind], options.rounds, options.share, variants(kind))
        plain = np.array(seconds["plain"])
        for name, values in seconds.items():
            epochs = np.array(values)
            middle, low, high = median_interval(epochs[1:-1] / plain[1:-1])
            bar = BARS.get((kind, name))
            met = ""
            if bar is not None:
                met = f"≤ {bar:g}: {'met' if low <= bar else 'missed'}"
            print(
                f"| {kind} | {name} | {epochs[0]:.2f} | {np.median(epochs[1:-1]):.2f} | {middle:.3f} [{low:.3f}, {high:.3f}] |"
                f" {epochs[:-1].sum() / plain[:-1].sum():.3f} | {met} |",
                flush=True,
            )
        names = dict.fromkeys(name for _, costs in CostKeeping.costs for name in costs)
        for name in names:
            first = CostKeeping.costs[0][1].get(name, 0.0)
            later = [costs.get(name, 0.0) for _, costs in CostKeeping.costs[1:]]
            parts.append(f"| {kind} | {name} | {first:.2f} | {1000 * np.median(later):.1f} |")
    print("\n| model | part of `Explain` with live rows | first epoch, s | epoch, ms |\n|---|---|---|---|")
    print(*parts, sep="\n")


if __name__ == "__main__":
    main()
