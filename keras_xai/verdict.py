"""Was a training watched, and was it quiet? What a CI pipeline asks of a log directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
    quiet only if an alarm was possible: its importance was scored after the burn-in.
    """
    reasons = []
    if len(run.alerts) > max_alerts:
        reasons += [str(alert) for alert in run.alerts]
    if run.weight_gradients:
        last = run.weight_gradients[-1]
        reasons += [
            f"epoch {last.epoch}: {variable} is {kind} since epoch {since}" for variable, kind, since in last.flags
        ]
    if reasons:
        status = ALARM
    elif not run.epochs:
        status, reasons = UNWATCHED, ["no epoch was recorded"]
    elif run.importance is None:
        status, reasons = UNWATCHED, ["no importance was recorded: ImportanceDrift was not among the callbacks"]
    elif not any(math.isfinite(score) for score in run.importance.score[run.importance.burn_in :]):
        burn_in, count = run.importance.burn_in, len(run.importance.epochs)
        status = UNWATCHED
        reasons = [f"{count} updates are not long enough to watch: the burn-in takes {burn_in}"]
    else:
        status = QUIET
        reasons = [
            f"quiet for {len(run.epochs)} epochs, highest drift score {_highest(run):.1f} of {run.importance.limit:g}"
        ]
    return Verdict(name, status, tuple(reasons), len(run.epochs), len(run.alerts))


def overall(verdicts: Mapping[str, Verdict]) -> int:
    """The worst of all: an alarm, else something unwatched, else quiet. Nothing at all is unwatched."""
    found = {v.status for v in verdicts.values()}
    return ALARM if ALARM in found else UNWATCHED if UNWATCHED in found or not found else QUIET


def _highest(run: Run) -> float:
    sources = [i for i in (run.importance, run.importance_live) if i is not None]
    scores = [s for i in sources for s in i.score[i.burn_in :] if math.isfinite(s)]
    return float(max(scores, default=math.nan))
