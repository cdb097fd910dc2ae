"""The summary of a run at an epoch: a sentence, a line of details below it, and four figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_xai.alert_words import VERDICT_WORDS
from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import count, percent, short, signed_percent
from keras_xai.analysis.importance import burn_in_end, importance_of, measured_at, unmeasured_at
from keras_xai.analysis.reliance_gap import compared_at
from keras_xai.analysis.slices import points, slices_at, why_no_accuracy
from keras_xai.events import CHANGES, events
from keras_xai.gradient_flags import CONDITIONS
from keras_xai.judgement import is_scored, judge, not_finite_since, not_looked_for
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, Importance, Slices
from keras_xai.slice_accuracy import largest_gap, worst_slice
from keras_xai.updates import named

Event = Sequence[Alert]  # alerts of one cause

FEATURES_LISTED = 5
LATER_EVENTS_LISTED = 2
MARKED_ACCURACY_LOSS = 0.05  # a larger fall of an accuracy is marked


@dataclass(frozen=True)
class Fact:
    """One figure of the overview."""

    value: str  # at the epoch of the summary
    was: str  # "was 12 %": before the first event; or "of 6", a limit or total; "" without
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


def event_sentence(event: Event) -> str:
    """Describe an event: "Epoch 14: the training data changed in block (0,0), and by epoch 16 the model relies on it.".

    An alert that says in a sentence what happened says it of its event.
    """
    if event[0].sentence:
        return _as_sentences([printable(event[0].sentence)])[0]
    rate = " while the learning rate was rising" if any(alert.learning_rate_rising for alert in event) else ""
    changed = next((a for a in event if a.source != "clean" and a.verdict == "data changed"), None)
    if changed is None:
        first = event[0]
        return f"{first.moment.capitalize()}: {_seen_on_probe(first)}{rate}."
    start = _change(event, changed)
    moved = next((a for a in event if a.source == "clean" or a.verdict == "reliance moved"), None)
    if moved is None:
        return f"{changed.moment.capitalize()}: {start}{rate}."
    if moved.update < changed.update:
        return f"{moved.moment.capitalize()}: {_move(moved)}, and at {changed.moment} {start}{rate}."
    return f"{changed.moment.capitalize()}: {start}, and by {moved.moment} {_answer(event, moved)}{rate}."


def _seen_on_probe(alert: Alert) -> str:
    """Describe an event whose alerts are all of the fixed probe."""
    return VERDICT_WORDS[alert.verdict] if alert.verdict == "data changed" else _move(alert)


def _change(event: Event, changed: Alert) -> str:
    """Describe a change of the data: of the labels alone, or of the data, with the feature that changed most."""
    rows = changed.changed
    if rows is not None and rows.labels and not rows.rows:
        return "the training labels changed"
    where = first_feature(telling_alert(event))
    return f"{VERDICT_WORDS['data changed']} in {where}" if where else VERDICT_WORDS["data changed"]


def _move(alert: Alert) -> str:
    return f"{VERDICT_WORDS['reliance moved']} {_direction(alert)}"


def _answer(event: Event, moved: Alert) -> str:
    """Describe the model's response to a change of the data: which feature it relies on more or less."""
    where = first_feature(telling_alert(event))
    same = next((move for move in moved.features if move.name == where), None)
    if same is not None:
        return "the model relies on it" if same.after >= same.before else "the model relies less on it"
    changed_too = {move.name for alert in event if alert.source != "clean" for move in alert.features}
    name = first_feature(moved)
    if name in changed_too and moved.features[0].after >= moved.features[0].before:
        return f"the model relies on {name}, which changed too"
    return _move(moved)


def telling_alert(event: Event) -> Alert:
    """Return the alert of an event whose features describe it best: of the live rows' attributions, else of any source."""
    named = [alert for alert in event if alert.features]
    live = [alert for alert in named if alert.source == "live"]
    return [*live, *named, event[0]][0]


def first_feature(alert: Alert) -> str:
    """Return the name of the feature that moved most, "" where an alert names none."""
    return alert.features[0].name if alert.features else ""


def _direction(alert: Alert) -> str:
    """Return "to" or "away from" the feature that moved most."""
    if not alert.features:
        return "elsewhere"
    move = alert.features[0]
    by_score = alert.source == "data" or move.before == move.after
    rose = not move.z < 0 if by_score else move.after > move.before
    return f"{'to' if rose else 'away from'} {move.name}"


def summary(run: Recorded, epoch: int | None = None) -> Summary:
    """Return the summary of a run as it stood at `epoch`, by default the last.

    A shortcut that the training rows alone hold comes before all other events: it was there before them.
    """
    updates = list(run.updates)
    if not updates:
        return _without_updates(run)
    current = updates[position(updates, epoch)]
    past = _leading_event_first(events([alert for alert in run.alerts if alert.update <= current and alert.is_alarm]))
    importance = _importance_for(run, past)
    before = _update_before(updates, past)
    feature = first_feature(telling_alert(past[0])) if past else _leading_feature(importance, current)
    facts = (
        _metric(run, current, before if past else None),
        *(_gap_facts(run, past, feature, current) or _drift_facts(run, past, importance, feature, current, before)),
        _flags(run, current),
        *_slices(slices_at(run, current)),
    )
    judgement = judge(run, current)
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
        advice=past[0][0].advice if past else "",
    )


def _leading_event_first(past: Sequence[Event]) -> list[Event]:
    """Return events with the first shortcut of the training rows in front, the others in their order."""
    return sorted(past, key=lambda event: event[0].source != "gap")


def _is_gap(past: Sequence[Event]) -> bool:
    """Return True where the first of some events is a shortcut of the training rows."""
    return bool(past) and past[0][0].source == "gap"


def _is_change(past: Sequence[Event]) -> bool:
    """Return True where the first of some events is a change, which has a before."""
    return bool(past) and past[0][0].source in CHANGES


def _drift_facts(
    run: Recorded, past: Sequence[Event], importance: Importance | None, feature: str, current: int, before: int
) -> tuple[Fact, Fact]:
    return _score(importance, current), _share(importance, feature, current, before, alarm=bool(past))


def _gap_facts(run: Recorded, past: Sequence[Event], feature: str, current: int) -> tuple[Fact, ...]:
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
            f"of {gap.limit:g}",
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


def _importance_for(run: Recorded, past: Sequence[Event]) -> Importance | None:
    """Return the importance of the source of the first event; without events that of `importance_of`."""
    source = past[0][0].source if past else None
    choice = importance_of(run, source if source in ("live", "clean") else None)
    return choice[1] if choice else None


def _update_before(updates: Sequence[int], past: Sequence[Event]) -> int:
    """Return the last update before the first event; the first update where it is no change, or there is none."""
    earlier = [update for update in updates if _is_change(past) and update < past[0][0].update]
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
    return tuple(f"{clause[:1].upper()}{clause[1:].rstrip('.')}." for clause in clauses)


def _sentence(run: Recorded, past: Sequence[Event], current: int, *, watched: bool) -> str:
    if past:
        return event_sentence(past[0])
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


def _detail(run: Recorded, past: Sequence[Event], importance: Importance | None, current: int, before: int) -> str:
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


def _other_events(past: Sequence[Event]) -> list[str]:
    """Return sentences on the events that the summary's sentence does not tell."""
    parts = []
    others = list(past[1:])
    if _is_gap(past):
        gaps = [event for event in others if _is_gap([event])]
        others = [event for event in others if event not in gaps]
        names = list(dict.fromkeys(move.name for event in gaps for alert in event for move in alert.features))
        if names:
            parts.append(f"Later the same is so of {_listed(names)}.")
    for event in others[:LATER_EVENTS_LISTED]:
        sentence = event_sentence(event)
        when = "Later" if event[0].update >= past[0][0].update else "Before"
        parts.append(f"{when}, {sentence[0].lower()}{sentence[1:]}")
    untold = len(others) - LATER_EVENTS_LISTED
    if untold > 0:
        parts.append(f"And {count(untold, 'later alert')}.")
    return parts


def _highest_score(importance: Importance, current: int, past: Sequence[Event]) -> list[str]:
    score = np.where(importance.updates <= current, importance.score, np.nan)
    if not np.isfinite(score).any():
        return []
    at = int(np.nanargmax(score))
    name = "Score" if _is_change(past) else "Highest score"
    if _is_gap(past):
        name = "Highest drift score"  # another one than the sentence's
    early = "" if is_scored(importance, current) else f", within the burn-in of {importance.burn_in} updates"
    return [
        f"{name} {score[at]:.1f} at {named(importance.unit, int(importance.updates[at]))}, limit {importance.limit:g}{early}."
    ]


def _not_measured(importance: Importance, current: int) -> list[str]:
    names = unmeasured_at(importance, current)
    if not names:
        return []
    return [f"Importance not measured: {_listed(names)}."]


def _listed(names: Sequence[str]) -> str:
    """Return names as a list, and the number of those that are too many for it."""
    others = len(names) - FEATURES_LISTED
    more = f" and {count(others, 'other')}" if others > 0 else ""
    return f"{', '.join(names[:FEATURES_LISTED])}{more}"


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
        return Fact("–", "", "no metric in the logs")
    new = _log(run, key, current)
    old = float("nan") if before is None else _log(run, key, before)
    is_accuracy = "acc" in key
    show = percent if is_accuracy else short
    label = key.replace("val_", "validation ").replace("_", " ")
    label = label.replace("sparse categorical ", "").replace("binary ", "")
    was = f"was {show(old)}" if np.isfinite(old) and before is not None and before < current else ""
    return Fact(show(new), was, label, alarm=bool(is_accuracy and old - new > MARKED_ACCURACY_LOSS))


def _score(importance: Importance | None, current: int) -> Fact:
    if importance is None:
        return Fact("–", "", "drift score: not recorded")
    at = position(importance.updates, current)
    score, update = float(importance.score[at]), int(importance.updates[at])
    when = named(importance.unit, update)
    limit = f"of {importance.limit:g}"
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
    return Fact(percent(float(share[f])), was, f"{when}{feature}, rank {rank} of {measured}", alarm=alarm)


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
