"""Overview: what happened in this run? First in words, then on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.events import events
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import drift_score, importance_map, importance_of, position
from keras_xai.figures.measured import burn_in_end, missing, place
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, epoch_axis, line, mark_alerts, mark_resumed, text
from keras_xai.figures.weight_gradients import heat_map
from keras_xai.figures.words import count, percent, short
from keras_xai.judgement import is_scored, judge, not_finite_since
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, Importance


@dataclass(frozen=True)
class Fact:
    """One figure of the overview: what it is now, what it was, and whether that is wrong."""

    value: str
    was: str
    note: str
    alarm: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run has to say for itself at one epoch."""

    sentence: str
    detail: str
    facts: tuple[Fact, ...]
    alarm: bool
    before: int  # the epoch that "was" refers to
    feature: str  # the feature that moved, or the most important one; "" without an importance
    faults: tuple[str, ...] = ()  # what of the watch broke, a sentence each
    watch: str = ""  # what the absence of alerts amounts to; "" where there are some
    not_finite: int | None = None  # the epoch from which on no importance is finite
    missing: tuple[str, ...] = ()  # features whose importance was not measured


def event_sentence(event: Sequence[Alert]) -> str:
    """Epoch 14: the training data changed in block (0,0), and by epoch 16 the model relies on it."""
    changed = next((a for a in event if a.source != "clean" and a.verdict == "data changed"), None)
    moved = next((a for a in event if a.source == "clean" or a.verdict == "reliance moved"), None)
    rate = " while the learning rate was rising" if any(a.learning_rate_rising for a in event) else ""
    if changed is None:
        first = event[0]
        if first.verdict == "data changed":
            return f"Epoch {first.epoch}: the training data changed{rate}."
        return f"Epoch {first.epoch}: the model moved its reliance {_towards(first)}{rate}."
    where = _name(_telling(event))
    rows = changed.changed
    if rows is not None and rows.labels and not rows.rows:
        start = "the training labels changed"
    else:
        start = f"the training data changed{f' in {where}' if where else ''}"
    if moved is None:
        return f"Epoch {changed.epoch}: {start}{rate}."
    answer = _answer(event, moved, where)
    if moved.epoch < changed.epoch:
        return (
            f"Epoch {moved.epoch}: the model moved its reliance {_towards(moved)}, "
            f"and at epoch {changed.epoch} {start}{rate}."
        )
    return f"Epoch {changed.epoch}: {start}, and by epoch {moved.epoch} {answer}{rate}."


def _answer(event: Sequence[Alert], moved: Alert, where: str) -> str:
    """What the model makes of a change of the data in `where`."""
    same = next((feature for feature in moved.features if feature[0] == where), None)
    if same is not None:
        return "the model relies on it" if same[2] >= same[1] else "the model relies less on it"
    also_changed = {feature[0] for alert in event if alert.source != "clean" for feature in alert.features}
    name = _name(moved)
    if name in also_changed and moved.features[0][2] >= moved.features[0][1]:
        return f"the model relies on {name}, which changed too"
    return f"the model moved its reliance {_towards(moved)}"


def _telling(event: Sequence[Alert]) -> Alert:
    """The alert that says best which features it is about: by what the model makes of the rows, else by the rows."""
    named = [alert for alert in event if alert.features]
    return next((a for a in named if a.source == "live"), named[0] if named else event[0])


def _name(alert: Alert) -> str:
    return alert.features[0][0] if alert.features else ""


def _towards(alert: Alert) -> str:
    if not alert.features:
        return "elsewhere"
    name, before, after, _, z = alert.features[0]
    rose = not z < 0 if alert.source == "data" or before == after else after > before
    return f"{'to' if rose else 'away from'} {name}"


def summary(run: Recorded, epoch: int | None = None) -> Summary:
    """The sentence, the line below it and the four figures, as they stood at `epoch` (default: now)."""
    epochs = list(run.epochs)
    if not epochs:
        size = f" of {count(run.probe.size, 'sample')}" if run.probe is not None else ""
        return Summary(
            "No epochs yet.",
            f"The run has written its probe{size} but no epoch. The first arrives when the first epoch ends."
            if run.probe is not None
            else "Nothing is written yet. The first record arrives when the first epoch ends.",
            (),
            False,
            0,
            "",
            _as_sentences(judge(run).faults),
        )
    now = epochs[position(epochs, epoch)]
    told = events([alert for alert in run.alerts if alert.epoch <= now])
    found = importance_of(run, told[0][0].source if told and told[0][0].source != "data" else None)
    importance = found[1] if found else None
    first = told[0][0].epoch if told else None
    earlier = [e for e in epochs if first is not None and e < first]
    before = earlier[-1] if earlier else epochs[0]
    feature = _name(_telling(told[0])) if told else _leader(importance, now)
    facts = (
        _metric(run, now, before if told else None),
        _score(importance, now),
        _share(importance, feature, now, before, alarm=bool(told)),
        _flags(run, now),
    )
    judgement = judge(run, now)
    faults = _as_sentences(judgement.faults)
    sentence = _sentence(run, told, now, watched=not faults)
    return Summary(
        sentence,
        _detail(run, told, importance, now, before),
        facts,
        bool(told),
        before,
        feature,
        faults,
        watch="" if told else _watch(run, now, _as_sentences(judgement.faults or judgement.gaps)),
        not_finite=not_finite_since(importance, now),
        missing=() if importance is None else tuple(missing(importance, now)),
    )


def _watch(run: Recorded, now: int, unwatched: Sequence[str]) -> str:
    """What it means that there is no alert: calm is claimed only where an alarm was possible."""
    found = importance_of(run)
    if unwatched:
        return f"None so far. {' '.join(unwatched)}"
    if found is None or not is_scored(found[1], now):
        return "None so far: within the burn-in no alarm is possible."
    return "None. No feature moved by more than its limit since the burn-in."


def _as_sentences(clauses: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{clause[:1].upper()}{clause[1:].rstrip('.')}." for clause in clauses)


def _sentence(run: Recorded, told: Sequence[Sequence[Alert]], now: int, *, watched: bool) -> str:
    if told:
        return event_sentence(told[0])
    flagged = _flagged(run, now)
    if flagged:
        names, total, kind, since = flagged
        stopped = (
            "the model has stopped learning" if kind == "dead" and 2 * names > total else "look at its weight gradients"
        )
        verb = {
            "dead": "get no gradient",
            "vanishing": "get hardly any gradient",
            "exploding": "get exploding gradients",
        }
        does = verb.get(kind, "get gradients that are not finite")
        return f"Since epoch {since}, {names} of {count(total, 'variable')} {does}: {stopped}."
    if not watched:
        return "No alert so far, but not all of this training was watched."
    found = importance_of(run)
    if found is None:
        seen = count(len([e for e in run.epochs if e <= now]), "epoch")
        flags = ", no gradient flag" if run.weight_gradients else " recorded"
        return f"{seen}{flags}; nothing here watches what the model relies on."
    if not is_scored(found[1], now):
        return "No alert so far: still too early to say what is usual for this run."
    return "No alert so far: the model goes on relying on what it relied on before."


def _detail(
    run: Recorded, told: Sequence[Sequence[Alert]], importance: Importance | None, now: int, before: int
) -> str:
    parts = []
    if importance is not None:
        score = np.where(importance.epochs <= now, importance.score, np.nan)
        if np.isfinite(score).any():
            at = int(np.nanargmax(score))
            what = "Score" if told else "Highest score"
            early = "" if is_scored(importance, now) else f", within the burn-in of {importance.burn_in} updates"
            parts.append(f"{what} {score[at]:.1f} at epoch {importance.epochs[at]}, limit {importance.limit:g}{early}.")
        if unknown := missing(importance, now):
            shown = ", ".join(unknown[:5]) + (f" and {count(len(unknown) - 5, 'other')}" if len(unknown) > 5 else "")
            parts.append(f"Importance not measured: {shown}.")
    for key, label in (("loss", "Training loss"), ("val_loss", "Validation loss")):
        old, new = _log(run, key, before), _log(run, key, now)
        if np.isfinite(new) and (told or key == "val_loss"):
            parts.append(
                f"{label} since epoch {before}: {short(old)} → {short(new)}."
                if told and before < now
                else f"{label} {short(new)}."
            )
    for event in told[1:3]:
        parts.append(f"Later, {event_sentence(event)[0].lower()}{event_sentence(event)[1:]}")
    if len(told) > 3:
        parts.append(f"And {count(len(told) - 3, 'later alert')}.")
    return " ".join(parts)


def accuracy_key(run: Recorded) -> str | None:
    """The log that a reader looks at first: validation accuracy, else another metric, else a loss."""
    keys = list(dict.fromkeys(key for record in run.history for key in record.logs if not key.startswith("xai_")))
    metrics = [key for key in keys if "loss" not in key]
    ordered = [
        *(key for key in metrics if key.startswith("val_") and "acc" in key),
        *(key for key in metrics if "acc" in key),
        *(key for key in metrics if key.startswith("val_")),
        *(key for key in ("val_loss", "loss") if key in keys),
    ]
    return ordered[0] if ordered else None


def _log(run: Recorded, key: str, epoch: int) -> float:
    records = [record for record in run.history if record.epoch <= epoch and key in record.logs]
    return float(records[-1].logs[key]) if records else float("nan")


def _metric(run: Recorded, now: int, before: int | None) -> Fact:
    key = accuracy_key(run)
    if key is None:
        return Fact("–", "", "no metric in the logs")
    new, old = _log(run, key, now), _log(run, key, before) if before is not None else float("nan")
    show = percent if "acc" in key else short
    label = (
        key.replace("val_", "validation ").replace("_", " ").replace("sparse categorical ", "").replace("binary ", "")
    )
    was = f"was {show(old)}" if np.isfinite(old) and before is not None and before < now else ""
    return Fact(show(new), was, label, alarm=bool("acc" in key and old - new > 0.05))


def _score(importance: Importance | None, now: int) -> Fact:
    if importance is None:
        return Fact("–", "", "drift score: not recorded")
    at = position(importance.epochs, now)
    score, epoch = float(importance.score[at]), int(importance.epochs[at])
    since, end, of = not_finite_since(importance, now), burn_in_end(importance), f"of {importance.limit:g}"
    if since is not None:
        return Fact("–", of, f"drift score: not finite since epoch {since}", alarm=True)
    early = end is None or epoch < end
    until = f"until epoch {end}" if end is not None else f"of {importance.burn_in} updates"
    if not np.isfinite(score):
        return Fact("–", of, f"drift score: burn-in {until}" if early else f"drift score, epoch {epoch}: not measured")
    note = f"drift score, epoch {epoch}{f': burn-in {until}' if early else ''}"
    return Fact(f"{score:.1f}", of, note, alarm=score > importance.limit and not early)


def _leader(importance: Importance | None, now: int) -> str:
    if importance is None:
        return ""
    share = importance.share[place(importance, now)]
    return importance.names[int(np.nanargmax(share))] if np.isfinite(share).any() else ""


def _share(importance: Importance | None, feature: str, now: int, before: int, *, alarm: bool) -> Fact:
    if importance is None or feature not in importance.names:
        return Fact("–", "", f"{feature}: no share recorded" if feature else "importance: not recorded")
    at, f = place(importance, now), importance.names.index(feature)
    share, then = importance.share[at], float(importance.share[place(importance, before), f])
    was = f"was {percent(then)}" if before < now and np.isfinite(then) else ""
    if not np.isfinite(share[f]):
        return Fact("–", was, f"{feature}: not measured", alarm=alarm)
    rank, measured = 1 + int(np.sum(share > share[f])), int(np.isfinite(share).sum())
    since = not_finite_since(importance, now)
    when = "" if since is None else f"at epoch {importance.epochs[at]}: "
    return Fact(percent(float(share[f])), was, f"{when}{feature}, rank {rank} of {measured}", alarm=alarm)


def _flagged(run: Recorded, now: int) -> tuple[int, int, str, int] | None:
    """How many variables carry a flag, of how many, the commonest kind and its first epoch."""
    records = [record for record in run.weight_gradients if record.epoch <= now]
    if not records or not records[-1].flags:
        return None
    flags, total = records[-1].flags, len(records[-1].names)
    kinds = [kind for _, kind, _ in flags]
    kind = max(dict.fromkeys(kinds), key=kinds.count)
    return len({name for name, _, _ in flags}), total, kind, min(since for _, k, since in flags if k == kind)


def _flags(run: Recorded, now: int) -> Fact:
    if not run.weight_gradients:
        return Fact("–", "", "gradient flags: not recorded")
    found = _flagged(run, now)
    if found is None:
        return Fact("none", "", "variables with a gradient flag")
    return Fact(str(found[0]), f"of {found[1]}", f"variables flagged: {found[2]} since epoch {found[3]}", alarm=True)


def loss(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """Training loss, and validation loss dotted; logarithmic where it spans more than a decade."""
    data = []
    for name, one, colour, width in (
        *((other.name, other.run, look.of(other), 1.25) for other in look.others),
        (look.name, run, look.own, 2.0),
    ):
        for key, dash in (("loss", "solid"), ("val_loss", "2px,3px")):
            values = [record.logs.get(key, float("nan")) for record in one.history]
            if np.isfinite(values).any():
                label = {"loss": "training", "val_loss": "validation"}[key]
                label = f"{name} {label}" if look.others else label
                epochs = [record.epoch for record in one.history]
                data.append(line(label, epochs, values, colour, width=width, dash=dash, hovertemplate="%{y:.3g}"))
    seen = [v for trace in data for v in trace["y"] if v is not None]
    logarithmic = bool(seen) and min(seen) > 0 and max(seen) / min(seen) > 10
    panel = chart(
        look,
        data,
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(look, type="log" if logarithmic else "linear", nticks=5, **({"dtick": 1} if logarithmic else {})),
    )
    mark_resumed(look, panel, run.history)
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    return panel


def figure(run: Recorded, *, epoch: int | None = None, look: Look = LIGHT) -> Figure:
    """The sentence as the title over score, loss, importance and gradient health; what was not recorded is left out."""
    panels = []
    if importance_of(run) is not None:
        panels.append(("Drift score", drift_score(run, look)))
    if any("loss" in record.logs for record in run.history):
        panels.append(("Loss, validation dotted", loss(run, look)))
    if importance_of(run) is not None:
        panels.append(("Importance by feature and epoch", importance_map(run, look, epoch=epoch)))
    if run.weight_gradients:
        panels.append(
            ("Gradient health: log RMS, layer × epoch", heat_map(run, look, kernels_only=True, compact=True, labels=16))
        )
    told = summary(run, epoch)
    title = text(told.sentence, 160)
    for fault in told.faults[:2]:
        title += f'<br><span style="color:{look["alarm"]};font-size:13px">{text(fault, 160)}</span>'
    if told.missing:
        unknown = f"Importance not measured: {', '.join(told.missing)}"
        title += f'<br><span style="color:{look["text-2"]};font-size:13px">{text(unknown, 160)}</span>'
    if not panels:
        return chart(look, [], title={"text": title})
    return grid(look, panels, title=title)
