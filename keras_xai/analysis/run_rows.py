"""A run in one row: its verdict, since when, the feature that is to blame, and the metric that it ended with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_xai.analysis.formatting import short
from keras_xai.analysis.overview import first_feature, telling_alert
from keras_xai.events import events
from keras_xai.judgement import ALARM, QUIET, Judgement, judge
from keras_xai.recorded import Recorded
from keras_xai.updates import named

VERDICTS = {ALARM: "alarm", QUIET: "quiet"}  # else it was not watched
NOT_WATCHED = "not watched"
OUR_LOGS = "xai_"


@dataclass(frozen=True)
class RunRow:
    """One run, as a table of runs shows it."""

    verdict: str  # "alarm", "quiet" or "not watched"
    since: str  # the moment of the first alarm; "" without one
    feature: str  # that the first alarm names, or the variable of a flag; "" without one
    metric: str  # "val_accuracy 0.94"; "" where nothing was logged
    alerts: int  # events that are alarms
    judgement: Judgement


def row_of(run: Recorded) -> RunRow:
    """Return a run in one row, by the same verdict as tab, report and command."""
    judgement = judge(run)
    alarms = events(alert for alert in run.alerts if alert.is_alarm)
    since = feature = ""
    if alarms:
        since, feature = alarms[0][0].moment, first_feature(telling_alert(alarms[0]))
    elif judgement.alarms and run.weight_gradients and run.weight_gradients[-1].flags:
        flag = min(run.weight_gradients[-1].flags, key=lambda flag: flag.since)
        since, feature = named(run.unit, flag.since), f"{flag.name} ({flag.kind})"
    return RunRow(VERDICTS.get(judgement.status, NOT_WATCHED), since, feature, _metric(run), len(alarms), judgement)


def _metric(run: Recorded) -> str:
    """Return the last value of a validation metric, else of the validation loss, a metric, the loss."""
    logs = {
        name: value for record in run.history for name, value in record.logs.items() if not name.startswith(OUR_LOGS)
    }
    if not logs:
        return ""
    order = sorted(logs, key=lambda name: (not name.startswith("val_"), name.endswith("loss")))
    value = logs[order[0]]
    return f"{order[0]} {short(value) if math.isfinite(value) else 'not finite'}"
