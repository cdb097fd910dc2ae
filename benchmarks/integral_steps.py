"""Measure how far the maps of a gallery lie from integrals of a thousand steps, and how many passes they take.

    python -m benchmarks.integral_steps [--seeds 0 1]

Of 16 rows of trained models, from zero or the mean row: eight Gauss–Legendre points, and 64 of them for the rows whose values
miss their sum by more than 5 %, which a callback took before, eight rows together; and eight graded points, 24 for what misses
3 % and 64 for what then misses 5 %, row by row, which it takes now. *Error* is Σ |Δ values| / Σ |values|, *gap* the completeness
error, means over the rows, and *passes* count one row forwards and backwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_xai as kx
from benchmarks._trainings import MODELS, breast_cancer
from keras_xai.attribution import METHODS
from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.completeness import incomplete
from keras_xai.attribution.explainer import ProbeExplainer

ROWS = 16
STEPS_OF_REFERENCE = 1000
layers = keras.layers
Task = tuple[keras.Model, np.ndarray, np.ndarray, int]


def digits(activation: str, *, normalises: bool) -> Task:
    """Two convolutions and a dense layer on scikit-learn's digits, in batches of 64."""
    from sklearn.datasets import load_digits

    data = load_digits()
    stack: list[keras.layers.Layer] = [keras.Input((8, 8, 1))]
    for filters in (16, 32):
        stack.append(layers.Conv2D(filters, 3, padding="same"))
        stack += [layers.BatchNormalization()] * normalises
        stack.append(layers.Activation(activation))
    stack += [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(64, activation=activation), layers.Dense(10)]
    return keras.Sequential(stack), (data.images / 16).astype(np.float32)[..., None], data.target, 64


def part_of_cnn() -> Task:
    """The CNN of the table in docs/trust.md, on half of its images."""
    model, x, y, batch_size = MODELS["cnn"]()
    return model, x[:2500], y[:2500], batch_size


TASKS: dict[str, tuple[Callable[[], Task], tuple[int, ...]]] = {
    "CNN on noise": (part_of_cnn, (1, 3)),
    "digits, ReLU": (lambda: digits("relu", normalises=False), (1, 4, 15)),
    "digits, batch normalisation": (lambda: digits("relu", normalises=True), (1, 6)),
    "digits, GELU": (lambda: digits("gelu", normalises=False), (1, 6)),
    "breast cancer, MLP": (breast_cancer, (2, 10, 40)),
}


def gallery(x: np.ndarray, y: np.ndarray, *, is_table: bool) -> kx.Probe:
    """The first rows of each class."""
    probe = kx.Probe(x[:128], y[:128], kind="table" if is_table else "image")
    return probe.gallery(ROWS)


def row_passes(explainer: ProbeExplainer, limits: list[tuple[float, int]], maps: Any) -> int:
    """The passes of the rows that are run again: one after the other, or eight together where a limit is alone."""
    together = 8 if len(limits) == 1 else 1
    passes = 0
    for above, steps in limits:
        rows = len(incomplete(maps, above))
        passes += -(-rows // together) * together * steps
        if rows and len(limits) > 1:
            (refined,) = explainer._refined.values()
            with refined.first_step_alone():
                maps = refined(maps, explainer._x, explainer.baseline, explainer._resolved_target())
    return passes


def measure(model: keras.Model, probe: kx.Probe) -> dict[str, tuple[float, float, float, int]]:
    """Of both ways the mean error, the largest one, the mean gap, and the passes."""
    method = METHODS["integrated_gradients"]
    ways = {"before": method(n_steps=8), "now": method().for_callback({})}
    true = Attributor(
        model, probe, "integrated_gradients", probe.classes, options={"n_steps": STEPS_OF_REFERENCE}
    )().values.reshape(ROWS, -1)
    measured = {}
    for name, way in ways.items():
        explainer = ProbeExplainer(model, probe, {"ig": way})
        limits = [(0.05, 64)] if name == "before" else [(0.03, 24), (0.05, 64)]
        first = explainer.engine(explainer._x, explainer.baseline, explainer._resolved_target())["ig"]
        passes = ROWS * (8 if name == "before" else 7) + row_passes(explainer, limits, first)
        maps = explainer()["ig"]
        error = np.abs(maps.values.reshape(ROWS, -1) - true).sum(1) / np.abs(true).sum(1)
        measured[name] = error.mean(), error.max(), float(np.mean(maps.completeness_error)), passes
    return measured


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    print("| model | epochs | error | largest | gap | passes |\n|---|---|---|---|---|---|")
    ratios = []
    for name in options.only:
        make, stops = TASKS[name]
        figures: dict[int, list[Any]] = {stop: [] for stop in stops}
        for seed in options.seeds:
            keras.utils.set_random_seed(seed)
            model, x, y, batch_size = make()
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            probe, epochs = gallery(x, y, is_table=x.ndim == 2), 0
            for stop in stops:
                model.fit(x, y, batch_size=batch_size, epochs=stop - epochs, verbose=0)
                epochs = stop
                measured = measure(model, probe)
                figures[stop].append([measured["before"], measured["now"]])
        for stop, values in figures.items():
            old, new = np.mean(values, 0)
            ratios.append(new / old)
            cells = [f"{before:.1%} → {after:.1%}" for before, after in zip(old[:3], new[:3], strict=True)]
            print(f"| {name} | {stop} | {' | '.join(cells)} | {old[3]:.0f} → {new[3]:.0f} |", flush=True)
    error, largest, gap, passes = np.exp(np.log(ratios).mean(0))
    print(f"\nnow over before, geometric means: {error:.2f}, {largest:.2f}, {gap:.2f}, {passes:.2f}")


if __name__ == "__main__":
    main()
