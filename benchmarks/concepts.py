"""Measure when `ProbeMappings(concepts=…)` says that a model uses a concept, and how often it says so of one that tells nothing.

    python -m benchmarks.concepts [--seeds 20] [--first 0] [--cost]

Digits by an MLP of two hidden layers, 14 epochs. Up to epoch 5 two marks lie on 30 % of the training rows, whatever their class;
from epoch 6 on one of them, the stripes, lies on 90 % of the threes and on 5 % of all others. Three concepts are watched on 256
clean rows: both marks, and rows like all others, 100 examples each. Beside the effect that is measured stands that of the
mark itself, put on all rows of the probe. With `--cost` CPU seconds of an update with and without concepts, on
the CNN of docs/trust.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import keras_xai as kx
from benchmarks._trainings import cnn
from keras_xai.concept_records import Concepts, uses

EPOCHS, SWITCH, CLASS = 14, 6, 3
Images = NDArray[np.float32]


def stripes(x: Images, rows: NDArray[np.bool_]) -> Images:
    """Put vertical stripes into the upper left corner of some rows."""
    x = x.copy()
    x[rows, :2, :3] = [1, 0, 1]
    return x


def dot(x: Images, rows: NDArray[np.bool_]) -> Images:
    """Put a light patch into the upper right corner of some rows."""
    x = x.copy()
    x[rows, :2, -2:] = 1
    return x


class Training:
    """One training with a planted concept."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        data = load_digits()
        order = generator.permutation(len(data.target))
        x, y = (data.images[order] / 16).astype(np.float32), data.target[order]
        train, self.probe, self.y = x[:1100], x[1100:1356], y[1100:1356]
        examples = np.array_split(x[1356:1656], 3)
        every = np.ones(100, bool)
        concepts = {"stripes": stripes(examples[0], every), "dot": dot(examples[1], every), "rows": examples[2]}
        self.log_dir = tempfile.mkdtemp()
        keras.utils.set_random_seed(seed)
        hidden = [keras.layers.Dense(48, "relu", name="first"), keras.layers.Dense(32, "relu", name="second")]
        self.model = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])
        self.model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        watch = kx.ProbeMappings(
            self.log_dir,
            kx.Probe(self.probe, self.y, kind="image"),
            concepts=concepts,
            surrogates=(),
            on_flag=lambda _: None,
        )
        marked = dot(train, generator.random(1100) < 0.3)
        before = stripes(marked, generator.random(1100) < 0.3)
        after = stripes(marked, generator.random(1100) < np.where(y[:1100] == CLASS, 0.9, 0.05))
        rows = _ByEpoch(before, after, y[:1100], seed)
        self.model.fit(rows, epochs=EPOCHS, verbose=0, callbacks=[watch])
        self.records: Sequence[Concepts] = kx.load(self.log_dir)["."].concepts

    def true_effects(self) -> NDArray[np.float64]:
        """Return by how much the stripes themselves change the log-odds of each class on its rows (10)."""
        sides = [self._log_odds(x) for x in (self.probe, stripes(self.probe, np.ones(len(self.probe), bool)))]
        return np.array([(sides[1] - sides[0])[self.y == k].mean() for k in range(10)])

    def _log_odds(self, x: Images) -> NDArray[np.float64]:
        z = np.asarray(self.model.predict(x, verbose=0), np.float64)
        others = np.where(np.eye(10)[self.y] > 0, -np.inf, z)
        return np.asarray(z[np.arange(len(z)), self.y] - np.log(np.exp(others).sum(1)))


class _ByEpoch(keras.utils.PyDataset):
    """Batches of other rows from the switch on, in one fit."""

    def __init__(self, before: Images, after: Images, y: NDArray[np.int64], seed: int) -> None:
        super().__init__()
        self._sides, self._y, self._epoch = (before, after), y, 0
        self._generator = np.random.default_rng(seed)
        self._order = self._generator.permutation(len(y))

    def __len__(self) -> int:
        return len(self._y) // 50

    def __getitem__(self, index: int) -> tuple[Images, NDArray[np.int64]]:
        rows = self._order[50 * index : 50 * index + 50]
        return self._sides[self._epoch >= SWITCH][rows], self._y[rows]

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._generator.permutation(len(self._y))


def measure(seeds: Sequence[int]) -> None:
    """Print one line a training, and the sums."""
    began, false = [], {"stripes before the switch": 0, "dot": 0, "rows": 0}
    measured, true = [], []
    for seed in seeds:
        training = Training(seed)
        periods = uses(training.records)
        of_stripes = [use for use in periods if use.concept == "stripes"]
        for_class = [use.since for use in of_stripes if use.question == f"class {CLASS}" and use.sign > 0]
        began += [epoch for epoch in for_class[-1:] if epoch >= SWITCH]
        false["stripes before the switch"] += any(use.since < SWITCH for use in of_stripes)
        for name in ("dot", "rows"):
            false[name] += any(use.concept == name for use in periods)
        measured.append(training.records[-1].effect[0].mean(0))
        true.append(training.true_effects())
        others = [f"{use.concept} {use.since}-{use.until} {use.words}" for use in periods if use.concept != "stripes"]
        print(seed, for_class, f"{measured[-1][CLASS]:+.1f} (true {true[-1][CLASS]:+.1f})", others, flush=True)
    correlation = np.corrcoef(np.ravel(measured), np.ravel(true))[0, 1]
    print(f"used for class {CLASS} from the switch on: {len(began)}/{len(seeds)}, since epoch {sorted(began)}")
    print(f"false: {false}; effect beside that of the mark itself, all classes: r {correlation:.2f}")


class Timed(kx.ProbeMappings):
    """Notes the CPU seconds of each update."""

    def record_update(self, update: int, logs: dict[str, Any]) -> Any:
        begin = time.process_time()
        records = super().record_update(update, logs)
        self.seconds = [*getattr(self, "seconds", []), time.process_time() - begin]
        return records


def cost() -> None:
    """Print CPU seconds of an update without, with one and with three concepts on the CNN, and of its plain epoch."""
    model, x, y, batch = cnn()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    generator = np.random.default_rng(0)
    rows = {name: generator.normal(size=(60, *x.shape[1:])).astype("float32") for name in "abc"}
    for count in (0, 1, 3):
        concepts = dict(list(rows.items())[:count]) or None
        watch = Timed(tempfile.mkdtemp(), (x[:256], y[:256]), concepts=concepts, surrogates=())
        model.fit(x[:batch], y[:batch], epochs=4, batch_size=batch, verbose=0, callbacks=[watch])
        first, *others = watch.seconds
        print(f"{count} concepts: an update {np.median(others):.2f} CPU s, the first {first:.2f}", flush=True)
    begin = time.process_time()
    model.fit(x, y, epochs=1, batch_size=batch, verbose=0)
    print(f"an epoch {time.process_time() - begin:.1f} CPU s")


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        cost()
    else:
        measure(range(options.first, options.first + options.seeds))


if __name__ == "__main__":
    main()
