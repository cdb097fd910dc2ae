"""A run in a few facts: its verdict, since when, the feature that is to blame, and the metric that it ended with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_xai.analysis.event_sentence import first_feature, telling_alert
from keras_xai.analysis.formatting import percent, short
from keras_xai.analysis.overview import accuracy_key
from keras_xai.events import events
from keras_xai.judgement import Judgement, judge
from keras_xai.recorded import Recorded, moment


@dataclass(frozen=True)
class RunFacts:
    """One run, as a table of runs shows it."""

    judgement: Judgement
    since: str  # the moment of the first alarm; "" without one
    feature: str  # that the first alarm names, or the variable of a flag; "" without one
    metric: str  # "val_accuracy 94 %"; "" where nothing was logged


def facts_of(run: Recorded) -> RunFacts:
    """Return a run in a few facts, by the same verdict as tab, report and command."""
    judgement = judge(run)
    starts = starts_of_alarms(run) if judgement.alarms else []
    update, feature = min(starts, key=lambda start: start[0], default=(None, ""))
    return RunFacts(judgement, "" if update is None else moment(run, update), feature, _metric(run))


def starts_of_alarms(run: Recorded) -> list[tuple[int, str]]:
    """Return of each event that is an alarm, and of each gradient flag that stands, the update it began at and its name."""
    alarms = events(alert for alert in run.alerts if alert.is_alarm)
    starts = [(event[0].update, first_feature(telling_alert(event))) for event in alarms]
    flags = run.weight_gradients[-1].flags if run.weight_gradients else ()
    return starts + [(flag.since, flag.name) for flag in flags]


def _metric(run: Recorded) -> str:
    key = accuracy_key(run)
    if key is None:
        return ""
    value = next(float(record.logs[key]) for record in reversed(run.history) if key in record.logs)
    if not math.isfinite(value):
        return f"{key} not finite"
    return f"{key} {percent(value) if 'acc' in key else short(value)}"
