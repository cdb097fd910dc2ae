"""Alerts of one cause: which belong together, and what is said of them in one line.

A change of the data is seen in the rows themselves, in what the model makes of them, and on the fixed probe, in this order and
over some epochs. That is one event with one verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from keras_xai.records import Alert, Verdict

MAX_UPDATES_OF_EVENT = 3  # from its first alert to its last, unless a score stays over its limit
ORDER = ("data", "live", "clean")  # a cause before its effect


def by_cause(alert: Alert) -> tuple[int, int]:
    """The order in which alerts are told."""
    return alert.epoch, ORDER.index(alert.source)


def with_events(alerts: Iterable[Alert]) -> list[Alert]:
    """Alerts in order, each with its event and with the event's verdict: "data changed" where any of its alerts says so.

    An alert that holds no event (older files) joins the one before if it is at most three epochs younger than that one's
    first alert and of another source than all of them.
    """
    members: dict[int, list[Alert]] = {}
    for alert in sorted(alerts, key=by_cause):
        event = _derived(alert, members) if alert.event is None else alert.event
        members.setdefault(event, []).append(alert)
    joined = [_agreed(alert, event, group) for event, group in members.items() for alert in group]
    return sorted(joined, key=by_cause)


def _derived(alert: Alert, members: dict[int, list[Alert]]) -> int:
    last = max(members, default=None)
    if last is None or alert.source in {a.source for a in members[last]} or alert.epoch - last > MAX_UPDATES_OF_EVENT:
        return alert.epoch
    return last


def _agreed(alert: Alert, event: int, group: Sequence[Alert]) -> Alert:
    verdict: Verdict = "data changed" if any(a.verdict == "data changed" for a in group) else alert.verdict
    changed = next((a.changed for a in group if a.changed is not None), None)
    return dataclasses.replace(alert, event=event, verdict=verdict, changed=changed)


def events(alerts: Iterable[Alert]) -> list[list[Alert]]:
    """Alerts by event, in the order of their first ones."""
    groups: dict[int | None, list[Alert]] = {}
    for alert in with_events(alerts):
        groups.setdefault(alert.event, []).append(alert)
    return list(groups.values())


def line(event: Sequence[Alert]) -> str:
    """One event in one line: what happened, by the alert that knows most about it, and who saw it when."""
    first = event[0]
    telling = next((a for a in event if a.score == a.score), first)  # what moved says more than which rows differ
    rate = " The learning rate was rising." if any(a.learning_rate_rising for a in event) else ""
    seen = [a.seen if a.epoch == first.epoch else f"{a.seen} at epoch {a.epoch}" for a in event]
    return f"epoch {first.epoch} (Keras prints {first.epoch + 1}): {telling.what}; {'; '.join(seen)}.{rate}"
