"""Measure what `TrainingRows` finds of wrong labels in all training rows, and what it costs.

python -m benchmarks.training_rows [--seeds 5]         # the data sets and models of M2 in docs/mappings.md, five epochs
python -m benchmarks.training_rows --cost [--rounds 3] [--share 0.25]    # the CNN and the MLP of `benchmarks.overhead`, in turns
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from sklearn import datasets
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import keras_xai as kx
from benchmarks._statistics import median_interval
from benchmarks._trainings import MODELS, measured

CALLBACKS: dict[str, Callable[[Path], list[keras.callbacks.Callback]]] = {
    "plain": lambda log_dir: [],
    "plain again": lambda log_dir: [],
    "TrainingRows": lambda log_dir: [kx.TrainingRows(log_dir)],
}
FIRST_SEED, EPOCHS = 2001, 5


def rows_of(name: str, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and true classes of one data set, shuffled."""
    if name == "clusters":
        options = {
            "n_informative": 8,
            "n_redundant": 4,
            "n_classes": 4,
            "n_clusters_per_class": 1,
            "class_sep": 1.5,
            "flip_y": 0,
        }
        x, y = datasets.make_classification(1000, 20, random_state=int(r.integers(1 << 30)), **options)
    else:
        data = {"iris": datasets.load_iris, "wine": datasets.load_wine, "digits": datasets.load_digits}
        x, y = data.get(name, datasets.load_breast_cancer)(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1) if name == "digits" else StandardScaler().fit_transform(x)
    order = r.permutation(len(y))
    return x[order].astype(np.float32), y[order]


def net(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Two convolutions and a hidden layer for images, three hidden layers for tables."""
    layers = keras.layers
    if len(shape) == 3:
        convolutions = [
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
        ]
        stack = [*convolutions, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(64, activation="relu")]
    else:
        stack = [layers.Dense(64, activation="relu") for _ in range(3)]
    model = keras.Sequential([keras.Input(shape), *stack, layers.Dense(classes)])
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def detection(name: str, share: float, seed: int) -> list[float]:
    """AUC of wrong labels, and the precision of as many suspects as are wrong: by label quality, then by probability alone."""
    r = np.random.default_rng(seed)
    x, truth = rows_of(name, r)
    y, classes = truth.copy(), int(truth.max()) + 1
    wrong = r.permutation(len(y))[: round(share * len(y))]
    y[wrong] = (y[wrong] + r.integers(1, classes, len(wrong))) % classes
    keras.utils.set_random_seed(seed)
    log_dir = tempfile.mkdtemp()
    watch = kx.TrainingRows(log_dir, x, y, on_error="raise")
    net(x.shape[1:], classes).fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[watch])
    rows = kx.load(log_dir)["."].training_rows
    is_wrong = y != truth
    figures = []
    for score in (rows.label_quality, rows.early_probability):
        lowest = np.argsort(score, kind="stable")[: len(wrong)]
        figures += [roc_auc_score(is_wrong, -score), is_wrong[lowest].mean()]
    return figures


def print_detection(seeds: int) -> None:
    """Print the table of what is found."""
    print(
        "| data, share of wrong labels | AUC by label quality (worst) | by probability alone (worst) | precision | alone |"
    )
    print("|---|---|---|---|---|")
    for name in ("digits", "breast cancer", "wine", "iris", "clusters"):
        for share in (0.1, 0.2):
            runs = np.array([detection(name, share, FIRST_SEED + k) for k in range(seeds)])
            (auc, precision, auc_alone, precision_alone), worst = np.median(runs, 0), runs.min(0)
            aucs = f"{auc:.3f} ({worst[0]:.3f}) | {auc_alone:.3f} ({worst[2]:.3f})"
            print(f"| {name}, {share:.0%} | {aucs} | {precision:.2f} | {precision_alone:.2f} |", flush=True)


def print_cost(rounds: int, share: float) -> None:
    """Print CPU time of epochs with and without."""
    print("| model | training | first epoch, CPU s | epoch, CPU s | ratio to plain, median [95 %] |")
    print("|---|---|---|---|---|")
    for model in ("cnn", "mlp"):
        seconds = measured(MODELS[model], rounds, share if model == "cnn" else share / 10, CALLBACKS)
        plain = np.array(seconds["plain"][1:-1])
        for name, values in seconds.items():
            epochs = np.array(values[1:-1])
            middle, low, high = median_interval(epochs / plain)
            cells = f"{values[0]:.2f} | {np.median(epochs):.3f} | {middle:.3f} [{low:.3f}, {high:.3f}]"
            print(f"| {model} | {name} | {cells} |", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.25)
    options = parser.parse_args()
    if options.cost:
        print_cost(options.rounds, options.share)
    else:
        print_detection(options.seeds)


if __name__ == "__main__":
    main()
