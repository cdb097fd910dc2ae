"""The table of runs: one row a run, the worst first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_xai.analysis.formatting import count, percent, short
from keras_xai.analysis.run_row import run_row
from keras_xai.judgement import ALARM, QUIET, STATUS_WORDS, UNWATCHED, judge
from keras_xai.run import Run
from keras_xai.training_words import last_checks
from keras_xai.updates import UPDATES, named

WORST_FIRST = (ALARM, UNWATCHED, QUIET)


@dataclass(frozen=True)
class Cell:
    """A cell of the table."""

    text: str = ""
    key: Any = ""  # by which it is sorted: a number or a text; "" comes last
    note: str = ""  # small, below the text


@dataclass(frozen=True)
class RunRow:
    """One run in the table."""

    name: str
    node: str  # id of its section
    status: int
    verdict: Cell
    since: Cell
    feature: Cell
    metric: Cell
    loss: Cell
    score: Cell
    flags: Cell
    updates: Cell


def rows_of(runs: Mapping[str, Run]) -> list[RunRow]:
    """Return the rows of some runs, the worst first: alarms, what was not watched, quiet ones; those of one kind by number
    of alarms and by name."""
    rows = [_row(f"run{index}", name, run) for index, (name, run) in enumerate(runs.items())]
    return sorted(rows, key=lambda row: row.verdict.key)


def _row(node: str, name: str, run: Run) -> RunRow:
    judgement = judge(run)
    rank = WORST_FIRST.index(judgement.status)
    alarms = len(judgement.alarms)
    note = f"{alarms} alarms" if alarms > 1 else ""
    try:
        cells = _cells(run)
    except Exception:  # its section says why; the verdict stands
        cells = {}
    empty = dict.fromkeys(("since", "feature", "metric", "loss", "score", "flags", "updates"), Cell())
    verdict = Cell(STATUS_WORDS[judgement.status], 1000 * rank - min(alarms, 999), note)
    return RunRow(name=name, node=node, status=judgement.status, verdict=verdict, **{**empty, **cells})


def _cells(run: Run) -> dict[str, Cell]:
    """Return the cells of a run as the tab's table of runs has them."""
    row = run_row(run)
    since = Cell() if row.since is None else Cell(named(row.unit, row.since), row.since)
    return {
        "since": since,
        "feature": Cell(row.guilty, row.guilty, _others(run, row.guilty)),
        "metric": _metric(row.metric_name, row.metric),
        "loss": _metric("loss", row.loss),
        "score": Cell() if row.score is None else Cell(f"{row.score:.1f}", row.score, f"limit {row.limit:g}"),
        "flags": _flags(run),
        "updates": Cell(f"{row.updates:,}", row.updates, UPDATES[row.unit]),
    }


def _others(run: Run, feature: str) -> str:
    """Return how many other features and variables the alarms and flags of a run name, in words."""
    alarms = [alert for alert in run.alerts if alert.is_alarm]
    names = {move.name for alert in alarms for move in alert.features} | {flag.name for flag in run.flags}
    others = len(names - {feature})
    return f"and {count(others, 'other')}" if others and feature else ""


def _metric(key: str, value: float | None) -> Cell:
    if value is None:
        return Cell()
    text = percent(value) if "acc" in key else short(value)
    return Cell(text if math.isfinite(value) else "NaN", value if math.isfinite(value) else math.inf, key)


def _flags(run: Run) -> Cell:
    record = last_checks(run)
    if not run.weight_gradients and record is None:
        return Cell()
    flagged = {(flag.name, flag.kind): str(flag.kind) for flag in run.flags}  # since when, it is one flag
    if record is not None:
        flagged |= {(flag.name, flag.kind): str(flag.kind) for flag in record.flags}
    kinds = list(flagged.values())
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    words = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return Cell(words or "none", len(kinds))
