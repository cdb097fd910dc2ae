"""The summary of a run at an epoch: a sentence, a line of details below it, and four figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_xai.analysis import predictions
from keras_xai.analysis.epochs import position
from keras_xai.analysis.event_sentence import (
    Event,
    EventGroup,
    as_sentence,
    first_feature,
    grouped_by_feature,
    telling_alert,
)
from keras_xai.analysis.formatting import called, count, percent, short, signed_percent
from keras_xai.analysis.importance import burn_in_end, importance_of, measured_at, unmeasured_at
from keras_xai.analysis.reliance_gap import compared_at
from keras_xai.analysis.slices import points, slices_at, why_no_accuracy
from keras_xai.events import CHANGES, events
from keras_xai.gradient_flags import CONDITIONS
from keras_xai.judgement import is_scored, judge, not_finite_since, not_looked_for
from keras_xai.recorded import Recorded
from keras_xai.records import Importance, Slices
from keras_xai.slice_accuracy import largest_gap, worst_slice
from keras_xai.training_words import check_lines, unjudged_line
from keras_xai.updates import Unit, named

FEATURES_LISTED = 5
LATER_EVENTS_LISTED = 2
MOMENTS_LISTED = 3
MARKED_ACCURACY_LOSS = 0.05  # a larger fall of an accuracy is marked


@dataclass(frozen=True)
class Fact:
    """One figure of the overview."""

    value: str  # at the epoch of the summary
    was: str  # "was 12 %": before the first event; or "limit 6", or "of 12", a total; "" without
    note: str  # the name of the figure
    alarm: bool = False  # shown in the alarm colour


@dataclass(frozen=True)
class Summary:
    """Summary of a run at one epoch."""

    sentence: str
    detail: str
    facts: tuple[Fact, ...]
    alarm: bool
    before: int  # the number of the update that "was" refers to
    feature: str  # the feature that moved, or the most important one; "" without an importance
    faults: tuple[str, ...] = ()  # sentences on parts of the watch that broke, see `judgement.Judgement`
    watch: str = ""  # whether the absence of alerts means that nothing moved; "" where there are alerts
    not_finite: int | None = None  # the number of the update from which on no importance is finite
    missing: tuple[str, ...] = ()  # features whose importance was not measured
    gap: bool = False  # the sentence is that of a shortcut of the training rows
    advice: str = ""  # on what to do next, of the event that the sentence tells; "" where there are no alerts
    checks: tuple[str, ...] = ()  # the rules of `TrainingChecks` that are broken, with what to do
    unjudged: str = ""  # those that could not be judged, and why
    screen: str = ""  # of the data at train begin


def summary(run: Recorded, epoch: int | None = None) -> Summary:
    """Return the summary of a run as it stood at `epoch`, by default the last.

    A shortcut that the training rows alone hold comes before all other events: it was there before them.
    """
    updates = list(run.updates)
    if not updates:
        return _without_updates(run)
    current = updates[position(updates, epoch)]
    alarms = [alert for alert in run.alerts if alert.update <= current and alert.is_alarm]
    past = grouped_by_feature(_leading_event_first(events(alarms)))
    importance = _importance_for(run, past)
    before = _update_before(updates, past)
    feature = first_feature(telling_alert(past[0].alerts)) if past else _leading_feature(importance, current)
    facts = (
        _metric(run, current, before if past else None),
        *(_gap_facts(run, past, feature, current) or _drift_facts(run, past, importance, feature, current, before)),
        _flags(run, current),
        *_slices(slices_at(run, current)),
    )
    judgement, unjudged = judge(run, current), unjudged_line(run, current)
    faults = _as_sentences(judgement.faults)
    return Summary(
        _sentence(run, past, current, watched=not faults),
        _detail(run, past, importance, current, before),
        facts,
        bool(past),
        before,
        feature,
        faults,
        watch="" if past else _watch(run, current, _as_sentences(judgement.faults or judgement.gaps)),
        not_finite=not_finite_since(importance, current),
        missing=() if importance is None else tuple(unmeasured_at(importance, current)),
        gap=_is_gap(past),
        advice=past[0].alerts[0].advice if past else "",
        checks=_as_sentences(check_lines(run, current)),
        unjudged=as_sentence(unjudged) if unjudged else "",
        screen="" if run.screen is None else run.screen.summary,
    )


def _leading_event_first(past: Sequence[Event]) -> list[Event]:
    """Return events with the first shortcut of the training rows in front, the others in their order."""
    return sorted(past, key=lambda event: event[0].source != "gap")


def _is_gap(past: Sequence[EventGroup]) -> bool:
    """Return True where the first of some events is a shortcut of the training rows."""
    return bool(past) and past[0].alerts[0].source == "gap"


def _is_change(past: Sequence[EventGroup]) -> bool:
    """Return True where the first of some events is a change, which has a before."""
    return bool(past) and past[0].alerts[0].source in CHANGES


def _drift_facts(
    run: Recorded, past: Sequence[EventGroup], importance: Importance | None, feature: str, current: int, before: int
) -> tuple[Fact, Fact]:
    return _score(importance, current), _share(importance, feature, current, before, alarm=bool(past))


def _gap_facts(run: Recorded, past: Sequence[EventGroup], feature: str, current: int) -> tuple[Fact, ...]:
    """Return the z of the gap and what its feature says on both sides; () where the first event is no gap."""
    gap = run.gap if _is_gap(past) else None
    at = compared_at(gap, current)
    if gap is None or at is None or feature not in gap.names:
        return ()
    f = gap.names.index(feature)
    z, live, probe = (float(values[at, f]) for values in (gap.z, gap.live, gap.probe))
    certainty = f"{z:.1f}" if np.isfinite(z) else "–"
    return (
        Fact(
            certainty,
            f"limit {gap.limit:g}",
            f"z of the gap at {named(gap.unit, int(gap.updates[at]))}: {feature}",
            alarm=z > gap.limit,
        ),
        Fact(
            signed_percent(live),
            f"probe {signed_percent(probe)}",
            f"evidence in training rows: {feature}",
            alarm=z > gap.limit,
        ),
    )


def _without_updates(run: Recorded) -> Summary:
    sentence = "No epochs yet."
    if run.probe is None:
        detail = "Nothing is written yet. The first record arrives when the first epoch ends."
    else:
        size = count(run.probe.whole_size, "sample")
        detail = f"The run has written its probe of {size} but no epoch. The first arrives when the first epoch ends."
        if run.methods_before:
            sentence = "Training has begun."
            written = f"its probe of {size} and the maps of the untrained model"
            detail = f"The run has written {written}. What the training changes comes with its first update."
    return Summary(sentence, detail, (), False, 0, "", _as_sentences(judge(run).faults))


def _importance_for(run: Recorded, past: Sequence[EventGroup]) -> Importance | None:
    """Return the importance of the source of the first event; without events that of `importance_of`."""
    source = past[0].alerts[0].source if past else None
    choice = importance_of(run, source if source in ("live", "clean") else None)
    return choice[1] if choice else None


def _update_before(updates: Sequence[int], past: Sequence[EventGroup]) -> int:
    """Return the last update before the first event; the first update where it is no change, or there is none."""
    earlier = [update for update in updates if _is_change(past) and update < past[0].alerts[0].update]
    return earlier[-1] if earlier else updates[0]


def _watch(run: Recorded, current: int, unwatched: Sequence[str]) -> str:
    """Return a sentence on a run without alerts: that nothing moved is said only where an alarm was possible."""
    choice = importance_of(run)
    if unwatched:
        return f"None so far. {' '.join(unwatched)}"
    if choice is None or not is_scored(choice[1], current):
        return "None so far: within the burn-in no alarm is possible."
    unseen = not_looked_for(run, current)
    note = f" Shortcuts present from the start were not looked for: {unseen}." if unseen else ""
    return f"None. No feature moved by more than its limit since the burn-in.{note}"


def _as_sentences(clauses: Iterable[str]) -> tuple[str, ...]:
    return tuple(as_sentence(clause) for clause in clauses)


def _sentence(run: Recorded, past: Sequence[EventGroup], current: int, *, watched: bool) -> str:
    if past:
        return past[0].sentence
    flagged = _flagged(run, current)
    if flagged is not None:
        names, total, kind, since = flagged
        silent = kind == "dead" and 2 * names > total
        advice = "the model has stopped learning" if silent else "look at its weight gradients"
        verb = CONDITIONS[kind].verb if kind in CONDITIONS else f"are {kind}"
        return f"Since {named(run.unit, since)}, {names} of {count(total, 'variable')} {verb}: {advice}."
    if not watched:
        return "No alert so far, but not all of this training was watched."
    choice = importance_of(run)
    if choice is None:
        noun = "epoch" if run.unit == "epoch" else "update"
        recorded = count(len([update for update in run.updates if update <= current]), noun)
        flags = ", no gradient flag" if run.weight_gradients else " recorded"
        return f"{recorded}{flags}; nothing here watches what the model relies on."
    if not is_scored(choice[1], current):
        return "No alert so far: still too early to say what is usual for this run."
    return "No alert so far: the model goes on relying on what it relied on before."


def _detail(run: Recorded, past: Sequence[EventGroup], importance: Importance | None, current: int, before: int) -> str:
    parts = []
    if importance is not None:
        parts += _highest_score(importance, current, past)
        parts += _not_measured(importance, current)
    for key, label in (("loss", "Training loss"), ("val_loss", "Validation loss")):
        old, new = _log(run, key, before), _log(run, key, current)
        if not np.isfinite(new) or not (past or key == "val_loss"):
            continue
        if past and before < current and _is_logged(run, key, before):
            parts.append(f"{label} since {named(run.unit, before)}: {short(old)} → {short(new)}.")
        else:
            parts.append(f"{label} {short(new)}.")
    parts += _other_events(past)
    return " ".join(parts)


def _other_events(past: Sequence[EventGroup]) -> list[str]:
    """Return sentences on the events that the summary's sentence does not tell, each of one moment."""
    parts = _again(past[0]) if past else []
    others = list(past[1:])
    if _is_gap(past):
        gaps = [group for group in others if _is_gap([group])]
        others = [group for group in others if group not in gaps]
        names = list(dict.fromkeys(move.name for group in gaps for alert in group.alerts for move in alert.features))
        if names:
            parts.append(f"Later the same is so of {_listed(names)}.")
    for group in others[:LATER_EVENTS_LISTED]:
        when = "Later" if group.alerts[0].update >= past[0].alerts[0].update else "Before"
        parts += [f"{when}, {group.sentence[0].lower()}{group.sentence[1:]}", *_again(group)]
    untold = len(others) - LATER_EVENTS_LISTED
    if untold > 0:
        parts.append(f"And {count(untold, 'later alert')}.")
    return parts


def _again(group: EventGroup) -> list[str]:
    """Return when events came again that add nothing to the sentence of the first."""
    if not group.again:
        return []
    return [f"The same again at {_listed(group.again, MOMENTS_LISTED)}."]


def _score_of(group: EventGroup, unit: Unit) -> list[str]:
    """Return the score of an event at its own moment; nothing where it has none."""
    scored = [alert for alert in group.alerts if alert.source in ("live", "clean") and np.isfinite(alert.score)]
    if not scored:
        return []
    first = scored[0]
    return [f"Score {first.score:.1f} at {named(unit, first.update)}, limit {first.limit:g}."]


def _highest_score(importance: Importance, current: int, past: Sequence[EventGroup]) -> list[str]:
    if past and _is_change(past):
        return _score_of(past[0], importance.unit)
    score = np.where(importance.updates <= current, importance.score, np.nan)
    if not np.isfinite(score).any():
        return []
    at = int(np.nanargmax(score))
    # In the first case another one than the sentence's.
    name = "Highest drift score" if _is_gap(past) else "Highest score"
    early = "" if is_scored(importance, current) else f", within the burn-in of {importance.burn_in} updates"
    return [
        f"{name} {score[at]:.1f} at {named(importance.unit, int(importance.updates[at]))}, limit {importance.limit:g}{early}."
    ]


def _not_measured(importance: Importance, current: int) -> list[str]:
    names = unmeasured_at(importance, current)
    if not names:
        return []
    return [f"Importance not measured: {_listed(names)}."]


def _listed(names: Sequence[str], most: int = FEATURES_LISTED) -> str:
    """Return names as a list, and the number of those that are too many for it."""
    others = len(names) - most
    more = f" and {count(others, 'other')}" if others > 0 else ""
    return f"{', '.join(names[:most])}{more}"


def accuracy_key(run: Recorded) -> str | None:
    """Return the key of the metric to show: validation accuracy, else accuracy, else another metric, else a loss."""
    recorded = dict.fromkeys(key for record in run.history for key in record.logs)
    keys = [key for key in recorded if not key.startswith("xai_")]
    metrics = [key for key in keys if "loss" not in key]
    ordered = [
        *(key for key in metrics if key.startswith("val_") and "acc" in key),
        *(key for key in metrics if "acc" in key),
        *(key for key in metrics if key.startswith("val_")),
        *(key for key in ("val_loss", "loss") if key in keys),
    ]
    return ordered[0] if ordered else None


def _log(run: Recorded, key: str, epoch: int) -> float:
    records = [record for record in run.history if record.update <= epoch and key in record.logs]
    return float(records[-1].logs[key]) if records else float("nan")


def _is_logged(run: Recorded, key: str, epoch: int) -> bool:
    """Return True where a log was written up to an update: validation is only at the ends of epochs."""
    return any(record.update <= epoch and key in record.logs for record in run.history)


def _metric(run: Recorded, current: int, before: int | None) -> Fact:
    key = accuracy_key(run)
    if key is None:
        return _right_in_probe(run, current, before)
    new = _log(run, key, current)
    old = float("nan") if before is None else _log(run, key, before)
    is_accuracy = "acc" in key
    show = percent if is_accuracy else short
    label = key.replace("val_", "validation ").replace("_", " ")
    label = label.replace("sparse categorical ", "").replace("binary ", "")
    was = f"was {show(old)}" if np.isfinite(old) and before is not None and before < current else ""
    return Fact(show(new), was, label, alarm=bool(is_accuracy and old - new > MARKED_ACCURACY_LOSS))


def _right_in_probe(run: Recorded, current: int, before: int | None) -> Fact:
    """Return the share of the probe that is predicted rightly: what there is where the logs have no metric."""
    record = predictions.at_update(run, current)
    if record is None or not np.isfinite(record.accuracy):
        return Fact("–", "", "no metric in the logs")
    earlier = predictions.at_update(run, before) if before is not None and before < current else None
    old = float("nan") if earlier is None else earlier.accuracy
    was = f"was {percent(old)}" if np.isfinite(old) else ""
    note = f"of the probe right, {named(run.unit, record.update)}"
    return Fact(percent(record.accuracy), was, note, alarm=bool(old - record.accuracy > MARKED_ACCURACY_LOSS))


def _score(importance: Importance | None, current: int) -> Fact:
    if importance is None:
        return Fact("–", "", "drift score: not recorded")
    at = position(importance.updates, current)
    score, update = float(importance.score[at]), int(importance.updates[at])
    when = named(importance.unit, update)
    limit = f"limit {importance.limit:g}"
    since = not_finite_since(importance, current)
    if since is not None:
        return Fact("–", limit, f"drift score: not finite since {named(importance.unit, since)}", alarm=True)
    end = burn_in_end(importance)
    early = end is None or update < end
    burn_in = f"burn-in of {importance.burn_in} updates"
    if end is not None:
        burn_in = f"burn-in until {named(importance.unit, end)}"
    if not np.isfinite(score):
        note = f"drift score: {burn_in}" if early else f"drift score, {when}: not measured"
        return Fact("–", limit, note)
    note = f"drift score, {when}"
    if early:
        note = f"{note}: {burn_in}"
    return Fact(f"{score:.1f}", limit, note, alarm=score > importance.limit and not early)


def _leading_feature(importance: Importance | None, current: int) -> str:
    if importance is None:
        return ""
    share = importance.share[measured_at(importance, current)]
    return importance.names[int(np.nanargmax(share))] if np.isfinite(share).any() else ""


def _share(importance: Importance | None, feature: str, current: int, before: int, *, alarm: bool) -> Fact:
    if importance is None or feature not in importance.names:
        return Fact("–", "", f"{feature}: no share recorded" if feature else "importance: not recorded")
    at, f = measured_at(importance, current), importance.names.index(feature)
    share, old = importance.share[at], float(importance.share[measured_at(importance, before), f])
    was = f"was {percent(old)}" if before < current and np.isfinite(old) else ""
    if not np.isfinite(share[f]):
        return Fact("–", was, f"{feature}: not measured", alarm=alarm)
    rank, measured = 1 + int(np.sum(share > share[f])), int(np.isfinite(share).sum())
    since = not_finite_since(importance, current)
    when = "" if since is None else f"at {named(importance.unit, int(importance.updates[at]))}: "
    return Fact(percent(float(share[f])), was, f"{when}{called(feature)}, rank {rank} of {measured}", alarm=alarm)


def _slices(record: Slices | None) -> tuple[Fact, ...]:
    """Return the worst slice and the largest gap; nothing where the probe has no slices."""
    if record is None:
        return ()
    worst, gap = worst_slice(record), largest_gap(record)
    if worst is None:
        return (Fact("–", "", f"worst slice: {why_no_accuracy(record)}"),)
    lowest = Fact(
        percent(worst.accuracy),
        f"{percent(worst.low)} to {percent(worst.high)}, all {percent(record.overall_accuracy)}",
        f"worst slice: {worst.value}, {count(worst.value.rows, 'row')}",
        alarm=worst.high < record.overall_accuracy,  # and not only by the chance of few rows
    )
    if gap is None:
        return (lowest,)
    return (
        lowest,
        Fact(
            f"{points(gap.gap)} points",
            f"± {points(2 * gap.standard_error)}",
            f"largest gap below all: {gap.value}",
            alarm=gap.gap - 2 * gap.standard_error > MARKED_ACCURACY_LOSS,
        ),
    )


def _flagged(run: Recorded, current: int) -> tuple[int, int, str, int] | None:
    """Return how many variables carry a flag, of how many, the commonest kind and its first epoch."""
    records = [record for record in run.weight_gradients if record.update <= current]
    if not records or not records[-1].flags:
        return None
    flags, total = records[-1].flags, len(records[-1].names)
    kinds = [flag.kind for flag in flags]
    commonest = max(dict.fromkeys(kinds), key=kinds.count)
    since = min(flag.since for flag in flags if flag.kind == commonest)
    return len({flag.name for flag in flags}), total, commonest, since


def _flags(run: Recorded, current: int) -> Fact:
    if not run.weight_gradients:
        return Fact("–", "", "gradient flags: not recorded")
    flagged = _flagged(run, current)
    if flagged is None:
        return Fact("none", "", "variables with a gradient flag")
    names, total, kind, since = flagged
    return Fact(str(names), f"of {total}", f"variables flagged: {kind} since {named(run.unit, since)}", alarm=True)
