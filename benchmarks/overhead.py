"""Measure what `WeightGradients` costs, beside training without it and beside `keras.callbacks.TensorBoard(histogram_freq=1)`.

    python -m benchmarks.overhead [--rounds 12] [--only mlp cnn transformer] [--plot docs/images/overhead.svg]
                                  [--share 1.0]  a part of the samples, to try the benchmark itself

All variants of a model train at the same time, a twelfth of an epoch each in turn and in an order drawn anew each time, so
that whatever else the machine does falls on all of them alike. An epoch's cost is the CPU time of the whole process in
the turns from its begin to the begin of the next, all callbacks included. Every epoch gives one ratio to the same epoch of
the plain training; the table shows their median with a 95 % bootstrap interval. A bar is met where the interval's
lower end is at or below it; where no step is sampled, the interval has to hold 1. The first epoch of each variant, in
which functions are traced, is left out of the ratio and stands apart.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import keras_xai as kx
from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS, measured

CALLBACKS: dict[str, Callable[[Path], list[keras.callbacks.Callback]]] = {
    "plain": lambda log_dir: [],
    "plain again": lambda log_dir: [],
    "no step sampled": lambda log_dir: [kx.WeightGradients(log_dir, every=lambda epoch: False)],
    "default": lambda log_dir: [kx.WeightGradients(log_dir)],
    "every step": lambda log_dir: [kx.WeightGradients(log_dir, samples_per_epoch="all")],
    "Keras TensorBoard, histograms": lambda log_dir: [keras.callbacks.TensorBoard(log_dir, histogram_freq=1)],
}
BARS = {"mlp": 1.02, "cnn": 1.01, "transformer": 1.01}  # for the default


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    rows: list[tuple[str, str, float, float, float]] = []
    print(f"{platform.processor() or platform.machine()}, {keras.backend.backend()}, Keras {keras.__version__}")
    print("| model | training | first epoch, CPU s | epoch, CPU s | ratio to plain, median [95 %] | bar |")
    print("|---|---|---|---|---|---|")
    for kind in options.only:
        seconds = measured(MODELS[kind], options.rounds, options.share, CALLBACKS)
        plain = np.array(seconds["plain"][1:-1])
        for name, values in seconds.items():
            epochs = np.array(values[1:-1])
            middle, low, high = median_interval(epochs / plain)
            rows.append((kind, name, middle, low, high))
            met = ""
            if name == "no step sampled":
                met = f"1: {'met' if low <= 1 <= high else 'missed'}"
            elif name == "default":
                met = f"≤ {BARS[kind]:g}: {'met' if low <= BARS[kind] else 'missed'}"
            print(
                f"| {kind} | {name} | {values[0]:.2f} | {np.median(epochs):.2f} |"
                f" {middle:.3f} [{low:.3f}, {high:.3f}] | {met} |",
                flush=True,
            )
    if options.plot:
        options.plot.write_text(drawn(rows), encoding="utf-8")


def drawn(rows: list[tuple[str, str, float, float, float]]) -> str:
    """Medians as dots and intervals as bars on a common scale, as SVG."""
    left, width, step = 260, 460, 22
    top = max(1.05, max(high for *_, high in rows))
    bottom = min(0.99, min(low for *_, low, _ in rows))

    def x(ratio: float) -> float:
        return left + (ratio - bottom) / (top - bottom) * width

    height = 40 + step * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<line x1="{x(1):.1f}" y1="10" x2="{x(1):.1f}" y2="{height - 24}" stroke="#999" stroke-dasharray="3 3"/>',
    ]
    for k, (kind, name, middle, low, high) in enumerate(rows):
        y = 22 + step * k
        colour = "#1a6fb4" if "Keras" not in name else "#b4531a"
        out += [
            f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{kind}: {name}</text>',
            f'<line x1="{x(low):.1f}" y1="{y}" x2="{x(high):.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>',
            f'<circle cx="{x(middle):.1f}" cy="{y}" r="4" fill="{colour}"/>',
            f'<text x="{x(high) + 8:.1f}" y="{y + 4}" fill="#555">{middle:.3f}</text>',
        ]
    out += [
        f'<text x="{x(1):.1f}" y="{height - 8}" text-anchor="middle" fill="#555">1 = plain (CPU time an epoch)</text>'
    ]
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    main()
