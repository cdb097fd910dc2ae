"""One run in one row: its verdict, since when, what it relies on, its scores and metrics; for a table of many runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_xai.analysis.event_sentence import first_feature, telling_alert
from keras_xai.analysis.overview import accuracy_key
from keras_xai.events import events
from keras_xai.judgement import ALARM, QUIET, Judgement, judge, not_finite_since, scored
from keras_xai.recorded import Recorded, moment
from keras_xai.training_words import last_checks
from keras_xai.updates import Unit

VERDICTS = {ALARM: "alarm", QUIET: "quiet"}
NOT_WATCHED = "not watched"


@dataclass(frozen=True)
class RunRow:
    """One run; what was not recorded is None, or ""."""

    verdict: str  # "alarm", "quiet" or "not watched", as `keras-xai check` says
    reason: str  # its first sentence
    # Update of the first alarm; else that at which a part of the watch ended, or importance was no longer finite.
    since: int | None
    moment: str  # the same in words
    guilty: str  # the feature that moved most in the first alarm; of a gradient flag the variable
    score: float | None  # after the burn-in, the one that is the largest multiple of its limit
    limit: float | None  # of this score
    metric_name: str  # key in the logs: validation accuracy where there is one
    metric: float | None  # the last
    loss: float | None  # of the training, the last
    flags: tuple[
        str, ...
    ]  # that stand, of gradients and of training checks: "head/kernel is dead since epoch 9", "overfit since epoch 4"
    updates: int
    unit: Unit
    written: float | None  # seconds since 1970


def run_row(run: Recorded) -> RunRow:
    """Return one run in one row; the verdict is that of `keras_xai.judgement.judge`.

    Example:
        >>> import tempfile
        >>> from keras_xai.run import Run
        >>> from keras_xai.summary.store import FileStore
        >>> row = run_row(Run(FileStore(tempfile.mkdtemp())))
        >>> row.verdict, row.reason, row.score
        ('not watched', 'no epoch was recorded', None)
    """
    judgement = judge(run)
    since, guilty = _first_alarm(run, judgement)
    score, limit = _highest_score(run)
    key = accuracy_key(run)
    return RunRow(
        verdict=VERDICTS.get(judgement.status, NOT_WATCHED),
        reason=next(iter(judgement.reasons), ""),
        since=since,
        moment="" if since is None else moment(run, since),
        guilty=guilty,
        score=score,
        limit=limit,
        metric_name=key or "",
        metric=None if key is None else _last(run, key),
        loss=_last(run, "loss"),
        flags=(*judgement.flags, *_broken_rules(run)),
        updates=len(run.updates),
        unit=run.unit,
        written=run.history[-1].wall_time if run.history else None,
    )


def _broken_rules(run: Recorded) -> list[str]:
    record = last_checks(run)
    return [] if record is None else [flag.headline(run.unit) for flag in record.flags]


def _first_alarm(run: Recorded, judgement: Judgement) -> tuple[int | None, str]:
    """Return the update of what came first of a run's alarms, or of the ends of its watch; and what it names."""
    if judgement.status != ALARM:
        breaks = [stop.update for stop in run.stops]
        not_finite = not_finite_since(run.importance)
        return min([*breaks, *([] if not_finite is None else [not_finite])], default=None), ""
    return min(starts_of_alarms(run), key=lambda start: start[0], default=(None, ""))


def starts_of_alarms(run: Recorded) -> list[tuple[int, str]]:
    """Return of each event that is an alarm, and of each gradient flag that stands, the update it began at and its name."""
    alarms = events(alert for alert in run.alerts if alert.is_alarm)
    starts = [(event[0].update, first_feature(telling_alert(event))) for event in alarms]
    flags = run.weight_gradients[-1].flags if run.weight_gradients else ()
    return starts + [(flag.since, flag.name) for flag in flags]


def _highest_score(run: Recorded) -> tuple[float | None, float | None]:
    """Return the score that came nearest to its limit, or went furthest beyond it; and the limit."""
    scores = [(alert.score, alert.limit) for alert in run.alerts if alert.is_alarm]
    for importance in (run.importance, run.importance_live):
        if importance is not None:
            scores += [(float(score), importance.limit) for score in scored(importance)]
    finite = [pair for pair in scores if math.isfinite(pair[0]) and pair[1] > 0]
    return max(finite, key=lambda pair: pair[0] / pair[1], default=(None, None))


def _last(run: Recorded, key: str) -> float | None:
    """Return the last value of a log, NaN where it is not finite; None where it was never written."""
    return next((float(record.logs[key]) for record in reversed(run.history) if key in record.logs), None)
