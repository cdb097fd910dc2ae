"""Judges a run, once for tab, report, notebook and command: did something alarm, was all of it watched, was it quiet?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from keras_xai.events import events, line
from keras_xai.recorded import Recorded
from keras_xai.records import Importance, Note, in_words

QUIET, ALARM, UNWATCHED = 0, 1, 2  # as exit statuses

PARTS = {
    "weight_gradients": "WeightGradients",
    "probe_attributions": "ProbeAttributions",
    "importance_drift": "ImportanceDrift",
    "probe_mappings": "ProbeMappings",
    "live_rows": "the live rows",
}


@dataclass(frozen=True)
class Judgement:
    """What a run amounts to, in sentences without a full stop.

    `faults` are parts of the watch that broke: a callback that stopped, epochs that are missing, values that cannot be read.
    `gaps` are what nobody was asked to watch, or not for long enough. With either of them the run is not quiet.
    """

    alarms: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    calm: str = ""  # what was watched, of a quiet run

    @property
    def status(self) -> int:
        """ALARM, UNWATCHED or QUIET."""
        return ALARM if self.alarms else UNWATCHED if self.faults or self.gaps else QUIET

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it has this status: alarms first, then what was not watched."""
        unwatched = self.faults or self.gaps  # what broke explains what is missing
        return (*self.alarms, *(self.faults if self.alarms else unwatched)) or (self.calm,)


def judge(run: Recorded, epoch: int | None = None, max_alerts: int = 0) -> Judgement:
    """Judge a run as it stood at `epoch`; by default as it stands now.

    An alarm is more events than `max_alerts`, or a gradient flag that stands. A run without alarm is quiet only if an alarm
    was possible: its importance was scored after the burn-in, no part of the watch broke, and all that was written can be
    read. What fails in reading is a fault of the run's records, and hides no alarm.
    """
    now = math.inf if epoch is None else epoch
    faults: list[str] = []

    def tried(look: Callable[[Recorded, float], list[str]]) -> list[str]:
        try:
            return look(run, now)
        except Exception as error:  # whatever it is, it is no verdict on the training
            faults.append(f"cannot be judged: {type(error).__name__}: {error}")
            return []

    alerts, flags = tried(_alerts), tried(_flags)
    alarms = [*(alerts if len(alerts) > max_alerts else []), *flags]
    for look in (_stops, _missing_epochs, _not_captured, _not_finite, _unreadable):
        faults += tried(look)
    gaps = tried(_gaps)
    calm = "" if alarms or faults or gaps else _calm(run, now)
    return Judgement(tuple(alarms), tuple(dict.fromkeys(faults)), tuple(gaps), calm)


def overall(judgements: Mapping[str, Judgement]) -> int:
    """The worst status of all: an alarm, else something unwatched, else quiet. Nothing at all is unwatched."""
    statuses = {judgement.status for judgement in judgements.values()}
    return ALARM if ALARM in statuses else UNWATCHED if UNWATCHED in statuses or not statuses else QUIET


def noted(note: Note) -> str:
    """A note in words, with whose end it tells."""
    return f"{part_name(note.part)} stopped: {note.text}" if note.stopped else note.text


def part_name(part: str) -> str:
    """A part of the watch as users know it."""
    return PARTS.get(part, part)


def why_absent(run: Recorded, callback: str) -> str:
    """Why a callback left no record: it stopped, or it was not there."""
    stops = [stop for stop in run.stops if part_name(stop.part) == callback]
    if stops:
        return f"{callback} stopped at epoch {stops[0].epoch}: {stops[0].reason.rstrip('.')}"
    return f"{callback} was not among the callbacks"


def _alerts(run: Recorded, now: float) -> list[str]:
    """A line an event: alerts of one cause count once."""
    return [line(event) for event in events(alert for alert in run.alerts if alert.epoch <= now)]


def _flags(run: Recorded, now: float) -> list[str]:
    last = [record for record in run.weight_gradients if record.epoch <= now][-1:]
    return [f"epoch {r.epoch}: {name} is {kind} since epoch {since}" for r in last for name, kind, since in r.flags]


def _stops(run: Recorded, now: float) -> list[str]:
    return [
        f"{part_name(stop.part)} stopped at epoch {stop.epoch}: {stop.reason}"
        for stop in run.stops
        if stop.epoch <= now
    ]


def _missing_epochs(run: Recorded, now: float) -> list[str]:
    missing = [epoch for epoch in run.missing_epochs if epoch <= now]
    return [f"{in_words(missing)} {'was' if len(missing) == 1 else 'were'} not recorded"] if missing else []


def _not_captured(run: Recorded, now: float) -> list[str]:
    epochs: dict[str, list[int]] = {}
    for record in run.weight_gradients:
        if record.missing and record.epoch <= now:
            epochs.setdefault(record.missing, []).append(record.epoch)
    return [f"gradients were not captured in {in_words(at)}: {reason}" for reason, at in epochs.items()]


def _not_finite(run: Recorded, now: float) -> list[str]:
    since = not_finite_since(run.importance, now)
    return (
        []
        if since is None
        else [f"no importance could be measured since epoch {since}: it is not finite, or zero everywhere"]
    )


def _unreadable(run: Recorded, now: float) -> list[str]:
    for part in ("epochs", "importance", "importance_live", "data_score", "alerts", "weight_gradients"):
        getattr(run, part)  # only what was read can be known to be damaged
    return [f"cannot be judged: {doubt}" for doubt in run.doubts]


def _gaps(run: Recorded, now: float) -> list[str]:
    epochs = [epoch for epoch in run.epochs if epoch <= now]
    if not epochs:
        return ["no epoch was recorded"]
    if run.importance is None:
        return [f"no importance was recorded: {why_absent(run, 'ImportanceDrift')}"]
    finite = np.isfinite(run.importance.share).any(1)
    updates, burn_in = int((finite & (run.importance.epochs <= now)).sum()), run.importance.burn_in
    gaps = []
    if unmeasured := run.importance.unmeasured:
        gaps.append(f"not measured: {', '.join(unmeasured)}: what the model makes of them is not known")
    if not is_scored(run.importance, now):
        gaps.append(f"{updates} updates are not long enough to watch: the burn-in takes {burn_in}")
    return gaps


def _calm(run: Recorded, now: float) -> str:
    sources = [importance for importance in (run.importance, run.importance_live) if importance is not None]
    scores = np.concatenate([_scored(importance, now) for importance in sources])
    limit = sources[0].limit
    return f"quiet for {sum(epoch <= now for epoch in run.epochs)} epochs, highest drift score {scores.max():.1f} of {limit:g}"


def is_scored(importance: Importance, now: float = math.inf) -> bool:
    """Whether an alarm was possible up to an epoch: the burn-in is over and a score was had."""
    return bool(_scored(importance, now).size)


def _scored(importance: Importance, now: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The finite scores after the burn-in."""
    updates = np.cumsum(np.isfinite(importance.share).any(1)) - 1  # one that is not finite counts for nothing
    after = updates >= importance.burn_in
    score = importance.score
    return score[after & (importance.epochs <= now) & np.isfinite(score)]


def not_finite_since(importance: Importance | None, now: float = math.inf) -> int | None:
    """The epoch from which on no share is finite any more, up to `now`; None where the last one is finite."""
    if importance is None:
        return None
    since = None
    for epoch, share in zip(importance.epochs.tolist(), importance.share, strict=True):
        if epoch <= now:
            since = None if np.isfinite(share).any() else epoch if since is None else since
    return since
