"""Measure what `ProbeAttributions(check=True)` says of each method, where its limit of noise is to lie, and what it costs.

    python -m benchmarks.map_checks [--seeds 3] [--data NAME ...] [--runs runs] [--cost]

Networks that learned something (images by a CNN, tables by an MLP) and networks that learned labels by heart which mean nothing
(the same, shuffled labels, three times the epochs), watched on 16 rows that none of them has seen. Of the last update: by how
much further the score falls than in random orders, in units of its range, and by how much the noise moves the maps (median over
rows); each as the mean over seeds, with the smallest and the largest; and how many of the trainings fail. Then which share of
all would be marked by other limits of noise. Every training leaves a file under --runs: a benchmark that was cut goes on where
it was. With --cost alone: CPU seconds of a check beside those of a plain epoch, on the CNN whose cost docs/trust.md tells:
5,000 images of 32 × 32, a gallery of 16 by two methods.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

import keras_xai as kx
from benchmarks._statistics import Share
from benchmarks._trainings import cnn
from keras_xai.analysis.map_checks import MOVED_LIMIT, MapVerdict
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.callbacks.map_check import EVERY, MapChecker
from keras_xai.callbacks.probe_attributions import chosen_methods

layers = keras.layers
IMAGES = (
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "deeplift",
    "lrp",
    "grad_cam",
    "hires_cam",
    "layer_cam",
    "occlusion",
)
COLUMNS = ("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "deeplift", "lrp", "occlusion")
LIMITS = (0.15, 0.2, 0.25, 0.3, 0.35)  # of noise

Case = tuple[keras.Model, np.ndarray, np.ndarray, tuple[str, ...]]  # model, rows, classes, methods


class Checked(NamedTuple):
    """The last check of one method in one training."""

    sooner: float
    moved: float
    fails_order: bool


def digits(*, normalised: bool = False) -> Case:
    """A CNN with two convolutions on 8 × 8 images."""
    data = load_digits()
    parts = [layers.Conv2D(16, 3, padding="same", activation="relu")]
    parts += [layers.BatchNormalization()] if normalised else []
    parts += [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten()]
    parts += [layers.Dense(64, activation="relu"), layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts])
    return model, (data.images[..., None] / 16).astype(np.float32), data.target, IMAGES


def table(load: Callable[[], object], *, activation: str = "relu") -> Case:
    """An MLP on standardised columns."""
    data = load()
    parts = [layers.Dense(64, activation), layers.Dense(32, activation), layers.Dense(int(data.target.max()) + 1)]
    model = keras.Sequential([keras.Input((data.data.shape[1],)), *parts])
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return model, x.astype(np.float32), data.target, COLUMNS


DATA: dict[str, Callable[[], Case]] = {
    "digits, CNN": digits,
    "digits, CNN, normalised": lambda: digits(normalised=True),
    "breast cancer, MLP": lambda: table(load_breast_cancer),
    "wine, MLP": lambda: table(load_wine),
    "breast cancer, tanh": lambda: table(load_breast_cancer, activation="tanh"),
}


def train(name: str, seed: int, epochs: int, *, shuffled: bool) -> dict[str, Checked]:
    """Train one network with a checked gallery, and return the last check of each method."""
    keras.utils.set_random_seed(seed)
    model, x, y, methods = DATA[name]()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(x))
    x, y = x[order], y[order]
    y_train = generator.permutation(y[64:]) if shuffled else y[64:]
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with tempfile.TemporaryDirectory() as log_dir:
        watch = kx.ProbeAttributions(log_dir, (x[:64], y[:64]), methods, check=True, every=epochs - 1)
        model.fit(x[64:], y_train, epochs=epochs, batch_size=32, verbose=0, callbacks=[watch])
        verdicts = {method: MapVerdict.of(checks[-1]) for method, checks in kx.load(log_dir)["."].map_checks.items()}
    return {method: Checked(v.sooner, v.moved, bool(v.fails_order)) for method, v in verdicts.items()}


def recorded(runs: Path, name: str, seed: int, epochs: int, *, shuffled: bool) -> dict[str, Checked]:
    """Return the checks of a training, which is made unless a file holds them."""
    path = runs / f"{name} {'shuffled' if shuffled else 'true'} {seed}.json"
    if not path.exists():
        path.write_text(json.dumps(train(name, seed, epochs, shuffled=shuffled)), encoding="utf-8")
        keras.backend.clear_session()
    return {method: Checked(*values) for method, values in json.loads(path.read_text(encoding="utf-8")).items()}


def spread_of(values: list[float], *, sign: str = "") -> str:
    """Return mean, smallest and largest value."""
    return f"{np.mean(values):{sign}.2f} ({np.min(values):{sign}.2f} to {np.max(values):{sign}.2f})"


def cost() -> None:
    """Print the CPU time of an epoch and of a check, each the median of three behind one that compiles."""
    model, x, y, _ = cnn()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probe = kx.Probe(x[:16], y[:16])

    def seconds(action: Callable[[], object]) -> float:
        action()
        times = []
        for _ in range(3):
            begin = time.process_time()
            action()
            times.append(time.process_time() - begin)
        return float(np.median(times))

    epoch = seconds(lambda: model.fit(x, y, epochs=1, batch_size=64, verbose=0))
    methods = chosen_methods(("saliency", "integrated_gradients"), {}, 0)
    explainer = ProbeExplainer(model, probe, methods)
    attributions, checker = explainer(), MapChecker(explainer)
    check = seconds(lambda: checker(0, attributions))
    share = check / EVERY / epoch
    print(f"an epoch {epoch:.2f} s, a check {check:.3f} s: every tenth epoch {share:.2%} of the epochs.")


def marked(run: dict[str, Checked], limit: float) -> int:
    """Return how many methods of a training a limit of noise marks."""
    return sum(checked.moved >= limit for checked in run.values())


def limit_lines(trainings: dict[bool, list[dict[str, Checked]]]) -> Iterable[str]:
    """Yield which share of trainings has a method that each limit of noise marks, and which share of methods it marks."""
    yield "| limit | sound trainings with a mark | their methods | by heart with a mark | their methods |"
    yield "|---|---|---|---|---|"
    for limit in LIMITS:
        cells = []
        for shuffled in (False, True):
            runs = trainings[shuffled]
            marks = [marked(run, limit) for run in runs]
            cells.append(str(Share(sum(map(bool, marks)), len(runs))))
            cells.append(str(Share(sum(marks), sum(map(len, runs)))))
        yield f"| {limit} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=list(DATA))
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "keras_xai_map_checks")
    parser.add_argument("--cost", action="store_true", help="measure the cost alone")
    options = parser.parse_args()
    if options.cost:
        cost()
        return
    options.runs.mkdir(parents=True, exist_ok=True)
    trainings: dict[bool, list[dict[str, Checked]]] = {False: [], True: []}
    for name in options.data:
        for shuffled in (False, True):
            epochs = options.epochs * (1 + 2 * shuffled)
            runs = [recorded(options.runs, name, seed, epochs, shuffled=shuffled) for seed in range(options.seeds)]
            trainings[shuffled] += runs
            print(f"\n{name}{', shuffled labels' * shuffled}:\n")
            print("| method | further than by chance | moved by noise | fails |\n|---|---|---|---|")
            by_method: dict[str, list[Checked]] = defaultdict(list)
            for run in runs:
                for method, checked in run.items():
                    by_method[method].append(checked)
            for method, checks in by_method.items():
                sooner = spread_of([checked.sooner for checked in checks], sign="+")
                moved = spread_of([checked.moved for checked in checks])
                orders = sum(checked.fails_order for checked in checks)
                noise = sum(checked.moved >= MOVED_LIMIT for checked in checks)
                print(
                    f"| `{method}` | {sooner} | {moved} | order {orders}, noise {noise} of {len(checks)} |", flush=True
                )
    print("\n" + "\n".join(limit_lines(trainings)))


if __name__ == "__main__":
    main()
