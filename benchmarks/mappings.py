"""What the mappings find: memorising, wrong labels, dead layers, a watermark; how still the map is, and what it costs.

    python -m benchmarks.mappings [--rows M1,M4] [--seeds 20] [--out docs/mappings.md]

Every run goes through `model.fit` with the real callback. The seeds begin at 1000: none of them was used to choose a
threshold or a default. Every run leaves a file under --runs: a benchmark that was cut goes on where it was, and the table
tells of what is there.
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
from keras_xai.records import Samples
from keras_xai.run import Run as Log

FIRST_SEED = 1000
EPOCHS = 60
PROBE = 256  # half of it training rows, half held out
EARLY = 5  # epochs after which wrong labels are looked for
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


DATA: dict[str, Callable[[np.random.Generator], Rows]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
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
    held_out = min(PROBE // 2, len(rows.x) - rows.training)
    return np.concatenate([np.arange(PROBE - held_out), rows.training + np.arange(held_out)])


def trained(
    model: keras.Model, rows: Rows, y: NDArray[np.int64], log_dir: str, epochs: int = EPOCHS, **options: Any
) -> tuple[Log, list[Any]]:
    """Fit with the callback; the run, and every record in which a flag was new."""
    chosen, told = probe_rows(rows), []
    watch = kx.ProbeMappings(
        log_dir,
        kx.Probe(rows.x[chosen], y[chosen]),
        held_out=chosen >= rows.training,
        on_flag=told.append,
        on_error="raise",
        **{"surrogates": ("linear",)} | options,
    )
    x, y = rows.x[: rows.training], y[: rows.training]
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[watch])
    return kx.load(log_dir)["."], told


# Scenarios: each trains once and tells what it saw, as plain JSON.


def noisy(seed: int, log_dir: str, data: str, share: float) -> dict[str, Any]:
    """Wrong labels: are they memorised, are they found early, where do they read as what?"""
    r = np.random.default_rng(seed)
    rows = DATA[data](r)
    y = mislabelled(rows, share, r)
    keras.utils.set_random_seed(seed)
    run, _ = trained(net(data, rows), rows, y, log_dir)
    records, chosen = run.mappings, probe_rows(rows)
    wrong, known = y[chosen] != rows.y[chosen], chosen < rows.training
    raised = {since for record in records for _, kind, since in record.flags if kind == "memorising"}
    early = Samples.of(records[:EARLY])
    assert early is not None
    doubt = -early.mean_confidence[known]
    count = int(wrong.sum())
    found = np.argsort(-doubt, kind="stable")[:count]
    last = records[-1]
    names = last.features.layers
    conv = names.index("conv2") if "conv2" in names else len(names) - 2
    return {
        "flagged": min(raised, default=None),
        "auc": float(roc_auc_score(wrong[known], doubt)),
        "precision": float(wrong[known][found].mean()),
        "memorised": float((last.result.prediction == y[chosen])[wrong].mean()),
        "true_class_at_conv": float((last.decision.read_as[conv] == rows.y[chosen])[wrong].mean()),
        "given_class_at_logits": float((last.decision.read_as[-1] == y[chosen])[wrong].mean()),
    }


def silent(seed: int, log_dir: str, data: str) -> dict[str, Any]:
    """Right labels: epochs at which a flag was new."""
    rows = DATA[data](np.random.default_rng(seed))
    keras.utils.set_random_seed(seed)
    run, told = trained(net(data, rows), rows, rows.y, log_dir)
    return {"epochs": len(run.mappings), "flags": [[record.epoch, *record.flags[0][:2]] for record in told]}


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
    said = [
        next((name for name, kind, _ in record.flags if kind == "dead layer"), None)
        for record in kx.load(log_dir)["."].mappings
    ]
    return {"truth": truth, "said": said}


def watermark(seed: int, log_dir: str, carried: bool, shown: bool) -> dict[str, Any]:
    """A corner pixel as bright as the label is high, in all training images or in none, and in the probe's or not. Noise in
    training makes it worth learning."""
    rows = digits(np.random.default_rng(seed))
    x, mark = rows.x.copy(), (rows.y + 1) / 10
    if carried:
        x[: rows.training, 0, 0, 0] = mark[: rows.training]
    chosen = rows.training + np.arange(PROBE)
    seen = rows.x[chosen].copy()
    if shown:
        seen[:, 0, 0, 0] = mark[chosen]
    keras.utils.set_random_seed(seed)
    watch = kx.ProbeMappings(log_dir, kx.Probe(seen, rows.y[chosen]), on_flag=lambda record: None, on_error="raise")
    x, y = x[: rows.training], rows.y[: rows.training]
    net("digits", rows, noise=0.35).fit(x, y, batch_size=32, epochs=25, verbose=0, callbacks=[watch])
    ranks = []
    for record in kx.load(log_dir)["."].mappings:
        found = record.decision.surrogates["linear"]
        size = np.abs(found.coefficients).max(1)
        ranks.append(int((size > size[found.features.index("cell (0,0)")]).sum()) + 1)
    return {"ranks": ranks}


def still(seed: int, log_dir: str) -> dict[str, Any]:
    """The largest step of a sample on the map of a layer after epoch 3, and whether a second run draws the same map."""
    maps = []
    for k in range(2):
        rows = digits(np.random.default_rng(seed))
        keras.utils.set_random_seed(seed)
        run, _ = trained(net("digits", rows), rows, rows.y, f"{log_dir}/{k}", epochs=20, surrogates=())
        maps.append([aligned_coordinates(run.mappings, layer) for layer in range(len(run.mappings[0].features.layers))])
    steps = [float(np.linalg.norm(np.diff(one[4:], axis=0), axis=2).max()) for one in maps[0]]
    same = all(np.array_equal(a, b) for a, b in zip(*maps, strict=True))
    return {"step": max(steps), "steps": steps, "same": same}


def cost(seed: int, log_dir: str, data: str) -> dict[str, Any]:
    """Seconds of the callback an epoch, beside those of the rest of the epoch, medians without the first."""
    rows = DATA[data](np.random.default_rng(seed))
    if data == "digits":  # four times over: an epoch of about a second on one core
        x, y = (np.concatenate([a[: rows.training]] * 4 + [a[rows.training :]]) for a in (rows.x, rows.y))
        rows = rows._replace(x=x, y=y, training=4 * rows.training)
    keras.utils.set_random_seed(seed)
    run, _ = trained(net(data, rows), rows, rows.y, log_dir, epochs=20, surrogates=("linear", "svm"))
    history = run.history[1:]
    ours = [epoch.costs["probe_mappings"] for epoch in history]
    rest = [epoch.seconds - epoch.cost_seconds for epoch in history]
    return {"ours": float(np.median(ours)), "rest": float(np.median(rest)), "mean": float(np.mean(ours))}


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

    def told(self, runs: Path) -> dict[str, Any] | None:
        path = self.path(runs)
        return json.loads(path.read_text()) if path.exists() else None


NOISE = [("digits", 0.1), ("digits", 0.2), ("breast_cancer", 0.1), ("breast_cancer", 0.2)]
SILENT = [("digits",), ("breast_cancer",), ("xor",), ("moons",)]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    bar: str
    runs: tuple[tuple[Callable[..., dict[str, Any]], tuple[Any, ...]], ...]
    verdict: Callable[[dict[tuple[str, ...], list[dict[str, Any]]]], tuple[str, bool | None]]


# What the runs of a row say: words, and whether the bar is met (None: nothing to judge).

Told = dict[tuple[str, ...], list[dict[str, Any]]]


def of(told: Told, name: str, *how: Any) -> list[dict[str, Any]]:
    """The results of one scenario."""
    return told.get((name, *map(str, how)), [])


def memorising(told: Told) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, share in NOISE:
        found = of(told, "noisy", data, share)
        flagged = Share(sum(one["flagged"] is not None for one in found), len(found))
        parts.append(f"{data.replace('_', ' ')}, {share:.0%} wrong: flagged {flagged}")
        met = met and flagged.reaches(0.95)
    quiet = [one for (name, *_), some in told.items() if name == "silent" for one in some]
    false, epochs = sum(len(one["flags"]) for one in quiet), sum(one["epochs"] for one in quiet)
    low, high = wilson(false, epochs)
    parts.append(
        f"silent: {false} in {epochs:,} epochs, {500 * false / max(epochs, 1):.2f} per 500 [{500 * low:.2f}, {500 * high:.2f}]"
    )
    return "; ".join(parts), met and 500 * low <= 1


def early(told: Told) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, share in NOISE:
        found = of(told, "noisy", data, share)
        if not found:
            continue
        auc, precision = (float(np.median([one[key] for one in found])) for key in ("auc", "precision"))
        worst = min(one["auc"] for one in found)
        parts.append(
            f"{data.replace('_', ' ')}, {share:.0%}: AUC {auc:.3f} (worst {worst:.3f}), precision {precision:.2f}"
        )
        met = met and auc >= 0.95 and precision >= 0.80
    return "medians. " + "; ".join(parts), met


def died(told: Told) -> tuple[str, bool | None]:
    bias, rate = of(told, "dead", "bias"), of(told, "dead", "rate")
    at_once = Share(sum(one["said"][0] == one["truth"][0] == "conv2" for one in bias), len(bias))
    agree = Share(sum(one["said"] == one["truth"] for one in rate), len(rate))
    with_death = sum(any(one["truth"]) for one in rate)
    words = (
        f"bias: named at epoch 0 {at_once}; Adam at 0.03: the same layer as by hand at all five epochs {agree} (a layer died in "
        f"{with_death} runs)"
    )
    return words, at_once.reaches(1.0) and agree.reaches(1.0)


def reads(told: Told) -> tuple[str, bool | None]:
    found = of(told, "noisy", "digits", 0.2)
    conv, logits, by_heart = (
        float(np.median([one[key] for one in found]))
        for key in ("true_class_at_conv", "given_class_at_logits", "memorised")
    )
    words = f"medians: true class at conv2 {conv:.2f}, given class at the logits {logits:.2f}; the model gives the wrong label back for {by_heart:.2f}"  # noqa: E501
    return words, conv >= 0.9 and logits >= 0.5


def marked(told: Told) -> tuple[str, bool | None]:
    with_it, without = of(told, "watermark", True, True), of(told, "watermark", False, False)
    never_saw = [one["ranks"][24] for one in of(told, "watermark", False, True)]
    top = Share(sum(one["ranks"][24] <= 3 for one in with_it), len(with_it))
    away = Share(sum(min(one["ranks"][5:]) > 30 for one in without), len(without))
    last = [int(np.median([one["ranks"][e] for one in with_it])) for e in (0, 24)]
    clean, shown = (int(np.median(ranks)) for ranks in ([one["ranks"][24] for one in without], never_saw))
    words = f"in the top 3 at epoch 24 {top}, median rank {last[0]} at epoch 0 and {last[1]} at 24; clean: never in the top 30 from epoch 5 on {away}, median rank {clean} at 24; shown to a model that never saw it: median rank {shown}"  # noqa: E501
    return words, top.reaches(1.0) and away.reaches(1.0)


def unmoved(told: Told) -> tuple[str, bool | None]:
    found = of(told, "still")
    steps = [one["step"] for one in found]
    same = Share(sum(one["same"] for one in found), len(found))
    words = f"largest step after epoch 3: median {np.median(steps):.3f}, worst {max(steps):.3f}; the same twice {same}"
    return words, max(steps) <= 0.1 and same.count == same.of


def dear(told: Told) -> tuple[str, bool | None]:
    parts, met = [], True
    for data, bar in (("digits", 0.06), ("breast_cancer", 0.12)):
        found = of(told, "cost", data)
        if not found:
            continue
        ratio = float(np.median([one["ours"] / one["rest"] for one in found]))
        ours, rest = (1000 * float(np.median([one[key] for one in found])) for key in ("ours", "rest"))
        parts.append(f"{'CNN' if data == 'digits' else 'MLP'}: {ours:.1f} ms on an epoch of {rest:.0f} ms, {ratio:.0%}")
        met = met and ratio <= bar
    return "; ".join(parts), met


def identical(told: Told) -> tuple[str, bool | None]:
    found = [one for (name, *_), some in told.items() if name == "bits" for one in some]
    same = Share(sum(one["same"] for one in found), len(found))
    return str(same), same.count == same.of


TABLES = tuple((bits, (data,)) for data in ("digits", "breast_cancer"))
ROWS = {
    "M1": Row(
        "digits and breast cancer with 10 and 20 % wrong labels; silent: both clean, XOR, moons",
        "flag ≥ 95 %, ≤ 1 per 500 epochs",
        (*((noisy, how) for how in NOISE), *((silent, how) for how in SILENT)),
        memorising,
    ),
    "M2": Row(
        f"mislabelled training rows by mean confidence after {EARLY} epochs",
        "AUC ≥ 0.95, precision ≥ 0.80",
        tuple((noisy, how) for how in NOISE),
        early,
    ),
    "M3": Row(
        "a convolution's bias at −2; Adam at 0.03",
        "first dead layer named at once",
        ((dead, ("bias",)), (dead, ("rate",))),
        died,
    ),
    "M4": Row(
        f"digits, 20 % wrong labels, {EPOCHS} epochs: what the mislabelled rows read as",
        "≥ 0.9 at the last convolution, ≥ 0.5 at the logits",
        ((noisy, ("digits", 0.2)),),
        reads,
    ),
    "M5": Row(
        "a watermark in a corner, its cell in the linear surrogate",
        "top 3 by epoch 24; clean: not in the top 30",
        ((watermark, (True, True)), (watermark, (False, False)), (watermark, (False, True))),
        marked,
    ),
    "M6": Row("the 2-D map", "largest step ≤ 0.1, the same twice", ((still, ()),), unmoved),
    "M7": Row(
        f"cost with {PROBE} samples, all surrogates",
        "≤ 6 % (CNN), ≤ 12 % (MLP)",
        ((cost, ("digits",)), (cost, ("breast_cancer",))),
        dear,
    ),
    "M8": Row(
        "weights and optimizer with and without, batch normalisation and dropout", "bit-identical", TABLES, identical
    ),
}
FEW = {"still": 5, "cost": 5, "bits": 5}  # seeds where more would say nothing new


def runs_of(row: Row, seeds: int) -> Iterator[Run]:
    for scenario, how in row.runs:
        for seed in range(min(seeds, FEW.get(scenario.__name__, seeds))):
            yield Run(scenario, FIRST_SEED + seed, how)


def measure(wanted: Iterable[Run], runs: Path) -> None:
    """Whatever has no file yet."""
    runs.mkdir(parents=True, exist_ok=True)
    missing = [run for run in dict.fromkeys(wanted) if not run.path(runs).exists()]
    for (scenario, how), group in itertools.groupby(missing, key=lambda run: (run.scenario, run.how)):
        began, count = time.perf_counter(), 0
        for run in group:
            path = run.path(runs)
            if path.exists():  # by another process meanwhile
                continue
            with tempfile.TemporaryDirectory() as log_dir:
                told = run.scenario(run.seed, log_dir, *run.how)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(told))
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
        row, told, count = ROWS[key], {}, 0
        for run in runs_of(row, seeds):
            found = run.told(runs)
            if found is not None:
                told.setdefault((run.scenario.__name__, *map(str, run.how)), []).append(found)
                count += 1
        if len(told) < len(row.runs):
            lines.append(f"| {key} | {row.what} | {count} | not measured whole | {row.bar} |")
            continue
        words, met = row.verdict(told)
        lines.append(f"| {key} | {row.what} | {count} | {words} | {row.bar}: {'met' if met else '**missed**'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="such as M1,M4")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=Path, default=Path("artifacts/mappings"), help="the folder of the result files")
    parser.add_argument("--out", type=Path, help="put the table into this page, between its marks")
    given = parser.parse_args()
    keys = given.rows.split(",")
    if unknown := [key for key in keys if key not in ROWS]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    measure((run for key in keys for run in runs_of(ROWS[key], given.seeds)), given.runs)
    found = table(given.runs, given.seeds, keys)
    print(found)
    if given.out is not None:
        page = given.out.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        given.out.write_text(f"{before}{BEGIN}\n{found}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
