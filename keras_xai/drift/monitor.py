"""The drift decision: from the importance of an epoch to shares, a score, alerts and their cause.

Numpy alone: the attributions behind the importance are computed by the caller.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.drift.control_chart import ChartUpdate, ControlChart
from keras_xai.drift.event_tracker import MAX_DELAY_OF_INPUTS, EventTracker
from keras_xai.drift.input_chart import InputDriftChart
from keras_xai.drift.top_features import TopFeatures
from keras_xai.errors import InvalidInput, check_int
from keras_xai.events import CHANGES
from keras_xai.records import Alert, Changed, Digest, FeatureMove, Shares, Source, Verdict

DEFAULT_LIMIT, DEFAULT_LIMIT_PER_CLASS = 6.0, 9.0  # |z|
MAX_FEATURES_OF_ALERT = 5

Explained = Literal["clean", "live"]  # the sources of rows that are explained; "data" are the live rows' own values
ROWS_OF_SOURCE: dict[Explained, str] = {"clean": "fixed probe", "live": "live rows"}  # in the words of notes


@dataclass(frozen=True)
class DriftSettings:
    """Conditions under which a move is an alarm; see `of` for their meaning."""

    limit: float = DEFAULT_LIMIT
    burn_in: int = 8
    cooldown: int = 3
    per_class: bool = False

    @classmethod
    def of(
        cls, limit: float | None = None, burn_in: int = 8, cooldown: int = 3, per_class: bool = False
    ) -> DriftSettings:
        """Check settings, and fill in the default limit.

        Args:
            limit: |z| above which a feature raises an alarm; None for 6, or 9 where each class is watched by itself.
            burn_in: updates before the first alarm.
            cooldown: an alarm needs more than so many updates since the last one.
            per_class: each feature is watched for each class by itself.

        Raises:
            InvalidInput: a limit that is not positive; a number of updates that is no integer of 0 or more.
        """
        if limit is not None and not limit > 0:
            raise InvalidInput(f"limit={limit!r}: expected a positive number, in units of a feature's own usual move.")
        for name, count in (("burn_in", burn_in), ("cooldown", cooldown)):
            check_int(name, count, minimum=0, expected="a number of updates, 0 or more")
        if limit is None:
            limit = DEFAULT_LIMIT_PER_CLASS if per_class else DEFAULT_LIMIT
        return cls(float(limit), int(burn_in), int(cooldown), per_class)


class Scored(NamedTuple):
    """The result of scoring one source at one update."""

    shares: Shares | None  # the record; None before the first importance has chosen the features that stand alone
    note: str = ""  # why the importance could not be scored, "" where it was


class DriftMonitor:
    """Decides, from the importance of each epoch, what the shares are, how unusual their move is, and what is an alert.

    In each recorded epoch call `begin_update`; `update` for each source; `update_inputs` where the live rows differ at every
    read, `report_change` where they used to repeat and changed; then `end_update`.

    Args:
        features: (F) names.
        settings: when a move is an alarm.
        classes: (C) names, where each class is watched by itself.
        live: live rows are watched beside the fixed probe.

    Attributes:
        last_alarm: the number of the update with the last alarm, −1 before any.
        inside_epochs: updates are made inside epochs, too, where moves come in bursts; set before the first update.

    Example:
        >>> import numpy as np
        >>> monitor = DriftMonitor(["age", "dose"], DriftSettings.of())
        >>> for epoch in range(12):
        ...     monitor.begin_update()
        ...     importance = np.array([1.0, 1.0 if epoch < 11 else 3.0])
        ...     scored = monitor.update(epoch, "clean", importance, np.ones(2, np.int8))
        ...     alerts = monitor.end_update(epoch)
        >>> [(move.name, move.before, move.after) for move in alerts[0].features]
        [('age', 0.5, 0.25), ('dose', 0.5, 0.75)]
    """

    def __init__(
        self,
        features: Sequence[str],
        settings: DriftSettings,
        *,
        classes: Sequence[str] = (),
        live: bool = False,
    ) -> None:
        self.settings = settings
        self.classes: Sequence[str] = classes  # may be known only once the model is built
        self.top_features = TopFeatures(features)
        chart = {"burn_in": settings.burn_in, "cooldown": settings.cooldown}
        self.inputs = InputDriftChart(**chart)
        self._charts: dict[Explained, ControlChart] = {
            "clean": ControlChart(settings.limit, **chart),
            "live": ControlChart(settings.limit, **chart),
        }
        self._feature_count = len(features)
        self._last_shares: dict[Explained, NDArray[np.float32]] = {}
        self._watches_live = live
        self._log = {"xai_drift": math.nan, "xai_drift_score": math.nan, "xai_drift_alarm": 0.0}
        if live:
            self._log |= {"xai_drift_score_live": math.nan, "xai_drift_alarm_live": 0.0}
        self.last_alarm = -1
        self.inside_epochs = False
        self._update = 0  # number of the present one
        self._last_input_alarm: int | None = None  # update
        self._last_change: int | None = None  # update at which changed rows were an alert
        self._events = EventTracker()
        self._drafts: list[Alert] = []  # alerts of this update, without their events
        self._over_limit = False  # a score of this update is over its limit

    @property
    def names(self) -> tuple[str, ...]:
        """The names (f) of what is scored: the top features and "other"; class by class (C · f) where each is watched."""
        if not self.settings.per_class:
            return self.top_features.names
        return tuple(name + suffix for suffix in self._suffixes for name in self.top_features.names)

    @property
    def _suffixes(self) -> list[str]:
        return [f", class {name}" for name in self.classes]

    @property
    def is_burning_in(self) -> bool:
        """True until as many updates are over as the burn-in has."""
        return self._update < self.settings.burn_in

    # One update.

    def begin_update(self) -> None:
        """Begin the update of an epoch: nothing is an alarm so far."""
        self._over_limit = False
        for name in self._alarm_keys:
            self._log[name] = 0.0

    def update(
        self,
        epoch: int,
        source: Explained,
        importance: NDArray[Any],
        direction: NDArray[np.int8],
        *,
        learning_rate: float = 1.0,
        unmeasured: NDArray[np.bool_] | None = None,
        method: str = "",
        digest: Digest | None = None,
    ) -> Scored:
        """Score the importance of one source.

        Args:
            epoch: of the update.
            source: whose rows were explained.
            importance: (F), or (C · F) class by class: mean |attribution|.
            direction: of the same shape, the sign of the mean signed attribution.
            learning_rate: of the epoch; NaN where it is not known.
            unmeasured: (F) True for features that the method cannot measure: their share is NaN, and never an alarm.
            method: the name of the attribution method.
            digest: check sums of the rows, which are kept in the record.
        """

        def shares_of(share: NDArray[np.float32], score: float, signs: NDArray[np.int8] | None = None) -> Shares:
            settings = self.settings
            return Shares(
                epoch, source, self.names, share, score, settings.limit, signs, settings.burn_in, method, digest
            )

        measured = np.ones(importance.shape, bool) if unmeasured is None else np.resize(~unmeasured, importance.shape)
        importance = np.where(measured, importance, 0.0)
        total = importance.sum()
        if not np.isfinite(total) or total <= 0:
            reason = "all zero" if total == 0 else "not finite"
            note = f"The importance on the {ROWS_OF_SOURCE[source]} is {reason}: not scored."
            if not self.top_features.is_fixed:
                return Scored(None, note)
            return Scored(shares_of(np.full(len(self.names), np.nan, np.float32), math.nan), note)
        by_class = np.where(measured, importance, np.nan).reshape(-1, self._feature_count)
        self.top_features.choose(by_class.sum(0))
        # The chart gets float32 as the file does: replaying the file then gives the same chart bit for bit.
        share = (self.top_features.sum_others(by_class).ravel() / total).astype(np.float32)
        direction = self.top_features.signs(direction.reshape(by_class.shape)).ravel()
        update = self._charts[source].update_measured(share, learning_rate, inside_epochs=self.inside_epochs)
        if source == "clean":
            last = self._last_shares.get(source)
            self._log["xai_drift"] = math.nan if last is None else total_variation(share, last)
        self._last_shares[source] = share
        self._log["xai_drift_score" if source == "clean" else "xai_drift_score_live"] = update.score
        self._over_limit |= update.score > self.settings.limit
        if update.alarm:
            self._draft(epoch, source, self.names, update, direction, self.settings.limit)
        return Scored(shares_of(share, update.score, direction))

    def update_inputs(self, epoch: int, movement: NDArray[np.float64]) -> Shares:
        """Score the values of the live rows, where they differ at every read because the pipeline draws noise.

        Args:
            epoch: of the update.
            movement: (F) of all features, see `InputDriftChart.movement`.
        """
        moved = self.top_features.root_mean_square(movement).astype(np.float32)
        update = self.inputs.update(moved)
        names, limit = self.top_features.names, self.inputs.limit
        if update.alarm:
            self._last_input_alarm = self._update
            self._draft(epoch, "data", names, update, None, limit)
        return Shares(epoch, "data", names, moved, update.score, limit, burn_in=self.settings.burn_in)

    def report_change(self, epoch: int, changed: Changed, shares: Sequence[tuple[str, float]]) -> None:
        """Raise an alert that rows which used to repeat have changed, unless one was raised within the cooldown.

        The change is certain: it needs no score, and is an alert whether any attribution moves or not.

        Args:
            epoch: of the update.
            changed: how many rows and labels differ.
            shares: the features that differ, "labels" among them, each with the share of the rows in which it does, 0 to 1.
        """
        if self._last_change is not None and self._update - self._last_change <= self.settings.cooldown:
            return
        self._last_change = self._update
        moves = tuple(FeatureMove(name, 0.0, share, 0, math.nan) for name, share in shares)
        self._drafts.append(Alert(epoch, "data", "data changed", False, moves, changed=changed))

    def lose_live(self) -> None:
        """Go on with the fixed probe alone, once the live rows cannot be read any more."""
        self._watches_live = False
        self._log |= {"xai_drift_score_live": math.nan, "xai_drift_alarm_live": 0.0}

    def end_update(self, epoch: int, *, inputs_changed: bool = False) -> list[Alert]:
        """Return the alerts of this update, each with its event and verdict, a cause before its effect.

        Args:
            epoch: of the update.
            inputs_changed: the live rows changed in one of the last reads, which may be why importance moved.
        """
        drafts, self._drafts = self._drafts, []
        last = self._last_input_alarm
        if inputs_changed or (last is not None and self._update - last <= MAX_DELAY_OF_INPUTS):
            drafts = [dataclasses.replace(alert, verdict="data changed") for alert in drafts]
        alerts = self._events.assign(self._update, drafts, over_limit=self._over_limit)
        if alerts:
            self._log["xai_drift_alarm"] = 1.0
            self.last_alarm = epoch
        if any(alert.source != "clean" for alert in alerts):
            self._log["xai_drift_alarm_live"] = float(self._watches_live)
        self._update += 1
        return alerts

    def count_alarm(self, epoch: int) -> None:
        """Count an alarm of another kind: the epochs since the last one begin again."""
        self.last_alarm = epoch

    def log_values(self, epoch: int, *, updated: bool = True) -> dict[str, float]:
        """Return the figures of an epoch for Keras' `logs`.

        Args:
            epoch: the present one.
            updated: False for an epoch that is not scheduled: it repeats the last figures, without an alarm.
        """
        values = dict(self._log)
        if not updated:
            values |= dict.fromkeys(self._alarm_keys, 0.0)
        return values | {"xai_quiet_epochs": float(epoch - self.last_alarm)}

    @property
    def _alarm_keys(self) -> list[str]:
        return [name for name in ("xai_drift_alarm", "xai_drift_alarm_live") if name in self._log]

    def _draft(
        self,
        epoch: int,
        source: Source,
        names: tuple[str, ...],
        update: ChartUpdate,
        direction: NDArray[np.int8] | None,
        limit: float,
    ) -> None:
        """Keep an alarm of this update; `end_update` assigns its event."""
        moves = tuple(
            FeatureMove(
                name=names[f],
                before=float(update.before[f]),
                after=float(update.after[f]),
                direction=0 if direction is None else int(direction[f]),
                z=float(update.z[f]),
            )
            for f in update.features_over_limit()[:MAX_FEATURES_OF_ALERT]
        )
        changed = None
        # One alert of a source an epoch: of "data" there may be a change of the labels and one of the score, which are merged.
        earlier = next((alert for alert in self._drafts if alert.source == source), None)
        if earlier is not None:
            self._drafts.remove(earlier)
            moves, changed = (*earlier.features, *moves), earlier.changed
        verdict: Verdict = "data changed" if source == "data" else "reliance moved"
        self._drafts.append(Alert(epoch, source, verdict, update.rising, moves, update.score, limit, changed=changed))

    # A run that is continued.

    def replay(
        self,
        past: Mapping[Source, Sequence[Shares]],
        alerts: Sequence[Alert],
        learning_rates: Mapping[int, float],
        *,
        start_anew: Container[Source] = (),
    ) -> None:
        """Go on from the records of a run, as if they had been scored here.

        Args:
            past: the updates of each source.
            alerts: with their events.
            learning_rates: by the number of the update.
            start_anew: sources whose past cannot be compared with what is scored from here: their burn-in begins again.
        """
        clean, live = past.get("clean", ()), past.get("live", ())
        if clean:
            suffixes = self._suffixes if self.settings.per_class else [""]
            self.top_features.restore(clean[0].names, suffixes[0])
        for source in ROWS_OF_SOURCE:
            for shares in () if source in start_anew else past.get(source, ()):
                rate = learning_rates.get(shares.update, math.nan)
                self._charts[source].update_measured(shares.share, rate, inside_epochs=self.inside_epochs)
                if np.isfinite(shares.share).any():
                    self._last_shares[source] = shares.share
        for shares in past.get("data", ()):
            self.inputs.update(shares.share)
        updates = [shares.update for shares in clean]
        self._update = len(updates)
        over_limit = {shares.update for shares in (*clean, *live) if shares.score > self.settings.limit}
        self._events.restore([alert for alert in alerts if alert.source in CHANGES], updates, over_limit)
        self.last_alarm = max((alert.update for alert in alerts), default=-1)
        for alert in alerts:
            if alert.source != "data":
                continue
            update = sum(number < alert.update for number in updates)
            if math.isfinite(alert.score):
                self._last_input_alarm = update
            if alert.changed is not None:
                self._last_change = update


def total_variation(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    """Return the total variation distance of two share vectors (F), half the sum of |p − q|, 0 to 1.

    Features that are NaN in either are left out.
    """
    moved = np.abs(np.asarray(p, np.float64) - q)
    return float(moved[np.isfinite(moved)].sum() / 2)
