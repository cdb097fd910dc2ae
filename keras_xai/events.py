"""Events: the alerts of one cause, their order, and one line for each event.

A change of the data raises alerts over some epochs: on the values of the live rows, then on their attributions, then on the
fixed probe. Together they are one event with one verdict, and so is a gap that the change opens between training rows and
probe. Any other alert of a gap, and one of a rule, is an event by itself: nothing had to change for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from keras_xai.records import Alert, Verdict

MAX_UPDATES_OF_EVENT = 3  # from its first alert to its last, unless a score stays over its limit
CAUSAL_ORDER = ("data", "live", "clean", "gap", "rule")  # of sources: a cause before its effect
CHANGES = ("data", "live", "clean")  # sources whose alerts are one event where they have one cause


def by_cause(alert: Alert) -> tuple[int, int, bool]:
    """Return a key that sorts alerts by update, and within one a cause before its effect."""
    return alert.update, CAUSAL_ORDER.index(alert.source), not alert.is_alarm


def with_events(alerts: Iterable[Alert]) -> list[Alert]:
    """Return alerts in order, each with its event and the event's verdict: "data changed" where any of its alerts says so.

    An alert without an event (in older files) joins the event before if it is at most three epochs later than the event's
    first alert, and no alert of the event has the same source.
    """
    members: dict[int, list[Alert]] = {}
    joined = []
    for alert in sorted(alerts, key=by_cause):
        if not _is_of_change(alert):
            joined.append(dataclasses.replace(alert, event=alert.update if alert.event is None else alert.event))
            continue
        event = _derived_event(alert, members) if alert.event is None else alert.event
        members.setdefault(event, []).append(alert)
    for event, group in members.items():
        joined += [_with_event(alert, event, group) for alert in group]
    return sorted(joined, key=by_cause)


def _derived_event(alert: Alert, members: dict[int, list[Alert]]) -> int:
    last = max(members, default=None)
    if last is None or alert.update - last > MAX_UPDATES_OF_EVENT:
        return alert.update
    is_repeated = alert.source in {member.source for member in members[last]}
    return alert.update if is_repeated else last


def _with_event(alert: Alert, event: int, group: Sequence[Alert]) -> Alert:
    verdict: Verdict = alert.verdict
    if any(member.verdict == "data changed" for member in group):
        verdict = "data changed"
    changed = next((member.changed for member in group if member.changed is not None), None)
    return dataclasses.replace(alert, event=event, verdict=verdict, changed=changed)


def events(alerts: Iterable[Alert]) -> list[list[Alert]]:
    """Return alerts by event, in the order of their first ones."""
    groups: dict[tuple[object, ...], list[Alert]] = {}
    for alert in with_events(alerts):
        groups.setdefault(event_key(alert), []).append(alert)
    return list(groups.values())


def event_key(alert: Alert) -> tuple[object, ...]:
    """Return a key that the alerts of one event have in common: what does not change has another cause than what does."""
    return (alert.event,) if _is_of_change(alert) else (alert.event, alert.source, alert.verdict)


def _is_of_change(alert: Alert) -> bool:
    """Return True for an alert of a change, and for a gap that a change of the data has opened."""
    return alert.source in CHANGES or alert.verdict == "data changed"


def line(event: Sequence[Alert]) -> str:
    """Return one event in one line: its description, and for each alert the rows, the moment and the score."""
    first = event[0]
    # An alert with a score names the features that moved; one without (NaN) only says which rows differ.
    described = next((alert for alert in event if not math.isnan(alert.score)), first)
    rate = " The learning rate was rising." if any(alert.learning_rate_rising for alert in event) else ""
    evidence = []
    for alert in event:
        evidence.append(alert.evidence if alert.update == first.update else f"{alert.evidence} at {alert.moment}")
    return f"{first.at}: {described.description}; {'; '.join(evidence)}.{rate}"
