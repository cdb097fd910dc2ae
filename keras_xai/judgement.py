"""The verdict on a run (an alarm, something unwatched, or quiet), the same in tab, report, notebook and command."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from keras_xai.alert_words import BLIND_WORDS
from keras_xai.events import events, line
from keras_xai.recorded import Recorded, moment
from keras_xai.records import Importance, Note, listed
from keras_xai.training_words import check_lines, unjudged_line
from keras_xai.updates import UPDATES, named

UPDATES_OF_GAP = 3  # that a gap must last to be an alarm

QUIET, ALARM, UNWATCHED = 0, 1, 2  # the exit statuses of `keras-xai check`
STATUS_WORDS = {QUIET: "quiet", ALARM: "ALARM", UNWATCHED: "not watched"}

# What makes a training long enough to be watched.
FINER = {
    "epoch": 'a short training is looked at more often with every="auto" (up to 30 times) or every="200 steps"',
    "step": 'a short training is looked at more often with every="auto" (up to 30 times) or fewer steps in every=',
}

# The parts of the watch that a `records.Stop` may name, and the names by which users know them.
PART_NAMES = {
    "weight_gradients": "WeightGradients",
    "training_rows": "TrainingRows",
    "probe_attributions": "ProbeAttributions",
    "importance_drift": "ImportanceDrift",
    "probe_mappings": "ProbeMappings",
    "live_rows": "the live rows",
    "influence": "the influence of live rows",
    "reliance_gap": "the comparison of live rows and probe",
}


@dataclass(frozen=True)
class Judgement:
    """The verdict on a run, in sentences without a full stop. A run with an alarm, a fault or a lack is not quiet."""

    alarms: tuple[str, ...] = ()  # events of alerts, and gradient flags that stand
    faults: tuple[
        str, ...
    ] = ()  # what broke: a callback that stopped, epochs that are missing, values that cannot be read
    gaps: tuple[str, ...] = ()  # what was not watched, or not for long enough, because the user did not ask for it
    calm: str = ""  # of a quiet run: for how long it was watched, its highest scores, and what was not looked for
    remarks: tuple[
        str, ...
    ] = ()  # what changes no status: training rows that merely differ, training checks, advice on a short training
    flags: tuple[str, ...] = ()  # those of the alarms that are gradient flags

    @property
    def status(self) -> int:
        """ALARM, UNWATCHED or QUIET."""
        if self.alarms:
            return ALARM
        return UNWATCHED if self.faults or self.gaps else QUIET

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences behind the status: alarms first, then what was not watched; `calm` of a quiet run; then remarks."""
        unwatched = self.faults or self.gaps  # a gap beside a fault is its consequence
        reasons = (*self.alarms, *(self.faults if self.alarms else unwatched)) or (self.calm,)
        return (*reasons, *self.remarks)


def judge(run: Recorded, epoch: int | None = None, max_alerts: int = 0) -> Judgement:
    """Judge a run as it stood at an epoch, or at a step where it counts in steps.

    An alarm is more events than `max_alerts`, or a gradient flag that stands. A run without alarm is quiet only if an alarm
    was possible: its importance was scored after the burn-in, no part of the watch broke, and all that was written can be
    read. An exception while one aspect is judged is a fault of the run, and hides no alarm of another aspect.

    Args:
        run: read back from a log directory.
        epoch: the number of the last update that counts; None for all.
        max_alerts: the number of events up to which they are no alarm.
    """
    until = math.inf if epoch is None else epoch
    faults: list[str] = []

    def sentences_of(aspect: Callable[[Recorded, float], list[str]]) -> list[str]:
        try:
            return aspect(run, until)
        except Exception as error:  # a fault of the records, which says nothing of the training
            faults.append(f"cannot be judged: {type(error).__name__}: {error}")
            return []

    alerts, flags = sentences_of(_alerts), sentences_of(_flags)
    alarms = [*(alerts if len(alerts) > max_alerts else []), *flags]
    for aspect in (_stops, _missing_epochs, _not_captured, _not_finite, _unreadable):
        faults += sentences_of(aspect)
    gaps = sentences_of(_gaps)
    remarks = [*sentences_of(_remarks), *([] if alarms else sentences_of(_finer))]
    calm = "" if alarms or faults or gaps else _calm(run, until)
    return Judgement(tuple(alarms), tuple(dict.fromkeys(faults)), tuple(gaps), calm, tuple(remarks), tuple(flags))


def overall(judgements: Mapping[str, Judgement]) -> int:
    """Return the worst status of some runs: ALARM, else UNWATCHED, else QUIET; UNWATCHED where there is no run."""
    statuses = {judgement.status for judgement in judgements.values()}
    if ALARM in statuses:
        return ALARM
    return UNWATCHED if UNWATCHED in statuses or not statuses else QUIET


def noted(note: Note) -> str:
    """Return a note in words, with the name of the part where it says that the part stopped."""
    return f"{part_name(note.part)} stopped: {note.text}" if note.stopped else note.text


def part_name(part: str) -> str:
    """Return the name by which users know a part of the watch."""
    return PART_NAMES.get(part, part)


def why_absent(run: Recorded, callback: str) -> str:
    """Return why a callback left no record: it stopped, or was not among the callbacks."""
    stops = [stop for stop in run.stops if part_name(stop.part) == callback]
    if stops:
        return f"{callback} stopped at {stops[0].moment}: {stops[0].reason.rstrip('.')}"
    return f"{callback} was not among the callbacks"


def _alerts(run: Recorded, until: float) -> list[str]:
    """Return one line for each event: alerts of one cause count once."""
    alerts = [alert for alert in run.alerts if alert.update <= until and alert.is_alarm]
    return [line(event) for event in events(alerts)]


def _remarks(run: Recorded, until: float) -> list[str]:
    """Return what is listed and changes no status: rows that differ, and the rules of `TrainingChecks`."""
    alerts = [alert for alert in run.alerts if alert.update <= until and not alert.is_alarm]
    checks = [f"training check: {text}" for text in check_lines(run, until)]
    unjudged = unjudged_line(run, until)
    if unjudged:
        checks.append(f"training checks {unjudged}")
    return [*(line(event) for event in events(alerts)), *checks]


def _finer(run: Recorded, until: float) -> list[str]:
    """Return the advice to look more often, for a run that is inside its burn-in."""
    if run.importance is None or is_scored(run.importance, until):
        return []
    return [FINER[run.unit]]


def _flags(run: Recorded, until: float) -> list[str]:
    records = [record for record in run.weight_gradients if record.update <= until]
    if not records:
        return []
    last = records[-1]
    return [f"{last.moment}: {flag.name} is {flag.kind} since {named(run.unit, flag.since)}" for flag in last.flags]


def _stops(run: Recorded, until: float) -> list[str]:
    stops = [stop for stop in run.stops if stop.update <= until]
    return [f"{part_name(stop.part)} stopped at {stop.moment}: {stop.reason}" for stop in stops]


def _missing_epochs(run: Recorded, until: float) -> list[str]:
    last = until if math.isinf(until) else run.epoch_of(int(until))
    missing = [epoch for epoch in run.missing_epochs if epoch <= last]
    if not missing:
        return []
    verb = "was" if len(missing) == 1 else "were"
    return [f"{listed(missing)} {verb} not recorded"]


def _not_captured(run: Recorded, until: float) -> list[str]:
    updates: dict[str, list[int]] = {}
    for record in run.weight_gradients:
        if record.missing and record.update <= until:
            updates.setdefault(record.missing, []).append(record.update)
    return [
        f"gradients were not captured {'in' if run.unit == 'epoch' else 'at'} {listed(missing, run.unit)}: {reason}"
        for reason, missing in updates.items()
    ]


def _not_finite(run: Recorded, until: float) -> list[str]:
    since = not_finite_since(run.importance, until)
    if since is None:
        return []
    return [f"no importance could be measured since {moment(run, since)}: it is not finite, or zero everywhere"]


def _unreadable(run: Recorded, until: float) -> list[str]:
    for part in ("epochs", "importance", "importance_live", "data_score", "reliance", "alerts", "weight_gradients"):
        getattr(run, part)  # reads it: damage is found while reading
    return [f"cannot be judged: {doubt}" for doubt in run.doubts]


def _gaps(run: Recorded, until: float) -> list[str]:
    if not any(update <= until for update in run.updates):
        return ["no epoch was recorded"]
    if run.importance is None:
        return [f"no importance was recorded: {why_absent(run, 'ImportanceDrift')}"]
    gaps = []
    unmeasured = run.importance.unmeasured
    if unmeasured:
        gaps.append(f"not measured: {', '.join(unmeasured)}: what the model makes of them is not known")
    if not is_scored(run.importance, until):
        is_finite = np.isfinite(run.importance.share).any(1)
        updates, burn_in = int((is_finite & (run.importance.updates <= until)).sum()), run.importance.burn_in
        gaps.append(
            f"{updates} update{' is' if updates == 1 else 's are'} not long enough to watch: the burn-in takes {burn_in}"
        )
    return gaps


def _calm(run: Recorded, until: float) -> str:
    sources = [importance for importance in (run.importance, run.importance_live) if importance is not None]
    highest = np.concatenate([scored(importance, until) for importance in sources]).max()
    watched = sum(update <= until for update in run.updates)
    watched_for = f"{watched} {UPDATES[run.unit]}"
    score = f"highest drift score {highest:.1f}, limit {sources[0].limit:g}"
    unseen = not_looked_for(run, until)
    if unseen:
        return (
            f"no change seen in {watched_for}, {score}; shortcuts present from the start were not looked for: {unseen}"
        )
    gap = run.gap
    assert gap is not None
    largest = float(np.nanmax(gap.z[gap.updates <= until], initial=0.0))
    return f"quiet for {watched_for}, {score}, largest gap of live rows to probe {largest:.1f}, limit {gap.limit:g}"


def not_looked_for(run: Recorded, until: float = math.inf) -> str:
    """Return why a shortcut that was there from the start could not be seen; "" where it could.

    Args:
        run: read back from a log directory.
        until: the number of the last update that counts.
    """
    updates = [record for record in run.reliance if record.update <= until]
    compared = sum(not update.blind for update in updates)
    if compared >= UPDATES_OF_GAP:
        return ""
    if updates and updates[-1].blind:
        return BLIND_WORDS[updates[-1].blind]
    if compared:
        return f"{compared} update{'s are' if compared > 1 else ' is'} not enough, {UPDATES_OF_GAP} are"
    return "live rows and probe were not compared"


def is_scored(importance: Importance, until: float = math.inf) -> bool:
    """Return True where an alarm was possible up to an update: the burn-in is over and a score was had."""
    return bool(scored(importance, until).size)


def scored(importance: Importance, until: float = math.inf) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the finite scores after the burn-in, up to an update."""
    updates = np.cumsum(np.isfinite(importance.share).any(1)) - 1  # one that is not finite counts for nothing
    is_watched = (updates >= importance.burn_in) & (importance.updates <= until)
    score = importance.score
    return score[is_watched & np.isfinite(score)]


def not_finite_since(importance: Importance | None, until: float = math.inf) -> int | None:
    """Return the number of the update from which on no share is finite any more; None where the last one is finite.

    Args:
        importance: over updates.
        until: the number of the last update that counts.
    """
    if importance is None:
        return None
    counts = importance.updates <= until
    updates, finite = importance.updates[counts], np.asarray(np.isfinite(importance.share[counts]).any(1))
    if not len(updates) or finite[-1]:
        return None
    return int(updates[np.flatnonzero(finite)[-1] + 1] if finite.any() else updates[0])
