"""The rows of the drift benchmark: their scenarios, their runs, what these come to, and the table."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


import keras_xai as kx
from benchmarks._statistics import Share, wilson
from benchmarks.drift_scenarios import EPOCHS, RATES, Scenario, Training

WITHIN = 2  # epochs after the change
FIRST = 3  # features of an alarm
EVERY_TENTH = 10  # seeds: one of them goes through `fit` too
CLEAN, LIVE, EITHER, WITH_DATA = ("clean",), ("live",), ("clean", "live"), ("live", "data")


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    scenarios: tuple[Scenario, ...]
    counts: tuple[str, ...] = ()  # whose alarms find a change; none: a silent row
    detected: float = 0.0  # the bars
    located: float = 0.0
    judged: bool = False  # whether the verdict has a bar
    verdict: str = "data changed"  # the right one
    stretch: bool = False


SIX = (
    ("breast_cancer", ""),
    ("breast_cancer", "model"),
    ("wine", ""),
    ("synthetic", ""),
    ("digits", ""),
    ("digits", "model"),
)


def silent(*changes: str) -> tuple[Scenario, ...]:
    return tuple(Scenario(data, change, noise) for data, noise in SIX for change in changes)


def planted(data: str, *changes: str, noise: str = "", **how: Any) -> tuple[Scenario, ...]:
    return tuple(Scenario(data, change, noise, **how) for change in changes)


ROWS = {
    "B1": Row("silent: nothing, a drop of the learning rate, cosine", silent("nothing", "drop", "cosine")),
    "B2": Row("silent: warm restart, learning rate × 3", silent("warm_restart", "tripled")),
    "B3": Row(
        "synthetic: a column leaks (correlation 0.8); fixed probe",
        planted("synthetic", "leak_80", live=False),
        CLEAN,
        0.95,
        0.95,
    ),
    "B4": Row(
        "noisy breast cancer: a column leaks (0.95); fixed probe",
        planted("breast_cancer", "leak", noise="model", live=False),
        CLEAN,
        0.90,
        0.90,
    ),
    "B5": Row(
        "synthetic: a top-3 column permuted / scaled × 10; fixed probe",
        planted("synthetic", "permuted", "scaled", live=False),
        CLEAN,
        0.95,
    ),
    "B6": Row(
        "breast cancer, synthetic, noisy breast cancer: a top-3 column zeroed; live rows",
        planted("breast_cancer", "zeroed")
        + planted("synthetic", "zeroed")
        + planted("breast_cancer", "zeroed", noise="model"),
        LIVE,
        0.95,
        judged=True,
    ),
    "B7": Row(
        "noisy digits: watermark as bright as the label / on half of the even digits; live rows",
        planted("digits", "watermark", "half_watermark", noise="model"),
        LIVE,
        0.95,
        0.90,
        judged=True,
    ),
    "B8": Row(
        "noisy digits: 40 % of the labels drawn anew; fixed probe",
        planted("digits", "label_noise", noise="model", live=False),
        CLEAN,
        0.95,
    ),
    "B9": Row(
        "noise redrawn at each read: column zeroed, column leaks, both watermarks; live rows and data score",
        planted("breast_cancer", "zeroed", "leak", noise="pipeline")
        + planted("digits", "watermark", "half_watermark", noise="pipeline"),
        WITH_DATA,
        0.95,
        judged=True,
    ),
    "B10": Row(
        "noise redrawn at each read, the data as they were: a hidden layer reversed; live rows",
        planted("breast_cancer", "reversed_layer", noise="pipeline")
        + planted("digits", "reversed_layer", noise="pipeline"),
        WITH_DATA,
        verdict="reliance moved",
        judged=True,
    ),
    "S1": Row(
        "noisy breast cancer: a top-3 column permuted; fixed probe",
        planted("breast_cancer", "permuted", noise="model", live=False),
        CLEAN,
        stretch=True,
    ),
    "S2": Row(
        "breast cancer: a column leaks (0.8); fixed probe",
        planted("breast_cancer", "leak_80", live=False),
        CLEAN,
        stretch=True,
    ),
    "S3": Row("wine: a column leaks (0.95); fixed probe", planted("wine", "leak", live=False), CLEAN, stretch=True),
    "S4": Row(
        "noisy digits: a watermark on one class; live rows",
        planted("digits", "class_watermark", noise="model"),
        LIVE,
        stretch=True,
    ),
    "S5": Row(
        "noisy digits: a watermark on one class; fixed probe, per class",
        planted("digits", "class_watermark", noise="model", live=False, per_class=True),
        CLEAN,
        stretch=True,
    ),
    "S6": Row(
        "noisy digits: half watermark under random shift and brightness; live rows and data score",
        planted("digits", "half_watermark_shifted", noise="model"),
        WITH_DATA,
        stretch=True,
    ),
    "S7": Row(
        "as S1, with live rows",
        planted("breast_cancer", "permuted", noise="model"),
        EITHER,
        stretch=True,
    ),
    "S8": Row(
        "as S2, with live rows",
        planted("breast_cancer", "leak_80"),
        EITHER,
        stretch=True,
    ),
    "S9": Row("as S3, with live rows", planted("wine", "leak"), EITHER, stretch=True),
}


# Runs.


class Run(NamedTuple):
    """One scenario with one seed, on the loop or through `fit`."""

    scenario: Scenario
    seed: int
    through_fit: bool = False

    def path(self, runs: Path) -> Path:
        return runs / f"{self.scenario.name}.{self.seed}{'.fit' * self.through_fit}.json"


def runs_of(row: Row, seeds: int) -> Iterator[Run]:
    """A silent scenario takes the optimizers in turn."""
    turns = list(RATES)
    for scenario, seed in itertools.product(row.scenarios, range(seeds)):
        optimizer = scenario.optimizer if row.counts else turns[seed % len(turns)]
        yield Run(dataclasses.replace(scenario, optimizer=optimizer), seed)


def result(run: Run) -> dict[str, Any]:
    """Train, and return what is written to a file, as plain JSON."""
    began = time.perf_counter()
    training = Training(run.scenario, run.seed)
    alarms = training.in_fit() if run.through_fit else training.in_a_loop()
    return {
        "change": training.change,
        "guilty": [training.probe.features[f] for f in training.guilty],
        "alarms": [alarm._asdict() for alarm in alarms],
        "seconds": round(time.perf_counter() - began, 2),
    }


def measure(requested: Iterable[Run], runs: Path) -> None:
    """Whatever has no file yet."""
    runs.mkdir(parents=True, exist_ok=True)
    missing = [run for run in dict.fromkeys(requested) if not run.path(runs).exists()]
    lab = lambda run: (run.scenario.data, run.scenario.noise, run.scenario.optimizer)  # noqa: E731
    for key, group in itertools.groupby(missing, key=lab):
        began, count = time.perf_counter(), 0
        for run in group:
            path = run.path(runs)
            if path.exists():  # by another process meanwhile
                continue
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(result(run)))
            part.replace(path)
            count += 1
        print(
            *filter(None, key),
            f"{count} runs",
            f"{(time.perf_counter() - began) / max(1, count):.1f} s each",
            flush=True,
        )


# What they say.


@dataclass(frozen=True)
class Outcome:
    """A row, as far as it is measured."""

    detected: Share
    located: Share  # of those detected
    judged: Share  # every alarm within two epochs has the right verdict, of those detected with live rows
    false_alarms: Share  # epochs with an alarm, of all without a change
    seeds: tuple[int, int]  # the fewest and most of a scenario
    agreed: Share  # runs through `fit` that said the same as the loop
    missing: tuple[str, ...] = ()  # what the bar asks and the row does not give


def outcome(row: Row, runs: Path, seeds: int) -> Outcome:
    detected = located = judged = false = quiet = agreed = through_fit = 0
    total, to_judge, to_locate, per_scenario = 0, 0, 0, dict.fromkeys(row.scenarios, 0)
    for run in runs_of(row, seeds):
        path = run.path(runs)
        if not path.exists():
            continue
        measured = json.loads(path.read_text())
        total += 1
        per_scenario[dataclasses.replace(run.scenario, optimizer="adam")] += 1
        change = measured["change"] if row.counts else EPOCHS
        alarms = measured["alarms"]
        false += len({(a["epoch"], a["source"]) for a in alarms if a["epoch"] < change})
        quiet += change
        hits = [a for a in alarms if change <= a["epoch"] <= change + WITHIN and a["source"] in row.counts]
        if hits:
            detected += 1
            if measured["guilty"]:
                to_locate += 1
                located += any(_guilty(name, measured["guilty"]) for a in hits for name in a["features"][:FIRST])
            if run.scenario.live:  # who does not see the data cannot say that they changed
                to_judge += 1
                prompt_alarms = [a for a in alarms if change <= a["epoch"] <= change + WITHIN]
                judged += all(a["verdict"] == row.verdict for a in prompt_alarms)
        again = run._replace(through_fit=True).path(runs)
        if again.exists():
            through_fit += 1
            agreed += json.loads(again.read_text())["alarms"] == alarms
    shares = Share(detected, total), Share(located, to_locate), Share(judged, to_judge)
    missing = [
        word
        for word, share, bar in zip(("found", "located"), shares, (row.detected, row.located), strict=False)
        if share.of and not share.reaches(bar)
    ]
    if row.judged and shares[2].of and not shares[2].reaches(0.95):
        missing.append("verdict")
    if not row.counts and wilson(false, quiet)[0] > 1 / 500:
        missing.append("false alarms")
    counts = per_scenario.values()
    return Outcome(*shares, Share(false, quiet), (min(counts), max(counts)), Share(agreed, through_fit), tuple(missing))


def _guilty(name: str, guilty: list[str]) -> bool:
    return name.split(", class ")[0] in guilty


def rate(share: Share) -> str:
    """Alarms in 500 epochs."""
    if not share.of:
        return "–"
    low, high = wilson(share.count, share.of)
    return f"{share.count} in {share.of:,}: {500 * share.count / share.of:.2f} [{500 * low:.2f}, {500 * high:.2f}]"


def table(runs: Path, seeds: int, keys: Iterable[str]) -> str:
    """The page."""
    lines = [
        "# Importance drift, measured",
        "",
        f"`python -m benchmarks.drift`, keras_xai {kx.__version__}. What the rows mean and how it is measured:"
        " [Importance drift](drift.md).",
        "Brackets are 95 % Wilson intervals; a bar is missed where the whole interval lies on its wrong side. Located and"
        " verdict are shares of the changes found. False alarms are counted over all epochs of silent runs, and before the"
        " change in the others, in alarms per 500 epochs.",
        "",
        "| | what changes, and who looks | seeds a scenario | found within 2 epochs | located | verdict right | false alarms per"
        " 500 epochs | the same through `fit` | bar |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key in keys:
        row, got = ROWS[key], outcome(ROWS[key], runs, seeds)
        few, many = got.seeds
        if not many:
            lines.append(f"| {key} | {row.what} | 0 | not measured | | | | | |")
            continue
        verdict = str(got.judged) if got.judged.of else ""
        lines.append(
            f"| {key} | {row.what} | {few if few == many else f'{few} to {many}'} | {got.detected if row.counts else ''} | "
            f"{got.located if row.counts else ''} | {verdict} | {rate(got.false_alarms)} | "
            f"{got.agreed.count} of {got.agreed.of} | {bar(row, got)} |"
        )
    return "\n".join(lines) + "\n"


def bar(row: Row, got: Outcome) -> str:
    if row.stretch:
        return "none"
    words = [f"found ≥ {row.detected:.0%}"] * bool(row.detected) + [f"located ≥ {row.located:.0%}"] * bool(row.located)
    words += ["verdict ≥ 95%"] * bool(row.judged) + ["≤ 1"] * (not row.counts)
    return f"{', '.join(words)}: {'**missed** (' + ', '.join(got.missing) + ')' if got.missing else 'met'}"
