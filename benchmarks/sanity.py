"""Check that each method's explanation follows the model and finds what it uses: on digits and on breast cancer.

    python -m benchmarks.sanity [--seeds 3] [--rows 64] [--only saliency occlusion ...]

A small CNN learns scikit-learn's digits, a small MLP its breast cancer table, once for each seed. Then, of each method on
test samples:

- *randomisation* (Adebayo et al. 2018): the rank correlation of |values| with those after the last layer's weights are shuffled,
  and after all layers' are. A method that still says the same, 0.5 or more, is said to fail.
- *deletion* and *insertion* (Petsiuk et al. 2018): how much sooner the score falls, or rises, in the method's order than in a
  random one: the difference of the mean scores over the curve, in units of score(x) − score(baseline) averaged over samples.
  A method whose 95 % interval over samples and seeds does not lie above 0 is said to fail.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

import keras_xai as kx
from keras_xai.attribution import METHODS

STAYS = 0.5  # a rank correlation from here on says that the map is not the model's
layers = keras.layers


@dataclasses.dataclass
class Trained:
    """A trained model, samples that it has not seen, and how often it is right on all of those."""

    model: keras.Model
    x: np.ndarray
    accuracy: float


def digits(seed: int, rows: int) -> Trained:
    """A CNN with two convolutions on 8 × 8 images."""
    data = load_digits()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return _trained(model, data.images[..., None] / 16, data.target, seed, rows, epochs=15)


def breast_cancer(seed: int, rows: int) -> Trained:
    """An MLP on 30 standardised columns."""
    data = load_breast_cancer()
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return _trained(model, x, data.target, seed, rows, epochs=30)


def _trained(model: keras.Model, x: Any, y: Any, seed: int, rows: int, epochs: int) -> Trained:
    x_train, x_test, y_train, y_test = train_test_split(x.astype(np.float32), y, test_size=0.3, random_state=seed)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=epochs, batch_size=32, verbose=0)
    return Trained(model, x_test[:rows], model.evaluate(x_test, y_test, verbose=0)[1])


DATA: dict[str, Callable[[int, int], Trained]] = {"digits, CNN": digits, "breast cancer, MLP": breast_cancer}


@dataclasses.dataclass
class Scores:
    """Of one method on one data set, a number a seed, or a sample and seed."""

    last: list[float] = dataclasses.field(default_factory=list)
    all: list[float] = dataclasses.field(default_factory=list)
    deletion: list[float] = dataclasses.field(default_factory=list)
    insertion: list[float] = dataclasses.field(default_factory=list)

    def row(self, name: str) -> str:
        fell, rose = (_interval(v) for v in (self.deletion, self.insertion))
        faults = [
            word
            for word, fault in (
                ("randomisation", np.mean(self.all) >= STAYS),
                ("deletion", fell[1] <= 0),
                ("insertion", rose[1] <= 0),
            )
            if fault
        ]
        correlations = f"{np.mean(self.last):.2f} | {np.mean(self.all):.2f}"
        curves = " | ".join(f"{m:+.2f} ({low:+.2f} to {high:+.2f})" for m, low, high in (fell, rose))
        return f"| `{name}` | {correlations} | {curves} | {', '.join(faults) or 'none'} |"


def _interval(values: list[float]) -> tuple[float, float, float]:
    """Mean, and 95 % by the bootstrap."""
    sample = np.asarray(values)
    means = np.random.default_rng(0).choice(sample, (2000, len(sample))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(sample.mean()), float(low), float(high)


def judge(method: str, trained: Trained, seed: int, scores: Scores) -> None:
    """One method on one trained model."""
    model, x = trained.model, trained.x
    correlations = list(kx.metrics.randomisation(model, x, method, seed=seed).values())
    scores.last.append(correlations[0])
    scores.all.append(correlations[-1])
    a = kx.attribute(model, x, method, seed=seed, verbose=False)
    by_chance = np.random.default_rng(seed).normal(size=x.shape)
    curves = [
        function(model, x, values, target=a.target)
        for function in (kx.metrics.deletion, kx.metrics.insertion)
        for values in (a.values, by_chance)
    ]
    fell, fell_by_chance, rose, rose_by_chance = curves
    unit = float(np.mean(fell[:, 0] - fell[:, -1]))
    scores.deletion += list((fell_by_chance.mean(1) - fell.mean(1)) / unit)
    scores.insertion += list((rose.mean(1) - rose_by_chance.mean(1)) / unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    print(f"keras_xai {kx.__version__}, {options.seeds} seeds, {options.rows} samples each.")
    for name, train in DATA.items():
        runs = [train(seed, options.rows) for seed in range(options.seeds)]
        print(f"\n{name}, test accuracy {np.mean([run.accuracy for run in runs]):.1%}:\n")
        print("| method | last layer shuffled | all layers | deletion | insertion | fails |")
        print("|---|---|---|---|---|---|")
        for method in options.only:
            if runs[0].x.ndim == 2 and not METHODS[method].input_shaped:
                continue  # no places
            scores = Scores()
            for seed, run in enumerate(runs):
                judge(method, run, seed, scores)
            print(scores.row(method), flush=True)


if __name__ == "__main__":
    main()
