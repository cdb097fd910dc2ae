"""Measure what the mappings find, how still the map is, and what it costs.

    python -m benchmarks.mappings [--rows M1,M4] [--seeds 20] [--out docs/mappings.md]

They are to find memorising, wrong labels, dead layers and a watermark.
Every run goes through `model.fit` with the real callback. The seeds begin at 1000: none of them was used to choose a
threshold or a default. Every run leaves a file under --runs: a benchmark that was cut goes on where it was, and the table
holds what has been measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.metrics import roc_auc_score

import keras_xai as kx
from benchmarks._statistics import Share, wilson
from keras_xai.analysis.mappings import aligned_coordinates
from keras_xai.records import Mappings, Samples
from keras_xai.run import Run as Log

FIRST_SEED = 1000
EPOCHS = 60
PROBE_ROWS = 256  # half of them training rows, half held out
EARLY_EPOCHS = 5  # after which wrong labels are looked for
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"  # of the table in the page

# Data and models.


class Rows(NamedTuple):
    """Training rows first, held-out rows behind them."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    training: int
    classes: int


def digits(r: np.random.Generator) -> Rows:
    data = datasets.load_digits()
    order = r.permutation(len(data.target))
    x = (data.images / 16).astype(np.float32)[order, ..., None]
    return Rows(x, data.target[order].astype(np.int64), 1297, 10)


def breast_cancer(r: np.random.Generator) -> Rows:
    data = datasets.load_breast_cancer()
    order = r.permutation(len(data.target))
    x, y = data.data[order], data.target[order]
    x = (x - x[:400].mean(0)) / x[:400].std(0)
    return Rows(x.astype(np.float32), y.astype(np.int64), 400, 2)


def moons(r: np.random.Generator) -> Rows:
    x, y = datasets.make_moons(1200, noise=0.1, random_state=int(r.integers(2**31)))
    return Rows(x.astype(np.float32), y.astype(np.int64), 1000, 2)


def xor(r: np.random.Generator) -> Rows:
    x = r.uniform(-1, 1, (1200, 2)).astype(np.float32)
    return Rows(x, (x[:, 0] * x[:, 1] > 0).astype(np.int64), 1000, 2)


def small_table(data: Any, training: int, r: np.random.Generator) -> Rows:
    order = r.permutation(len(data.target))
    x, y = data.data[order], data.target[order]
    x = (x - x[:training].mean(0)) / x[:training].std(0)
    return Rows(x.astype(np.float32), y.astype(np.int64), training, int(y.max()) + 1)


def wine(r: np.random.Generator) -> Rows:
    return small_table(datasets.load_wine(), 120, r)


def iris(r: np.random.Generator) -> Rows:
    return small_table(datasets.load_iris(), 100, r)


def clusters(r: np.random.Generator) -> Rows:
    seed = int(r.integers(2**31))
    x, y = datasets.make_classification(
        1200,
        20,
        n_informative=8,
        n_redundant=4,
        n_classes=4,
        n_clusters_per_class=1,
        class_sep=1.5,
        flip_y=0,
        random_state=seed,
    )
    return Rows(x.astype(np.float32), y.astype(np.int64), 1000, 4)


DATA: dict[str, Callable[[np.random.Generator], Rows]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "iris": iris,
    "clusters": clusters,
    "moons": moons,
    "xor": xor,
}


def net(
    data: str, rows: Rows, *, rate: float | None = None, normalised: bool = False, noise: float = 0.0
) -> keras.Model:
    """Two convolutions and a hidden layer for images, three hidden layers for tables."""
    layers = keras.layers
    if data == "digits":
        stack: list[Any] = [
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
        ]
    else:
        stack = [layers.Dense(64, activation="relu", name=f"hidden{k}") for k in range(3)]
    if normalised:
        stack[1:1] = [layers.BatchNormalization(), layers.Dropout(0.2)]
    if noise:
        stack.insert(0, layers.GaussianNoise(noise))
    model = keras.Sequential([keras.Input(rows.x.shape[1:]), *stack, layers.Dense(rows.classes, name="scores")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate or 2e-3), loss, metrics=["accuracy"])
    return model


def mislabelled(rows: Rows, share: float, r: np.random.Generator) -> NDArray[np.int64]:
    """Labels of which a share of the training rows' is another class."""
    y = rows.y.copy()
    wrong = r.permutation(rows.training)[: round(share * rows.training)]
    y[wrong] = (y[wrong] + r.integers(1, rows.classes, len(wrong))) % rows.classes
    return y


def probe_rows(rows: Rows) -> NDArray[np.int64]:
    """The first training rows and the first held-out rows."""
    held_out = min(PROBE_ROWS // 2, len(rows.x) - rows.training)
    return np.concatenate([np.arange(min(PROBE_ROWS - held_out, rows.training)), rows.training + np.arange(held_out)])


def trained(
    model: keras.Model, rows: Rows, y: NDArray[np.int64], log_dir: str, epochs: int = EPOCHS, **options: Any
) -> tuple[Log, list[Any]]:
    """Fit with the callback; the run, and every record in which a flag was new."""
    chosen, flagged = probe_rows(rows), []
    watch = kx.ProbeMappings(
        log_dir,
        kx.Probe(rows.x[chosen], y[chosen]),
        held_out=chosen >= rows.training,
        on_flag=flagged.append,
        on_error="raise",
        **{"surrogates": ("linear",)} | options,
    )
    x, y = rows.x[: rows.training], y[: rows.training]
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[watch])
    return kx.load(log_dir)["."], flagged


# Scenarios: each trains once and returns its measurements, as plain JSON.


def noisy(seed: int, log_dir: str, data: str, share: float) -> dict[str, Any]:
    """Train on wrong labels: are they memorised, are they found early, and what does each layer read them as?"""
    r = np.random.default_rng(seed)
    rows = DATA[data](r)
    y = mislabelled(rows, share, r)
    keras.utils.set_random_seed(seed)
    run, _ = trained(net(data, rows), rows, y, log_dir)
    records, chosen = run.mappings, probe_rows(rows)
    wrong, trained_on = y[chosen] != rows.y[chosen], chosen < rows.training
    raised = {since for record in records for _, kind, since in record.flags if kind == "memorising"}
    last = records[-1]
    names = last.features.layers
    conv = names.index("conv2") if "conv2" in names else len(names) - 2
    return {
        "flagged": min(raised, default=None),
        **detection(run, wrong, trained_on),
        **errors_by_depth(last, rows.y[chosen], ~trained_on),
        "memorised": float((last.result.prediction == y[chosen])[wrong].mean()),
        "true_class_at_conv": float((last.decision.read_as[conv] == rows.y[chosen])[wrong].mean()),
        "given_class_at_logits": float((last.decision.read_as[-1] == y[chosen])[wrong].mean()),
    }


def detection(run: Log, wrong: NDArray[np.bool_], trained_on: NDArray[np.bool_]) -> dict[str, float]:
    """AUC and precision of wrong labels among training rows, after a few epochs and at the end, by label quality and parts."""
    early, late = Samples.of(run.mappings[:EARLY_EPOCHS]), run.samples
    assert early is not None
    assert late is not None
    truth, figures = wrong[trained_on], {}
    scores = {
        "": early.label_quality,
        "_confidence": early.mean_confidence,
        "_support": early.label_support,
        "_late": late.label_quality,
        "_late_confidence": late.mean_confidence,
    }
    for name, quality in scores.items():
        doubt = -quality[trained_on]
        suspects = np.argsort(-doubt, kind="stable")[: int(truth.sum())]
        figures[f"auc{name}"] = float(roc_auc_score(truth, doubt))
        figures[f"precision{name}"] = float(truth[suspects].mean())
    return figures


def errors_by_depth(record: Mappings, truth: NDArray[np.int64], held_out: NDArray[np.bool_]) -> dict[str, float | None]:
    """AUC of the errors on held-out rows by the model's certainty, by prediction depth and by both."""
    is_error = (record.result.prediction != truth)[held_out]
    if is_error.all() or not is_error.any():
        return dict.fromkeys(("errors_certainty", "errors_depth", "errors_both"))
    depth = record.prediction_depth[held_out] / (len(record.features.layers) - 1)
    certainty = record.result.certainty[held_out].astype(np.float64)
    return {
        "errors_certainty": float(roc_auc_score(is_error, -certainty)),
        "errors_depth": float(roc_auc_score(is_error, depth)),
        "errors_both": float(roc_auc_score(is_error, depth - certainty)),
    }


def early(seed: int, log_dir: str, data: str, share: float) -> dict[str, Any]:
    """The first epochs on wrong labels: are they found?"""
    r = np.random.default_rng(seed)
    rows = DATA[data](r)
    y = mislabelled(rows, share, r)
    keras.utils.set_random_seed(seed)
    run, _ = trained(net(data, rows), rows, y, log_dir, epochs=EARLY_EPOCHS, surrogates=())
    chosen = probe_rows(rows)
    return detection(run, y[chosen] != rows.y[chosen], chosen < rows.training)


def silent(seed: int, log_dir: str, data: str) -> dict[str, Any]:
    """Train on right labels: the epochs at which a flag was new."""
    rows = DATA[data](np.random.default_rng(seed))
    keras.utils.set_random_seed(seed)
    run, flagged = trained(net(data, rows), rows, rows.y, log_dir)
    return {"epochs": len(run.mappings), "flags": [[record.epoch, *record.flags[0][:2]] for record in flagged]}


def dead(seed: int, log_dir: str, how: str) -> dict[str, Any]:
    """A layer dies, by its bias or by the learning rate: is the first one named in the epoch in which it does?"""
    rows = digits(np.random.default_rng(seed))
    keras.utils.set_random_seed(seed)
    model = net("digits", rows, rate=0.03 if how == "rate" else None)
    if how == "bias":
        model.get_layer("conv2").bias.assign(np.full(32, -2.0))
    x, truth = rows.x[probe_rows(rows)], []

    def look(epoch: int, logs: Any = None) -> None:  # layer by layer, by hand
        a, first = x, None
        for layer in model.layers:
            a = layer(a)
            if first is None and not np.asarray(a).any():
                first = layer.name
        truth.append(first)

    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    chosen = probe_rows(rows)
    probe = kx.Probe(rows.x[chosen], rows.y[chosen])
    mappings = kx.ProbeMappings(log_dir, probe, surrogates=(), on_flag=lambda record: None, on_error="raise")
    model.fit(rows.x[: rows.training], rows.y[: rows.training], epochs=5, verbose=0, callbacks=[watch, mappings])
    named = []
    for record in kx.load(log_dir)["."].mappings:
        dead_layers = [name for name, kind, _ in record.flags if kind == "dead layer"]
        named.append(dead_layers[0] if dead_layers else None)
    return {"truth": truth, "said": named}


def watermark(seed: int, log_dir: str, training_marked: bool, probe_marked: bool) -> dict[str, Any]:
    """Mark a corner pixel as bright as the label is high, in all training images or in none, and in the probe's or not.

    Noise in training makes it worth learning.
    """
    rows = digits(np.random.default_rng(seed))
    x, mark = rows.x.copy(), (rows.y + 1) / 10
    if training_marked:
        x[: rows.training, 0, 0, 0] = mark[: rows.training]
    chosen = rows.training + np.arange(PROBE_ROWS)
    probe_images = rows.x[chosen].copy()
    if probe_marked:
        probe_images[:, 0, 0, 0] = mark[chosen]
    keras.utils.set_random_seed(seed)
    watch = kx.ProbeMappings(
        log_dir, kx.Probe(probe_images, rows.y[chosen]), on_flag=lambda record: None, on_error="raise"
    )
    x, y = x[: rows.training], rows.y[: rows.training]
    net("digits", rows, noise=0.35).fit(x, y, batch_size=32, epochs=25, verbose=0, callbacks=[watch])
    ranks = []
    for record in kx.load(log_dir)["."].mappings:
        surrogate = record.decision.surrogates["linear"]
        size = np.abs(surrogate.coefficients).max(1)
        ranks.append(int((size > size[surrogate.features.index("cell (0,0)")]).sum()) + 1)
    return {"ranks": ranks}


def still(seed: int, log_dir: str) -> dict[str, Any]:
    """The largest step of a sample on the map of a layer after epoch 3, and whether a second run draws the same map."""
    maps = []
    for k in range(2):
        rows = digits(np.random.default_rng(seed))
        keras.utils.set_random_seed(seed)
        run, _ = trained(net("digits", rows), rows, rows.y, f"{log_dir}/{k}", epochs=20, surrogates=())
        maps.append([aligned_coordinates(run.mappings, layer) for layer in range(len(run.mappings[0].features.layers))])
    steps = [float(np.linalg.norm(np.diff(layer[4:], axis=0), axis=2).max()) for layer in maps[0]]
    same = all(np.array_equal(a, b) for a, b in zip(*maps, strict=True))
    return {"step": max(steps), "steps": steps, "same": same}


def cost(seed: int, log_dir: str, data: str) -> dict[str, Any]:
    """Seconds of the callback an epoch, beside those of the epoch without it, medians without the first."""
    rows = DATA[data](np.random.default_rng(seed))
    if data == "digits":  # four times over: an epoch of about a second on one core
        x, y = (np.concatenate([a[: rows.training]] * 4 + [a[rows.training :]]) for a in (rows.x, rows.y))
        rows = rows._replace(x=x, y=y, training=4 * rows.training)
    keras.utils.set_random_seed(seed)
    run, _ = trained(net(data, rows), rows, rows.y, log_dir, epochs=20, surrogates=("linear", "svm"))
    history = run.history[1:]
    callback_seconds = [epoch.costs["probe_mappings"] for epoch in history]
    training_seconds = [epoch.seconds - epoch.cost_seconds for epoch in history]
    return {
        "ours": float(np.median(callback_seconds)),
        "rest": float(np.median(training_seconds)),
        "mean": float(np.mean(callback_seconds)),
    }


def bits(seed: int, log_dir: str, data: str) -> dict[str, Any]:
    """Weights and optimizer with and without the callback."""
    states = []
    for watched in (False, True):
        rows = DATA[data](np.random.default_rng(seed))
        keras.utils.set_random_seed(seed)
        model = net(data, rows, normalised=True)
        if watched:
            trained(model, rows, rows.y, log_dir, epochs=5, surrogates=("linear", "svm"))
        else:
            model.fit(rows.x[: rows.training], rows.y[: rows.training], batch_size=32, epochs=5, verbose=0)
        states.append([*model.get_weights(), *(np.asarray(v) for v in model.optimizer.variables)])
    return {"same": all(np.array_equal(a, b) for a, b in zip(*states, strict=True))}


class Run(NamedTuple):
    """One scenario with one seed."""

    scenario: Callable[..., dict[str, Any]]
    seed: int
    how: tuple[Any, ...] = ()

    def path(self, runs: Path) -> Path:
        return runs / f"{'-'.join([self.scenario.__name__, *map(str, self.how)])}.{self.seed}.json"

    def result(self, runs: Path) -> dict[str, Any] | None:
        path = self.path(runs)
        return json.loads(path.read_text()) if path.exists() else None


NOISE = [("digits", 0.1), ("digits", 0.2), ("breast_cancer", 0.1), ("breast_cancer", 0.2)]
# Data on which nothing was chosen.
UNSEEN_NOISE = [(data, share) for data in ("wine", "iris", "clusters") for share in (0.1, 0.2)]
SILENT = [("digits",), ("breast_cancer",), ("xor",), ("moons",)]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    bar: str
    runs: tuple[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]], ...]
    verdict: Callable[[dict[tuple[str, ...], list[dict[str, Any]]]], tuple[str, bool | None]]


# Verdicts on the runs of a row: words, and whether the bar is met (None: nothing to judge).

Results = dict[tuple[str, ...], list[dict[str, Any]]]


def results_of(results: Results, name: str, *how: Any) -> list[dict[str, Any]]:
    """The results of one scenario."""
    return results.get((name, *map(str, how)), [])


def median_of(runs: list[dict[str, Any]], key: str) -> float:
    """The median of one measurement over the runs."""
    return float(np.median([run[key] for run in runs]))


def median_rank(runs: list[dict[str, Any]], epoch: int) -> int:
    """The median rank of the watermark's cell at an epoch."""
    return int(np.median([run["ranks"][epoch] for run in runs]))


def memorising_verdict(results: Results) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, share in NOISE:
        runs = results_of(results, "noisy", data, share)
        flagged = Share(sum(run["flagged"] is not None for run in runs), len(runs))
        parts.append(f"{data.replace('_', ' ')}, {share:.0%} wrong: flagged {flagged}")
        met = met and flagged.reaches(0.95)
    silent_runs = [run for (name, *_), runs in results.items() if name == "silent" for run in runs]
    false, epochs = sum(len(run["flags"]) for run in silent_runs), sum(run["epochs"] for run in silent_runs)
    low, high = wilson(false, epochs)
    parts.append(
        f"silent: {false} in {epochs:,} epochs, {500 * false / max(epochs, 1):.2f} per 500 [{500 * low:.2f}, {500 * high:.2f}]"
    )
    return "; ".join(parts), met and 500 * low <= 1


def early_verdict(results: Results) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, share in [*NOISE, *UNSEEN_NOISE]:
        runs = results_of(results, "early", data, share)
        if not runs:
            continue
        auc, precision = median_of(runs, "auc"), median_of(runs, "precision")
        worst, alone = min(run["auc"] for run in runs), median_of(runs, "auc_confidence")
        precision_alone = median_of(runs, "precision_confidence")
        parts.append(
            f"{data.replace('_', ' ')}, {share:.0%}: AUC {auc:.3f} (worst {worst:.3f}; confidence alone {alone:.3f}), "
            f"precision {precision:.2f} ({precision_alone:.2f})"
        )
        met = met and auc >= 0.95 and precision >= 0.80
    return "medians. " + "; ".join(parts), met


def dead_layer_verdict(results: Results) -> tuple[str, bool | None]:
    bias, rate = results_of(results, "dead", "bias"), results_of(results, "dead", "rate")
    at_once = Share(sum(run["said"][0] == run["truth"][0] == "conv2" for run in bias), len(bias))
    agree = Share(sum(run["said"] == run["truth"] for run in rate), len(rate))
    with_death = sum(any(run["truth"]) for run in rate)
    words = (
        f"bias: named at epoch 0 {at_once}; Adam at 0.03: the same layer as by hand at all five epochs {agree} (a layer died in "
        f"{with_death} runs)"
    )
    return words, at_once.reaches(1.0) and agree.reaches(1.0)


def readout_verdict(results: Results) -> tuple[str, bool | None]:
    runs = results_of(results, "noisy", "digits", 0.2)
    conv, logits = median_of(runs, "true_class_at_conv"), median_of(runs, "given_class_at_logits")
    memorised = median_of(runs, "memorised")
    words = f"medians: true class at conv2 {conv:.2f}, given class at the logits {logits:.2f}; the model gives the wrong label back for {memorised:.2f}"  # noqa: E501
    return words, conv >= 0.9 and logits >= 0.5


def depth_verdict(results: Results) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, share in NOISE[1::2]:
        runs = results_of(results, "noisy", data, share)
        certainty, depth, both = (median_of(runs, f"errors_{name}") for name in ("certainty", "depth", "both"))
        parts.append(
            f"{data.replace('_', ' ')}: AUC {both:.3f} by depth and certainty, {depth:.3f} by depth, {certainty:.3f} by certainty"
        )
        met = met and both > certainty
    return "medians. " + "; ".join(parts), met


def watermark_verdict(results: Results) -> tuple[str, bool | None]:
    with_it, without = results_of(results, "watermark", True, True), results_of(results, "watermark", False, False)
    marked_probe_only = results_of(results, "watermark", False, True)
    top = Share(sum(run["ranks"][24] <= 3 for run in with_it), len(with_it))
    away = Share(sum(min(run["ranks"][5:]) > 30 for run in without), len(without))
    first, last = median_rank(with_it, 0), median_rank(with_it, 24)
    clean, unlearned = median_rank(without, 24), median_rank(marked_probe_only, 24)
    words = f"in the top 3 at epoch 24 {top}, median rank {first} at epoch 0 and {last} at 24; clean: never in the top 30 from epoch 5 on {away}, median rank {clean} at 24; shown to a model that never saw it: median rank {unlearned}"  # noqa: E501
    return words, top.reaches(1.0) and away.reaches(1.0)


def map_verdict(results: Results) -> tuple[str, bool | None]:
    runs = results_of(results, "still")
    steps = [run["step"] for run in runs]
    same = Share(sum(run["same"] for run in runs), len(runs))
    words = f"largest step after epoch 3: median {np.median(steps):.3f}, worst {max(steps):.3f}; the same twice {same}"
    return words, max(steps) <= 0.1 and same.count == same.of


def cost_verdict(results: Results) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, bar in (("digits", 0.06), ("breast_cancer", 0.12)):
        runs = results_of(results, "cost", data)
        if not runs:
            continue
        ratio = float(np.median([run["ours"] / run["rest"] for run in runs]))
        callback, training = 1000 * median_of(runs, "ours"), 1000 * median_of(runs, "rest")
        model = "CNN" if data == "digits" else "MLP"
        parts.append(f"{model}: {callback:.1f} ms on an epoch of {training:.0f} ms, {ratio:.0%}")
        met = met and ratio <= bar
    return "; ".join(parts), met


def bits_verdict(results: Results) -> tuple[str, bool | None]:
    bits_runs = [run for (name, *_), runs in results.items() if name == "bits" for run in runs]
    same = Share(sum(run["same"] for run in bits_runs), len(bits_runs))
    return str(same), same.count == same.of


BITS_RUNS = tuple((bits, (data,)) for data in ("digits", "breast_cancer"))
ROWS = {
    "M1": Row(
        "digits and breast cancer with 10 and 20 % wrong labels; silent: both clean, XOR, moons",
        "flag ≥ 95 %, ≤ 1 per 500 epochs",
        (*((noisy, how) for how in NOISE), *((silent, how) for how in SILENT)),
        memorising_verdict,
    ),
    "M2": Row(
        f"mislabelled training rows by label quality after {EARLY_EPOCHS} epochs",
        "AUC ≥ 0.95, precision ≥ 0.80",
        tuple((early, how) for how in (*NOISE, *UNSEEN_NOISE)),
        early_verdict,
    ),
    "M3": Row(
        "a convolution's bias at −2; Adam at 0.03",
        "first dead layer named at once",
        ((dead, ("bias",)), (dead, ("rate",))),
        dead_layer_verdict,
    ),
    "M4": Row(
        f"digits, 20 % wrong labels, {EPOCHS} epochs: what the mislabelled rows read as",
        "≥ 0.9 at the last convolution, ≥ 0.5 at the logits",
        ((noisy, ("digits", 0.2)),),
        readout_verdict,
    ),
    "M5": Row(
        "a watermark in a corner, its cell in the linear surrogate",
        "top 3 by epoch 24; clean: not in the top 30",
        ((watermark, (True, True)), (watermark, (False, False)), (watermark, (False, True))),
        watermark_verdict,
    ),
    "M6": Row("the 2-D map", "largest step ≤ 0.1, the same twice", ((still, ()),), map_verdict),
    "M7": Row(
        f"cost with {PROBE_ROWS} samples, all surrogates",
        "≤ 6 % (CNN), ≤ 12 % (MLP)",
        ((cost, ("digits",)), (cost, ("breast_cancer",))),
        cost_verdict,
    ),
    "M8": Row(
        "weights and optimizer with and without, batch normalisation and dropout",
        "bit-identical",
        BITS_RUNS,
        bits_verdict,
    ),
    "M9": Row(
        f"20 % wrong labels, {EPOCHS} epochs: errors on held-out rows by prediction depth",
        "with depth better than by certainty alone",
        tuple((noisy, how) for how in NOISE[1::2]),
        depth_verdict,
    ),
}
FEWER_SEEDS = {"still": 5, "cost": 5, "bits": 5}  # where more would say nothing new


def runs_of(row: Row, seeds: int) -> Iterator[Run]:
    for scenario, how in row.runs:
        for seed in range(min(seeds, FEWER_SEEDS.get(scenario.__name__, seeds))):
            yield Run(scenario, FIRST_SEED + seed, how)


def measure(planned: Iterable[Run], runs: Path) -> None:
    """Run whatever has no file yet."""
    runs.mkdir(parents=True, exist_ok=True)
    missing = [run for run in dict.fromkeys(planned) if not run.path(runs).exists()]
    for (scenario, how), group in itertools.groupby(missing, key=lambda run: (run.scenario, run.how)):
        began, count = time.perf_counter(), 0
        for run in group:
            path = run.path(runs)
            if path.exists():  # by another process meanwhile
                continue
            with tempfile.TemporaryDirectory() as log_dir:
                result = run.scenario(run.seed, log_dir, *run.how)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(result))
            part.replace(path)
            keras.backend.clear_session()
            count += 1
        each = (time.perf_counter() - began) / max(1, count)
        print(scenario.__name__, *how, f"{count} runs, {each:.1f} s each", flush=True)


def table(runs: Path, seeds: int, keys: Iterable[str]) -> str:
    """The measured lines, as Markdown."""
    lines = [
        f"`python -m benchmarks.mappings`, keras_xai {kx.__version__}. Brackets are 95 % Wilson intervals.",
        "",
        "| | what | runs | measured | bar |",
        "|---|---|---|---|---|",
    ]
    for key in keys:
        row, results, count = ROWS[key], {}, 0
        for run in runs_of(row, seeds):
            result = run.result(runs)
            if result is not None:
                results.setdefault((run.scenario.__name__, *map(str, run.how)), []).append(result)
                count += 1
        if len(results) < len(row.runs):
            lines.append(f"| {key} | {row.what} | {count} | not measured whole | {row.bar} |")
            continue
        words, met = row.verdict(results)
        lines.append(f"| {key} | {row.what} | {count} | {words} | {row.bar}: {'met' if met else '**missed**'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="such as M1,M4")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=Path, default=Path("artifacts/mappings"), help="the folder of the result files")
    parser.add_argument("--out", type=Path, help="put the table into this page, between its marks")
    options = parser.parse_args()
    keys = options.rows.split(",")
    if unknown := [key for key in keys if key not in ROWS]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    measure((run for key in keys for run in runs_of(ROWS[key], options.seeds)), options.runs)
    text = table(options.runs, options.seeds, keys)
    print(text)
    if options.out is not None:
        page = options.out.read_text(encoding="utf-8")
        before, _, behind = page.partition(BEGIN)
        _, _, after = behind.partition(END)
        options.out.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
