"""Grouping of alerts into events of one cause, while a training runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

from keras_xai.events import MAX_UPDATES_OF_EVENT, by_cause
from keras_xai.records import Alert, Changed, Verdict

MAX_DELAY_OF_INPUTS = 2  # updates from an attribution alarm to the alarm of the inputs that explains it


class EventTracker:
    """Assigns alerts to events, and the same verdict to all alerts of one event.

    - A change of rows that used to repeat begins an event: alerts before it have another cause.
    - Any other alert joins the event that began at most three updates ago, or one in which a score has stayed over its limit
      ever since.
    - An alert of the inputs' own score joins it within two updates, and makes its verdict "data changed": that score can be
      later than the attributions'.
    """

    def __init__(self) -> None:
        self._event: int | None = None
        self._first_update = 0  # of the event
        self._last_update = 0  # the last one in a row with a score over its limit
        self._verdict: Verdict = "reliance moved"
        self._changed: Changed | None = None

    def assign(self, update: int, alerts: Sequence[Alert], *, over_limit: bool = False) -> list[Alert]:
        """Return the alerts of one update with their events, a cause before its effect.

        Args:
            update: the number of the update.
            alerts: of the update, without events.
            over_limit: a score of this update is over its limit, whether it is an alarm or not.
        """
        members: dict[int, list[Alert]] = {}
        for alert in sorted(alerts, key=by_cause):
            if self._event is None or not self._belongs(alert, update):
                self._event, self._first_update, self._last_update = alert.update, update, update
                self._verdict, self._changed = alert.verdict, None
            if alert.verdict == "data changed":
                self._verdict = alert.verdict
            if alert.changed is not None:
                self._changed = alert.changed
            members.setdefault(self._event, []).append(alert)
        self._prolong(update, over_limit)
        assigned = []
        for event, group in members.items():
            assigned += [self._with_event(alert, event) for alert in group]
        return assigned

    def _with_event(self, alert: Alert, event: int) -> Alert:
        if event != self._event:  # a later alert of this update began another one
            return dataclasses.replace(alert, event=event)
        return dataclasses.replace(alert, event=event, verdict=self._verdict, changed=self._changed)

    def _prolong(self, update: int, over_limit: bool) -> None:
        """Keep the event going where a score was over its limit at every update since it began."""
        if over_limit and update - self._last_update <= 1:
            self._last_update = update

    def _belongs(self, alert: Alert, update: int) -> bool:
        if alert.source == "data" and alert.changed is not None:
            return self._event == alert.update
        if update - self._last_update <= 1:
            return True
        longest = MAX_DELAY_OF_INPUTS if alert.source == "data" else MAX_UPDATES_OF_EVENT
        return update - self._first_update <= longest

    def restore(self, alerts: Sequence[Alert], epochs: Sequence[int], over_limit: Container[int] = ()) -> None:
        """Take over the last event of a run that is continued.

        Args:
            alerts: of the run, with their events.
            epochs: of the run's updates.
            over_limit: the epochs of updates with a score over its limit.
        """
        for alert in alerts:
            self._event, self._verdict, self._changed = alert.event, alert.verdict, alert.changed
        if self._event is None:
            return
        self._first_update = self._last_update = sum(epoch < self._event for epoch in epochs)
        for update, epoch in enumerate(epochs):
            if update > self._first_update:
                self._prolong(update, epoch in over_limit)
