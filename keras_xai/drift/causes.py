"""Which alerts have one cause, as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

from keras_xai.events import NEAR, by_cause
from keras_xai.records import Alert, Changed, Verdict

REACHES = 2  # updates from an attribution alarm to the data alarm that explains it


class Causes:
    """Gives alerts their event, and all of one event the same verdict.

    A change of rows that used to repeat begins an event: what moved before it has another cause. Any other alert joins the
    event that began at most three updates ago; an alarm of the data's own score, which is late at times, makes it one about
    the data if it comes within two. An event lasts as long as a score stays over its limit.
    """

    def __init__(self) -> None:
        self._event: int | None = None
        self._began = 0  # at which update
        self._alive = 0  # the last update in a row with a score over its limit
        self._verdict: Verdict = "reliance moved"
        self._changed: Changed | None = None

    def joined(self, update: int, alerts: Sequence[Alert], *, over: bool = False) -> list[Alert]:
        """The alerts of one update, a cause before its effect; `over` where a score is over its limit, alarm or not."""
        members: dict[int, list[Alert]] = {}
        for alert in sorted(alerts, key=by_cause):
            if not self._belongs(alert, update):
                self._event, self._began, self._alive = alert.epoch, update, update
                self._verdict, self._changed = alert.verdict, None
            if alert.verdict == "data changed":
                self._verdict = alert.verdict
            self._changed = self._changed if alert.changed is None else alert.changed
            assert self._event is not None
            members.setdefault(self._event, []).append(alert)
        self._last(update, over)
        return [self._agreed(alert, event) for event, group in members.items() for alert in group]

    def _agreed(self, alert: Alert, event: int) -> Alert:
        if event != self._event:  # a later alert of this update began another one
            return dataclasses.replace(alert, event=event)
        return dataclasses.replace(alert, event=event, verdict=self._verdict, changed=self._changed)

    def _last(self, update: int, over: bool) -> None:
        """The event goes on where a score was over its limit at every update since it began."""
        if over and update - self._alive <= 1:
            self._alive = update

    def _belongs(self, alert: Alert, update: int) -> bool:
        if self._event is None:
            return False
        age = update - self._began
        if alert.source == "data" and alert.changed is not None:
            return self._event == alert.epoch
        return update - self._alive <= 1 or age <= (REACHES if alert.source == "data" else NEAR)

    def restore(self, alerts: Sequence[Alert], epochs: Sequence[int], over: Container[int] = ()) -> None:
        """As a run that is continued left it.

        Args:
            alerts: of the run, with their events.
            epochs: of its updates.
            over: those of them with a score over its limit.
        """
        for alert in alerts:
            self._event, self._verdict, self._changed = alert.event, alert.verdict, alert.changed
        if self._event is not None:
            self._began = self._alive = sum(epoch < self._event for epoch in epochs)
            for update, epoch in enumerate(epochs):
                if update > self._began:
                    self._last(update, epoch in over)
