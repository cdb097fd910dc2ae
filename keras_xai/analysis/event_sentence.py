"""The sentence of an event, and the events that are told in one: a change, and what the model makes of it later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_xai.alert_words import VERDICT_WORDS
from keras_xai.analysis.formatting import called
from keras_xai.events import CHANGES
from keras_xai.printed import printable
from keras_xai.records import Alert, FeatureMove

Event = Sequence[Alert]  # alerts of one cause


@dataclass(frozen=True)
class EventGroup:
    """Events that one sentence tells: the first of them, and later ones in which the same features move the same way."""

    alerts: tuple[Alert, ...]
    again: tuple[str, ...] = ()  # moments of later events that add nothing to the sentence

    @property
    def sentence(self) -> str:
        """The sentence of the events."""
        return event_sentence(self.alerts)


def grouped_by_feature(events: Sequence[Event]) -> list[EventGroup]:
    """Return events as they are told: a later one joins the first in which the feature that it names moved the same way.

    So the reliance that follows a change of the data is told with it, however many updates lie between them.

    Args:
        events: in the order in which they are told.
    """
    together: list[EventGroup] = []
    for event in events:
        at = next((i for i, group in enumerate(together) if _recurs(event, group.alerts)), None)
        if at is None:
            together.append(EventGroup(tuple(event)))
            continue
        earlier = together[at]
        alerts = (*earlier.alerts, *event)
        is_news = event_sentence(alerts) != earlier.sentence
        again = () if is_news else (event[0].moment,)
        together[at] = EventGroup(alerts, (*earlier.again, *again))
    return together


def _recurs(event: Event, earlier: Event) -> bool:
    """Return True where the feature that an event names moved the same way in an earlier one; both are changes."""
    if event[0].source not in CHANGES or earlier[0].source not in CHANGES:
        return False
    alert = telling_alert(event)
    if not alert.features or event[0].update < earlier[0].update:
        return False
    move = alert.features[0]
    rose = _rose(alert, move)
    return any(
        other.name == move.name and _rose(candidate, other) == rose
        for candidate in earlier
        for other in candidate.features
    )


def _rose(alert: Alert, move: FeatureMove) -> bool:
    """Return True for a feature that moved up: in its share, or by its score where shares do not say."""
    by_score = alert.source == "data" or move.before == move.after
    return not move.z < 0 if by_score else move.after > move.before


def event_sentence(event: Event) -> str:
    """Describe an event: "Epoch 14: the training data changed in block (0,0), and by epoch 16 the model relies on it.".

    An alert that says in a sentence what happened says it of its event.
    """
    if event[0].sentence:
        return as_sentence(printable(event[0].sentence))
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
    when = "at once" if moved.update == changed.update else f"by {moved.moment}"
    return f"{changed.moment.capitalize()}: {start}, and {when} {_answer(event, moved)}{rate}."


def _seen_on_probe(alert: Alert) -> str:
    """Describe an event whose alerts are all of the fixed probe."""
    return VERDICT_WORDS[alert.verdict] if alert.verdict == "data changed" else _move(alert)


def _change(event: Event, changed: Alert) -> str:
    """Describe a change of the data: of the labels alone, or of the data, with the feature that changed most."""
    rows = changed.changed
    if rows is not None and rows.labels and not rows.rows:
        return "the training labels changed"
    where = first_feature(telling_alert(event))
    return f"{VERDICT_WORDS['data changed']} in {called(where)}" if where else VERDICT_WORDS["data changed"]


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
        return f"the model relies on {called(name)}, which changed too"
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
    return f"{'to' if _rose(alert, move) else 'away from'} {called(move.name)}"


def as_sentence(clause: str) -> str:
    """Return a clause with a capital letter and a full stop."""
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."
