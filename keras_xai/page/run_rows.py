"""The table of runs: one row a run, the worst first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_xai.analysis.formatting import count, percent, short
from keras_xai.analysis.overview import accuracy_key
from keras_xai.analysis.run_facts import starts_of_alarms
from keras_xai.judgement import ALARM, QUIET, STATUS_WORDS, UNWATCHED, judge, not_finite_since
from keras_xai.run import Run
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
        cells = _cells(run, judgement.status)
    except Exception:  # its section says why; the verdict stands
        cells = {}
    empty = dict.fromkeys(("since", "feature", "metric", "loss", "score", "flags", "updates"), Cell())
    verdict = Cell(STATUS_WORDS[judgement.status], 1000 * rank - min(alarms, 999), note)
    return RunRow(name=name, node=node, status=judgement.status, verdict=verdict, **{**empty, **cells})


def _cells(run: Run, status: int) -> dict[str, Cell]:
    since, feature = _since_and_feature(run, status)
    key = accuracy_key(run)
    logs = {name for record in run.history for name in record.logs}
    losses = [name for name in ("val_loss", "loss") if name in logs]
    return {
        "since": since,
        "feature": feature,
        "metric": Cell() if key is None or "loss" in key else _last_log(run, key),
        "loss": _last_log(run, losses[0]) if losses else Cell(),
        "score": _highest_score(run),
        "flags": _flags(run),
        "updates": Cell(f"{len(run.updates):,}", len(run.updates), UPDATES[run.unit]),
    }


def _since_and_feature(run: Run, status: int) -> tuple[Cell, Cell]:
    """Return the update of a run's first alarm, and the feature that it names; else the update at which its watch broke."""
    if status != ALARM:
        breaks = [stop.update for stop in run.stops]
        not_finite = not_finite_since(run.importance)
        if not_finite is not None:
            breaks.append(not_finite)
        return (_moment(run, min(breaks)) if breaks else Cell()), Cell()
    alarms = [alert for alert in run.alerts if alert.is_alarm]
    starts = starts_of_alarms(run)
    since, feature = min(starts, key=lambda start: start[0])
    names = {name for _, name in starts} | {move.name for alert in alarms for move in alert.features}
    others = len(names - {feature})
    note = f"and {count(others, 'other')}" if others and feature else ""
    return _moment(run, since), Cell(feature, feature, note)


def _moment(run: Run, update: int) -> Cell:
    return Cell(named(run.unit, update), update)


def _last_log(run: Run, key: str) -> Cell:
    value = next(float(record.logs[key]) for record in reversed(run.history) if key in record.logs)
    text = percent(value) if "acc" in key else short(value)
    return Cell(text if math.isfinite(value) else "NaN", value if math.isfinite(value) else math.inf, key)


def _highest_score(run: Run) -> Cell:
    sources = [source for source in (run.importance, run.importance_live) if source is not None]
    scores = [(float(score), source.limit) for source in sources for score in source.score if math.isfinite(score)]
    if not scores:
        return Cell()
    highest, limit = max(scores)
    return Cell(f"{highest:.1f}", highest, f"of {limit:g}")


def _flags(run: Run) -> Cell:
    if not run.weight_gradients:
        return Cell()
    flagged = {(flag.name, flag.kind): flag.kind for flag in run.flags}  # since when, it is one flag
    kinds = list(flagged.values())
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    words = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return Cell(words or "none", len(kinds))
