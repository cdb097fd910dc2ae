"""Measure how often each rule of `TrainingChecks` flags sound trainings, and finds planted faults; and what it costs.

    python -m benchmarks.training_checks [--seeds 10] [--planted-seeds 10] [--runs runs] [--cost] [--out docs/training_checks.md]

Every run leaves a file under --runs: a benchmark that was cut goes on where it was. Each goes through `model.fit` with the real
callback and the default thresholds. Sound trainings are on data that ship with scikit-learn, scaled; each fault is planted in one
of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

import keras_xai as kx
from benchmarks._statistics import Share
from benchmarks._trainings import MODELS
from keras_xai.training_records import RULES

FIRST_SEED = 2000  # none of them was used to choose a threshold
EPOCHS = 30
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"  # of the table in the page
layers = keras.layers


class Data(NamedTuple):
    """Rows in the order of a seed; the last third is for validation and the probe."""

    x: NDArray[Any]
    y: NDArray[Any]

    @property
    def training(self) -> Data:
        end = 2 * len(self.y) // 3
        return Data(self.x[:end], self.y[:end])

    @property
    def held_out(self) -> Data:
        end = 2 * len(self.y) // 3
        return Data(self.x[end:], self.y[end:])


def table(name: str, seed: int, *, scaled: bool = True) -> Data:
    """Return a table of scikit-learn in an order of its own, standardised."""
    loaded = getattr(datasets, f"load_{name}")()
    order = np.random.default_rng(seed).permutation(len(loaded.target))
    x = loaded.data[order].astype(np.float32)
    x = (x - x.mean(0)) / x.std(0) if scaled else x
    target = loaded.target[order]
    if name == "diabetes":
        return Data(x, ((target - target.mean()) / target.std()).astype(np.float32))
    return Data(x, target.astype(np.int64))


def digits(seed: int, *, high: float = 1.0, noise: float = 0.0) -> Data:
    """Return scikit-learn's digits as images from 0 to `high`; a share `noise` of the labels is drawn anew."""
    loaded = datasets.load_digits()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(loaded.target))
    y = loaded.target[order].astype(np.int64)
    wrong = generator.random(len(y)) < noise
    y[wrong] = generator.integers(0, 10, int(wrong.sum()))
    return Data((high * loaded.images[order] / 16).astype(np.float32)[..., None], y)


def rare(data: Data, most: int) -> Data:
    """Return data in which class 0 has `most` rows of the training part, and its share of the held-out one."""
    training, held_out = data.training, data.held_out
    keep = (training.y != 0) | (np.cumsum(training.y == 0) <= most)
    x, y = training.x[keep], training.y[keep]
    count = len(y) // 2  # so that the held-out rows are the last third again
    return Data(np.concatenate([x, held_out.x[:count]]), np.concatenate([y, held_out.y[:count]]))


def dense(
    shape: tuple[int, ...], units: int, activation: str = "relu", *, width: int = 32, **keywords: Any
) -> keras.Model:
    """Return two hidden layers with dropout."""
    hidden = [layers.Flatten()] if len(shape) > 1 else []
    for _ in range(2):
        hidden += [layers.Dense(width, activation, **keywords), layers.Dropout(0.2)]
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(units)])


def convolutional(seed_shape: tuple[int, ...] = (8, 8, 1)) -> keras.Model:
    """Return two convolutions with batch normalisation."""
    stack: list[keras.layers.Layer] = [keras.Input(seed_shape)]
    for filters in (8, 16):
        stack += [layers.Conv2D(filters, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(10)])


class Training(NamedTuple):
    """One training of a seed."""

    data: Data
    model: keras.Model
    optimizer: Any = "adam"
    loss: str = "classes"  # "classes", "binary" or "number"
    epochs: int = EPOCHS


NORMAL = keras.initializers.RandomNormal

SOUND: dict[str, Callable[[int], Training]] = {
    "breast cancer, MLP": lambda seed: Training(
        table("breast_cancer", seed), dense((30,), 1), loss="binary", epochs=15
    ),
    "breast cancer, tanh": lambda seed: Training(table("breast_cancer", seed), dense((30,), 2, "tanh"), epochs=15),
    "wine, MLP": lambda seed: Training(table("wine", seed), dense((13,), 3)),
    "wine, sigmoid, SGD": lambda seed: Training(
        table("wine", seed), dense((13,), 3, "sigmoid"), keras.optimizers.SGD(0.1, momentum=0.9)
    ),
    "iris, MLP": lambda seed: Training(table("iris", seed), dense((4,), 3)),
    "diabetes, regression": lambda seed: Training(
        table("diabetes", seed), dense((10,), 1, width=8), loss="number", epochs=20
    ),
    "digits, MLP": lambda seed: Training(digits(seed), dense((8, 8, 1), 10)),
    "digits, CNN": lambda seed: Training(digits(seed), convolutional()),
    "digits, CNN, 60 epochs": lambda seed: Training(digits(seed), convolutional(), epochs=60),
    "digits 0 to 255, Rescaling": lambda seed: Training(
        digits(seed, high=255),
        keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), dense((8, 8, 1), 10)]),
    ),
}

PLANTED: dict[str, tuple[str, Callable[[int], Training]]] = {
    "learning rate 0": (
        "loss not decreasing",
        lambda seed: Training(digits(seed), dense((8, 8, 1), 10), keras.optimizers.SGD(0.0)),
    ),
    "learning rate 10": (
        "loss not decreasing",
        lambda seed: Training(digits(seed), dense((8, 8, 1), 10), keras.optimizers.SGD(10.0)),
    ),
    "labels at random": (
        "loss not decreasing",
        lambda seed: Training(digits(seed, noise=1.0), dense((8, 8, 1), 10, width=4)),
    ),
    "no regularisation, 30 % wrong labels": (
        "overfit",
        lambda seed: Training(
            Data(*(part[:600] for part in digits(seed, noise=0.3))),
            keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(256, "relu"), layers.Dense(10)]),
            epochs=80,
        ),
    ),
    "table of few rows, 30 % wrong labels": ("overfit", lambda seed: Training(noisy_table(seed), wide_mlp(30, 2))),
    "images in 0 to 255": (
        "unscaled input",
        lambda seed: Training(digits(seed, high=255), dense((8, 8, 1), 10), epochs=3),
    ),
    "table as it comes (breast cancer)": (
        "unscaled input",
        lambda seed: Training(table("breast_cancer", seed, scaled=False), dense((30,), 2), epochs=3),
    ),
    "table as it comes (wine)": (
        "unscaled input",
        lambda seed: Training(table("wine", seed, scaled=False), dense((13,), 3), epochs=3),
    ),
    "class 0 has 12 rows": (
        "class imbalance",
        lambda seed: Training(rare(table("breast_cancer", seed), 12), dense((30,), 2), epochs=3),
    ),
    "85 % of class 1 are labelled class 2 (wine)": (
        "neglected class",
        lambda seed: Training(relabelled(seed), dense((13,), 3)),
    ),
    "tanh, weights of 6": (
        "saturated activation",
        lambda seed: Training(
            digits(seed), dense((8, 8, 1), 10, "tanh", width=64, kernel_initializer=NORMAL(0, 6)), epochs=6
        ),
    ),
    "ReLU, learning rate 30": (
        "dead units",
        lambda seed: Training(digits(seed), dense((8, 8, 1), 10), keras.optimizers.SGD(30.0), epochs=8),
    ),
    "weights of 0.01, six layers": (
        "poor initialisation",
        lambda seed: Training(digits(seed), deep(NORMAL(0, 1e-2)), epochs=2),
    ),
    "weights of 2": (
        "poor initialisation",
        lambda seed: Training(digits(seed), dense((8, 8, 1), 10, kernel_initializer=NORMAL(0, 2)), epochs=2),
    ),
    "all weights zero": (
        "poor initialisation",
        lambda seed: Training(digits(seed), dense((8, 8, 1), 10, kernel_initializer="zeros"), epochs=2),
    ),
}


def relabelled(seed: int) -> Data:
    """Return wine with most labels of class 1 wrong in the training part."""
    data = table("wine", seed)
    y = data.y.copy()
    training = np.arange(len(y)) < 2 * len(y) // 3
    wrong = (np.random.default_rng(seed).random(len(y)) < 0.85) & (y == 1) & training
    y[wrong] = 2
    return Data(data.x, y)


def noisy_table(seed: int) -> Data:
    data = table("breast_cancer", seed)
    generator = np.random.default_rng(seed)
    wrong = generator.random(len(data.y)) < 0.3
    return Data(data.x[:300], np.where(wrong, 1 - data.y, data.y)[:300])


def wide_mlp(columns: int, units: int) -> keras.Model:
    hidden = [layers.Dense(256, "relu"), layers.Dense(256, "relu")]
    return keras.Sequential([keras.Input((columns,)), *hidden, layers.Dense(units)])


def deep(initializer: keras.initializers.Initializer) -> keras.Model:
    hidden = [layers.Dense(32, "relu", kernel_initializer=initializer) for _ in range(6)]
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), *hidden, layers.Dense(10)])


def flags_of(training: Training, seed: int) -> dict[str, str]:
    """Return the rules that were broken at any update of a training, each with its last sentence."""
    losses = keras.losses
    loss = {
        "classes": losses.SparseCategoricalCrossentropy(from_logits=True),
        "binary": losses.BinaryCrossentropy(from_logits=True),
        "number": losses.MeanSquaredError(),
    }[training.loss]
    training.model.compile(training.optimizer, loss, metrics=[] if training.loss == "number" else ["accuracy"])
    rows, held_out = training.data.training, training.data.held_out
    keras.utils.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as log_dir:
        probe = kx.Probe(held_out.x, held_out.y)
        checks = kx.TrainingChecks(log_dir, probe, live=(rows.x, rows.y), on_flag=lambda record: None, on_error="raise")
        training.model.fit(
            rows.x,
            rows.y,
            epochs=training.epochs,
            batch_size=32,
            verbose=0,
            validation_data=(held_out.x, held_out.y),
            callbacks=[checks],
        )
        records = kx.load(log_dir)["."].training_flags
    return {flag.kind: flag.sentence for record in records for flag in record.flags}


def recorded(runs: Path, kind: str, name: str, seed: int, make: Callable[[int], Training]) -> dict[str, str]:
    """Return the flags of a training, which is made unless a file holds them."""
    path = runs / f"{kind} {name} {seed}.json".replace("/", "-")
    if not path.exists():
        keras.utils.set_random_seed(seed)
        flags = flags_of(make(seed), seed)
        path.write_text(json.dumps(flags), encoding="utf-8")
        keras.backend.clear_session()
    flags = json.loads(path.read_text(encoding="utf-8"))
    print(kind, name, seed, flags, flush=True)
    return flags


def sound_table(seeds: int, directory: Path) -> list[str]:
    """Return the table of flags in sound trainings."""
    lines = ["| sound training | runs | " + " | ".join(RULES) + " |", "|---" * (2 + len(RULES)) + "|"]
    total: Counter[str] = Counter()
    runs = 0
    for name, make in SOUND.items():
        counts: Counter[str] = Counter()
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            counts.update(recorded(directory, "sound", name, seed, make).keys())
        total.update(counts)
        runs += seeds
        lines.append(f"| {name} | {seeds} | {' | '.join(str(counts[kind]) for kind in RULES)} |")
    lines.append(f"| all | {runs} | {' | '.join(str(Share(total[kind], runs)) for kind in RULES)} |")
    return lines


def planted_table(seeds: int, directory: Path) -> list[str]:
    """Return the table of planted faults, and of other rules that were broken with them."""
    lines = ["| planted fault | rule | runs | found | other rules broken |", "|---|---|---|---|---|"]
    for name, (kind, make) in PLANTED.items():
        counts: defaultdict[str, int] = defaultdict(int)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            for broken in recorded(directory, "planted", name, seed, make):
                counts[broken] += 1
        others = ", ".join(f"{other} {counts[other]}" for other in RULES if other != kind and counts[other])
        lines.append(f"| {name} | {kind} | {seeds} | {Share(counts[kind], seeds)} | {others} |")
    return lines


def cost_lines(rows: int = 640, epochs: int = 8) -> list[str]:
    """Return what the hooks take in CPU time; it does not depend on the rows that are trained on."""
    lines = ["| model | update, CPU ms | once, CPU ms |", "|---|---|---|"]
    for name in ("cnn", "mlp"):
        model, x, y, batch_size = MODELS[name]()
        x, y = x[:rows], y[:rows]
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        with tempfile.TemporaryDirectory() as log_dir:
            checks = kx.TrainingChecks(log_dir, kx.Probe(x[:128], y[:128]), live=(x, y), on_flag=lambda record: None)
            seconds: defaultdict[str, list[float]] = defaultdict(list)
            for hook in ("on_train_begin", "on_epoch_begin", "on_epoch_end"):
                setattr(checks, hook, _timed(getattr(checks, hook), seconds[hook]))
            model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[checks])
        update = statistics.median(seconds["on_epoch_end"][1:])
        once = seconds["on_train_begin"][0] + seconds["on_epoch_begin"][0]
        lines.append(f"| {name} | {1000 * update:.1f} | {1000 * once:.0f} |")
        print(lines[-1], flush=True)
    return lines


def _timed(hook: Callable[..., None], seconds: list[float]) -> Callable[..., None]:
    def run(*args: Any, **keywords: Any) -> None:
        begin = time.process_time()
        hook(*args, **keywords)
        seconds.append(time.process_time() - begin)

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--planted-seeds", type=int, help="of planted faults, where they are others")
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "keras_xai_training_checks")
    parser.add_argument("--cost", action="store_true", help="measure the cost alone")
    parser.add_argument("--out", type=Path, help="page whose measured part is replaced")
    options = parser.parse_args()
    if options.cost:
        cost_lines()
        return
    planted = options.seeds if options.planted_seeds is None else options.planted_seeds
    command = f"python -m benchmarks.training_checks --seeds {options.seeds} --planted-seeds {planted}"
    lines = [f"`{command}`, 95 % Wilson intervals in brackets.", ""]
    options.runs.mkdir(parents=True, exist_ok=True)
    lines += [*sound_table(options.seeds, options.runs), "", *planted_table(planted, options.runs)]
    print("\n".join(lines))
    if options.out is not None:
        text = options.out.read_text(encoding="utf-8")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        options.out.write_text(f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
