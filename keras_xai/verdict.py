"""Was a training watched, and was it quiet? What a CI pipeline asks of a log directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keras_xai.printed import printable
from keras_xai.run import Run

QUIET, ALARM, UNWATCHED = 0, 1, 2  # exit statuses


@dataclass(frozen=True)
class Verdict:
    """One run: its exit status, and why in words."""

    run: str
    status: int
    reasons: tuple[str, ...]
    epochs: int
    alerts: int


def verdict(name: str, run: Run, max_alerts: int = 0) -> Verdict:
    """Judge one run.

    An alarm is more alerts than `max_alerts`, or a gradient flag that stands at the last epoch. A run without alarm is
    quiet only if an alarm was possible: its importance was scored after the burn-in, and nothing that could hold an alarm
    was passed over.
    """
    alarms, faults = [], []
    for alarms_of in (_alerts, _flags):
        try:
            alarms += alarms_of(run, max_alerts)
        except Exception as error:  # whatever it is, it is no verdict on the training, and hides no alarm
            faults.append(_unjudged(error))
    status, reasons = (ALARM, alarms) if alarms else (UNWATCHED, faults) if faults else _quiet(run)
    return Verdict(name, status, tuple(map(printable, reasons)), _count(run, "epochs"), _count(run, "alerts"))


def _alerts(run: Run, max_alerts: int) -> list[str]:
    return [str(alert) for alert in run.alerts] if len(run.alerts) > max_alerts else []


def _flags(run: Run, max_alerts: int) -> list[str]:
    last = run.weight_gradients[-1:]
    return [f"epoch {r.epoch}: {name} is {kind} since epoch {since}" for r in last for name, kind, since in r.flags]


def _quiet(run: Run) -> tuple[int, list[str]]:
    """The status of a run without alarm, and why."""
    try:
        epochs, importance = run.epochs, run.importance
        if run.doubts:
            return UNWATCHED, [f"cannot be judged: {doubt}" for doubt in run.doubts]
        if not epochs:
            return UNWATCHED, ["no epoch was recorded"]
        if importance is None:
            return UNWATCHED, ["no importance was recorded: ImportanceDrift was not among the callbacks"]
        if not any(math.isfinite(score) for score in importance.score[importance.burn_in :]):
            updates, burn_in = len(importance.epochs), importance.burn_in
            return UNWATCHED, [f"{updates} updates are not long enough to watch: the burn-in takes {burn_in}"]
        highest = f"highest drift score {_highest(run):.1f} of {importance.limit:g}"
        return QUIET, [f"quiet for {len(epochs)} epochs, {highest}"]
    except Exception as error:
        return UNWATCHED, [_unjudged(error)]


def _unjudged(error: Exception) -> str:
    return f"cannot be judged: {type(error).__name__}: {error}"


def _count(run: Run, what: str) -> int:
    """How many there are of what can be read."""
    try:
        return len(getattr(run, what))
    except Exception:
        return 0


def overall(verdicts: Mapping[str, Verdict]) -> int:
    """The worst of all: an alarm, else something unwatched, else quiet. Nothing at all is unwatched."""
    found = {v.status for v in verdicts.values()}
    return ALARM if ALARM in found else UNWATCHED if UNWATCHED in found or not found else QUIET


def _highest(run: Run) -> float:
    sources = [i for i in (run.importance, run.importance_live) if i is not None]
    scores = [s for i in sources for s in i.score[i.burn_in :] if math.isfinite(s)]
    return float(max(scores, default=math.nan))
