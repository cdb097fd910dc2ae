"""Measure what each instrument of `Explain` costs that belongs to `WeightGradients`, on the CNN of `benchmarks.overhead`.

    python -m benchmarks.instruments [--rounds 5] [--share 1.0]

The trainings take turns, and an epoch's cost is its CPU time, as in `benchmarks.overhead`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import keras_xai as kx
from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS, measured

CALLBACKS: dict[str, Callable[[Path], list[keras.callbacks.Callback]]] = {
    "plain": lambda log_dir: [],
    "critical_step": lambda log_dir: [kx.WeightGradients(log_dir, critical_step=True)],
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    print("| instrument | first epoch, CPU s | epoch, CPU s | ratio to plain, median [95 %] |")
    print("|---|---|---|---|")
    seconds = measured(MODELS["cnn"], options.rounds, options.share, CALLBACKS)
    plain = np.array(seconds["plain"][1:-1])
    for name, values in seconds.items():
        epochs = np.array(values[1:-1])
        middle, low, high = median_interval(epochs / plain)
        row = f"| {name} | {values[0]:.2f} | {np.median(epochs):.2f} | {middle:.3f} [{low:.3f}, {high:.3f}] |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
