"""The alarm: a callback that says when the model starts to rely on something else."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.explainer import Explainer, is_built
from keras_xai.attribution.fitting import settled
from keras_xai.attribution.importance import PooledRows
from keras_xai.attribution.method import named
from keras_xai.attribution.whole import measuring
from keras_xai.callbacks.base import Watcher
from keras_xai.callbacks.fingerprint import Difference, as_numbers
from keras_xai.callbacks.live_rows import LiveRows, copied_rows
from keras_xai.callbacks.memory import Need, expect
from keras_xai.callbacks.schedule import Every
from keras_xai.drift.causes import REACHES, Causes
from keras_xai.drift.data_score import DataScore
from keras_xai.drift.detector import Chart, Update
from keras_xai.drift.distance import total_variation
from keras_xai.drift.leading import Leading
from keras_xai.errors import DriftAlarm, InvalidInput, check_int, unknown
from keras_xai.events import line
from keras_xai.probe import Probe
from keras_xai.records import Alert, FeatureMove, Shares, Source, Verdict
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

FEW, MANY = 64, 1024  # probe rows below which the score is noise, and above which it is dear
LIMIT, LIMIT_PER_CLASS = 6.0, 9.0
TOLD = 5  # features of an alert


class ImportanceDrift(Watcher):
    """Watches what the model relies on, and raises an alarm when that changes (a control chart of feature importance).

    At each epoch's end the mean |attribution| of every feature over a fixed probe becomes a share vector; a move that is
    large in units of the run's own past moves is an alarm. With `live` the same is asked of training rows, read again from
    their source: they see what the probe cannot, as a watermark that only training images carry, and they tell a change
    of the data from a change of the model. Rows or labels that used to repeat and came out differently are an alarm by
    themselves. Alarms of one cause are one event with one verdict, told once.

    Keys in `logs`, in every epoch from the first (EarlyStopping, ModelCheckpoint, CSVLogger see them; this callback
    stands before them in the list): `xai_drift_score` (max |z| on the fixed probe), `xai_drift_alarm` (1 at an alarm of
    whatever source, else 0), `xai_quiet_epochs` (epochs since the last alarm). With `log="all"` also `xai_drift` (total
    variation of the last step, 0 to 1), and with `live` `xai_drift_score_live`, `xai_drift_alarm_live`.

    A table with a column that no gradient reaches (categories, integers into a lookup) is measured whole by exchanging a
    column's values between rows, and says so: F forward passes an epoch in the place of one forward and one backward pass. Of
    other kinds of input what cannot be measured is NaN in the record, and no part of the shares.

    A change detector cannot see a shortcut that was there from epoch 0, nor a very slow ramp. More than 500 features are
    pooled to the 200 heaviest of the run's first epoch and "other".

    Args:
        log_dir: a local directory; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 128 rows or more, not from the training data.
        live: arrays or frames (x, y) by reference, a `PyDataset`, a `tf.data.Dataset` or a callable -> (x, y): the same rows
            in the same order at every read, at most 256 of them; before random augmentation where that can be had.
        method: the attribution method on the probe. Saliency also sees what the probe does not contain.
        live_method: the one on the live rows.
        per_class: watch every class by itself: finds what concerns one class only; wants a class-balanced probe.
        limit: |z| of an alarm; default 6, per class 9.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
        every: look at every n-th epoch, or a function epoch -> bool; the first and the last always.
        on_drift: "warn" (one line an event, as a warning), "stop" (training stops after this epoch), "raise" (`DriftAlarm`) or
            a callable that gets each `records.Alert`.
        on_error: "warn" or "raise".
        log: "all" puts every figure into `logs`; by default three. The records hold all of them.

    Raises:
        InvalidInput: at construction or at train begin, with what came, what is expected and what to do.

    Cost:
        One forward and one backward pass over the probe, and as much over the live rows, an epoch.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> watch = ImportanceDrift(tempfile.mkdtemp(), (x, y), live=(x, y))
        >>> sorted(model.fit(x, y, epochs=2, verbose=0, callbacks=[watch]).history)[-3:]
        ['xai_drift_alarm', 'xai_drift_score', 'xai_quiet_epochs']
    """

    name: ClassVar[str] = "importance_drift"
    of_one_fit: ClassVar[Mapping[str, Any]] = {"_explainers": {}, "_first_rows": None}
    default_figures: ClassVar[frozenset[str]] = frozenset({"xai_drift_score", "xai_drift_alarm", "xai_quiet_epochs"})
    cheaper: ClassVar[str] = "a probe of 128 rows, every=2 or no live rows in ImportanceDrift"

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any,
        *,
        live: Any = None,
        method: str = "saliency",
        live_method: str = "input_x_gradient",
        per_class: bool = False,
        limit: float | None = None,
        burn_in: int = 8,
        cooldown: int = 3,
        every: Every = 1,
        on_drift: str | Callable[[Alert], Any] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        self.probe = self._given = Probe.of(probe)
        for name in (method, live_method):
            if name not in METHODS:
                raise unknown("attribution method", name, METHODS)
            if not METHODS[name].on_input:
                raise InvalidInput(
                    f"{name} gives a map of its own resolution: it has no importance of features; take saliency."
                )
        if limit is not None and not limit > 0:
            raise InvalidInput(f"limit={limit!r}: expected a positive number, in units of a feature's own usual move.")
        for what, count in (("burn_in", burn_in), ("cooldown", cooldown)):
            check_int(what, count, minimum=0, expected="a number of updates, 0 or more")
        if on_drift not in ("warn", "stop", "raise") and not callable(on_drift):
            raise InvalidInput(
                f"on_drift={on_drift!r}: expected 'warn', 'stop', 'raise' or a callable that gets the alert."
            )
        if per_class and self.probe.classes is None:
            raise InvalidInput("per_class=True needs a probe whose y are classes.")
        self._warn_of_size()
        self.needs = expect(Need(self.probe, passes=6, live=copied_rows(live)))
        self.method, self.live_method, self.per_class, self.on_drift = method, live_method, per_class, on_drift
        self.limit = float(limit) if limit is not None else LIMIT_PER_CLASS if per_class else LIMIT
        self.burn_in = int(burn_in)
        self._chart_settings = {"burn_in": self.burn_in, "cooldown": int(cooldown)}
        self.live = None if live is None else LiveRows(live, self.probe)

    def _warn_of_size(self) -> None:
        size = self.probe.size
        if size < FEW:
            warnings.warn(
                f"The probe has {size} rows: below {FEW} the drift score is noisy, and false alarms are "
                f"more frequent; give 128 or more.",
                stacklevel=3,
            )
        elif size > MANY:
            warnings.warn(
                f"The probe has {size} rows and is explained whole at every epoch: 128 to 256 are enough, more cost time.",
                stacklevel=3,
            )

    # The lifecycle.

    def check(self) -> None:
        self.probe = settled(self.model, self._given)
        self._charts = {
            "clean": Chart(self.limit, **self._chart_settings),
            "live": Chart(self.limit, **self._chart_settings),
        }
        self._data = DataScore(**self._chart_settings)
        self._last: dict[str, NDArray[np.float32]] = {}
        self._figures: dict[str, float] = {"xai_drift": math.nan, "xai_drift_score": math.nan, "xai_drift_alarm": 0.0}
        if self.live is not None:
            self._figures |= {"xai_drift_score_live": math.nan, "xai_drift_alarm_live": 0.0}
        self._last_alarm = -1
        self._update = 0  # of the charts, counted
        self._last_data_alarm: int | None = None  # at which update
        self._last_difference: int | None = None  # at which update one was told
        self._causes = Causes()
        self._drafts: list[Alert] = []  # of this update, each without its event
        self._over = False  # whether a score of this update is over its limit
        self._alerts: list[Alert] = []
        self._told_events: dict[int, str] = {}  # their verdicts
        self._unmeasured: dict[str, NDArray[np.bool_]] = {}  # (F) of each source
        self._explainers: dict[str, Explainer] = {}
        self._leading = Leading(self.probe.features)
        self._live_now = self.live
        self._first_rows: Probe | None = None
        if self._live_now is not None:
            try:
                rows = self._first_rows = self._live_now.check(self.probe)
            except InvalidInput:
                raise
            except Exception as fault:
                self._lose_live(fault)
            else:
                if self.per_class and rows.classes is None:
                    raise InvalidInput("per_class=True needs live rows whose y are classes.")

    def is_built(self) -> bool:
        return is_built(self.model, self.probe)

    def prepare(self) -> None:
        wanted = {"clean": self.method} | ({} if self._live_now is None else {"live": self.live_method})
        self._methods = dict(wanted)
        clean = measuring(self.model, self.probe, self.method, named(self.method, {}, METHODS))
        self._unmeasured = {"clean": clean.unmeasured, "live": clean.unmeasured}
        self._methods["clean"] = clean.method
        self._explainers = {"clean": clean.explainer}
        if clean.notice:
            self.warn(clean.notice)
        if "live" in wanted:
            asked = clean.method == self.method and METHODS[self.method].differentiates
            self._explainers["live"] = self._live_explainer(reach_is_known=asked)
        self.note(clean.explainer.task.remark)
        if self.per_class and not clean.explainer.task.classes:
            raise InvalidInput("per_class=True needs a model of classes: the outputs are labels or numbers.")
        if self._first_rows is not None:
            self._explainers["live"].prepare_rows(self._first_rows)
            self._first_rows = None

    def _live_explainer(self, *, reach_is_known: bool) -> Explainer:
        """One for rows of the source. What a gradient method on the probe reaches, one on the live rows reaches too."""
        method = named(self.live_method, {}, METHODS)
        if reach_is_known and method.differentiates:
            return Explainer(self.model, self.probe, {self.live_method: method}, names_held=False)
        live = measuring(self.model, self.probe, self.live_method, method)
        self._methods["live"], self._unmeasured["live"] = live.method, live.unmeasured
        return live.explainer

    def constants(self) -> Mapping[str, Any]:
        # Where features are pooled, which ones is known later; the probe's hash holds all the names.
        names = {} if self._leading.pools else {"features": self._names()}
        methods = {}
        if self._explainers:  # which is used instead is known with the model's weights
            methods = {"method": self._methods["clean"]}
            methods |= {"live method": self._methods["live"]} if "live" in self._methods else {}
        return names | methods | {"limit": self.limit}

    def shown(self) -> Probe | None:
        return self.probe.gallery(0)

    def begin(self, epoch: int, past: Log | None) -> None:
        if past is None:
            return
        rates = {e.epoch: e.learning_rate for e in past.history}
        clean, live, moves = past.shares("clean"), past.shares("live"), past.shares("data")
        if clean:
            self._leading.restore(
                clean[0].names, [self._of_class(c) for c in self._classes()] if self.per_class else [""]
            )
        if clean and self._explainers and self._explainers["clean"].target is None:
            self.note(
                "The probe has no labels, and which classes were explained before is not kept: from here it is the classes "
                "predicted now, and the burn-in on the fixed probe starts again."
            )
            clean = []
        for source, updates in (("clean", clean), ("live", live)):
            for shares in updates:
                self._charts[source].update_measured(shares.share, rates.get(shares.epoch, math.nan))
                if np.isfinite(shares.share).any():
                    self._last[source] = shares.share
        for shares in moves:
            self._data.update(shares.share)
        if self._live_now is not None:
            digests = [shares.digest for shares in live if shares.digest is not None]
            self._live_now.resume(digests, repeats=self._live_now.repeats and not moves)
        self._resume_alerts(past)
        if self._live_now is not None and not self._live_now.repeats:
            self.note(
                "The live rows of before are not kept: the data score begins again with the third epoch from here."
            )

    def _resume_alerts(self, past: Log) -> None:
        """Go on from the alarms of before."""
        epochs = [shares.epoch for shares in past.shares("clean")]
        self._update = len(epochs)
        scored = [*past.shares("clean"), *past.shares("live")]
        self._causes.restore(past.alerts, epochs, {s.epoch for s in scored if s.score > self.limit})
        self._last_alarm = max((a.epoch for a in past.alerts), default=-1)
        self._told_events = {a.event: a.verdict for a in past.alerts if a.event is not None}
        for alert in past.alerts:
            update = sum(epoch < alert.epoch for epoch in epochs)
            if alert.source == "data" and math.isfinite(alert.score):
                self._last_data_alarm = update
            if alert.source == "data" and alert.changed is not None:
                self._last_difference = update

    def observe(self, epoch: int, logs: dict[str, Any]) -> Iterable[Record]:
        records = self._updates(epoch)
        self.tell(logs, self._figures | {"xai_quiet_epochs": float(epoch - self._last_alarm)})
        return records

    def skip(self, epoch: int, logs: dict[str, Any]) -> None:
        figures = self._figures | {"xai_drift_alarm": 0.0, "xai_quiet_epochs": float(epoch - self._last_alarm)}
        if self.live is not None:
            figures["xai_drift_alarm_live"] = 0.0
        self.tell(logs, figures)

    def catch_up(self, epoch: int) -> Iterable[Record]:
        return self._updates(epoch)

    def act(self) -> None:
        alerts, self._alerts = self._alerts, []
        by_event: dict[int | None, list[Alert]] = {}
        for alert in alerts:
            if callable(self.on_drift):
                self.on_drift(alert)
            else:
                by_event.setdefault(alert.event, []).append(alert)
        for event in by_event.values():
            self._answer(event)

    def _answer(self, event: list[Alert]) -> None:
        """What the user asked for at an alarm; one line, unless the event has been told already."""
        text = line(event)
        if self.on_drift == "raise":
            raise DriftAlarm(text, event[0])
        if self.on_drift == "stop":
            self.model.stop_training = True
        first, verdict = event[0].event, event[0].verdict
        if first is not None and self._told_events.get(first) != verdict:
            self._told_events[first] = verdict
            stops = " Training stops." if self.on_drift == "stop" else ""
            # As from no file: the line of our source that would be shown says nothing to the user.
            warnings.warn_explicit(f"ALERT {text} {event[0].advice}{stops}", UserWarning, "<keras_xai>", 0)

    def close(self) -> None:
        self._explainers = {}  # graphs hold the model

    # One epoch.

    def _updates(self, epoch: int) -> list[Record]:
        rate = self.rate
        records: list[Record] = []
        explainer = self._explainers["clean"]
        parts = (part[self._methods["clean"]] for part in explainer.in_parts())
        pooled = PooledRows.of(parts, self.probe)
        self.warn_once(explainer.engine.side_effects)
        self._figures["xai_drift_alarm"], self._over = 0.0, False
        if self.live is not None:
            self._figures["xai_drift_alarm_live"] = 0.0
        records += self._scored(epoch, "clean", pooled, self.probe, rate)
        if self._live_now is not None and self._leading.settled:
            try:
                for record in self._updates_live(epoch, rate):  # not at once: what came before a fault is kept
                    records.append(record)
            except Exception as fault:
                self._lose_live(fault)
        records += self._judged(epoch)
        self._update += 1
        return records

    def _judged(self, epoch: int) -> list[Alert]:
        """The alerts of this update, each with its event and verdict."""
        drafts, self._drafts = self._drafts, []
        if self._data_changed():
            drafts = [dataclasses.replace(alert, verdict="data changed") for alert in drafts]
        alerts = self._causes.joined(self._update, drafts, over=self._over)
        if alerts:
            self._figures["xai_drift_alarm"] = 1.0
            self._last_alarm = epoch
        if any(alert.source != "clean" for alert in alerts):
            self._figures["xai_drift_alarm_live"] = float(self._live_now is not None)
        self._alerts += alerts
        return alerts

    def _data_changed(self) -> bool:
        """Whether what moves now can come from a change of the live rows."""
        last = self._last_data_alarm
        recent = last is not None and self._update - last <= REACHES
        return recent or (self._live_now is not None and self._live_now.changed)

    def _lose_live(self, fault: Exception) -> None:
        """The user's own source failed: the fixed probe is still watched."""
        if self.on_error == "raise":
            raise fault
        self._live_now = None
        self._figures |= {"xai_drift_score_live": math.nan, "xai_drift_alarm_live": 0.0}
        self.stop_part("live_rows", f"{type(fault).__name__}: {fault}")
        self.warn(f"The live rows are watched no longer: {type(fault).__name__}: {fault}")

    def _updates_live(self, epoch: int, rate: float) -> Iterator[Record]:
        assert self._live_now is not None
        rows = self._live_now.read()
        if (difference := self._live_now.difference) is not None:
            self._differ(epoch, difference)
        if not self._live_now.repeats and self.probe.kind != "tokens":
            update, q = self._moved(rows)
            names = self._leading.names
            yield Shares(epoch, "data", names, q, update.score, self._data.limit, burn_in=self.burn_in)
            if update.alarm:
                self._last_data_alarm = self._update
                self._draft(epoch, "data", names, update, None, self._data.limit)
        method = self._methods["live"]
        parts = (part[method] for part in self._explainers["live"].rows_in_parts(rows))
        pooled = PooledRows.of(parts, self.probe, rows)
        yield from self._scored(epoch, "live", pooled, rows, rate)

    def _differ(self, epoch: int, difference: Difference) -> None:
        """The rows are other ones: that is certain, and told whether any attribution moves or not."""
        last, cooldown = self._last_difference, self._chart_settings["cooldown"]
        if last is not None and self._update - last <= cooldown:
            return
        self._last_difference = self._update
        features = tuple(FeatureMove(name, 0.0, share, 0, math.nan) for name, share in difference.shares)
        self._drafts.append(Alert(epoch, "data", "data changed", False, features, changed=difference.changed))

    def _moved(self, rows: Probe) -> tuple[Update, NDArray[np.float32]]:
        x = as_numbers(rows.x)
        if isinstance(self.probe.groups, dict) and (self.probe.is_columns or isinstance(x, np.ndarray)):
            # The columns of a one-hot group always add up to one: they move, their sum does not.
            x = self.probe.as_table(x) if self.probe.is_columns else x
            squares = self._data.movement(x.reshape(rows.size, -1)).reshape(1, *x.shape[1:]) ** 2
            q = np.sqrt(self.probe.pooled(squares)[0] / self.probe.pooled(np.ones_like(squares))[0])
        else:
            q = self._data.movement(self.probe.pooled(x))
        q = self._leading.root_mean_square(q).astype(np.float32)
        return self._data.update(q), q

    def _scored(self, epoch: int, source: Source, pooled: PooledRows, rows: Probe, rate: float) -> list[Record]:
        """Importance, share, score; the alert if there is one."""
        if self.per_class:
            classes = self._explainers[source].classes_of(rows)
            magnitude, direction = pooled.mean_of_classes(classes, self._classes())
        else:
            magnitude, direction = pooled.mean()
        measured = np.resize(~self._unmeasured[source], magnitude.shape)
        magnitude = np.where(measured, magnitude, 0.0)
        total = magnitude.sum()
        suffix = "" if source == "clean" else "_live"
        if not np.isfinite(total) or total <= 0:
            word = "all zero" if total == 0 else "not finite"
            self.note(
                f"The importance on the {'fixed probe' if source == 'clean' else 'live rows'} is {word}: not scored."
            )
            if not self._leading.settled:
                return []
            names = self._names()
            unscored = np.full(len(names), np.nan, np.float32)
            return [self._shares(epoch, source, names, unscored, math.nan)]
        magnitude = np.where(measured, magnitude, np.nan)
        by_class = (-1, self.probe.feature_count)
        self._leading.choose(magnitude.reshape(by_class).sum(0))
        magnitude = self._leading.summed(magnitude.reshape(by_class)).ravel()
        direction = self._leading.signs(direction.reshape(by_class)).ravel()
        names = self._names()
        # The chart gets what the file keeps: replaying the file gives the same chart bit for bit.
        share = (magnitude / total).astype(np.float32)
        update = self._charts[source].update_measured(share, rate)
        if source == "clean":
            previous = self._last.get(source)
            self._figures["xai_drift"] = math.nan if previous is None else total_variation(*_measured(share, previous))
        self._last[source] = share
        self._figures[f"xai_drift_score{suffix}"] = update.score
        self._over |= update.score > self.limit
        records: list[Record] = [self._shares(epoch, source, names, share, update.score, direction)]
        if update.alarm:
            self._draft(epoch, source, names, update, direction, self.limit)
        return records

    def _shares(
        self,
        epoch: int,
        source: Source,
        names: tuple[str, ...],
        share: NDArray[np.float32],
        score: float,
        direction: NDArray[np.int8] | None = None,
    ) -> Shares:
        method = self._methods[source]
        digest = self._live_now.digest if source == "live" and self._live_now is not None else None
        return Shares(epoch, source, names, share, score, self.limit, direction, self.burn_in, method, digest)

    def _draft(
        self,
        epoch: int,
        source: Source,
        names: tuple[str, ...],
        update: Update,
        direction: NDArray[np.int8] | None,
        limit: float,
    ) -> None:
        """An alarm of this update, whose event is still to be found."""
        features = tuple(
            FeatureMove(
                names[f],
                float(update.before[f]),
                float(update.after[f]),
                0 if direction is None else int(direction[f]),
                float(update.z[f]),
            )
            for f in update.guilty()[:TOLD]
        )
        verdict: Verdict = "data changed" if source == "data" else "reliance moved"
        differs = next((alert for alert in self._drafts if alert.source == source), None)
        changed = None
        if (
            differs is not None
        ):  # one alert of a source an epoch: the labels differ, and the rows' own score is over its limit
            self._drafts.remove(differs)
            features, changed = (*differs.features, *features), differs.changed
        self._drafts.append(
            Alert(epoch, source, verdict, update.rising, features, update.score, limit, changed=changed)
        )

    def _classes(self) -> tuple[int, ...]:
        explainer = self._explainers.get("clean")
        classes = (self.probe if explainer is None else explainer.probe).classes
        return () if classes is None else tuple(map(int, np.unique(classes)))

    def _names(self) -> tuple[str, ...]:
        if not self.per_class:
            return self._leading.names
        return tuple(name + self._of_class(c) for c in self._classes() for name in self._leading.names)

    def _of_class(self, c: int) -> str:
        words = self.probe.class_names
        return f", class {words[c] if words else c}"


def _measured(
    share: NDArray[np.float32], previous: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both without the features that are not measured."""
    known = np.isfinite(share) & np.isfinite(previous)
    return share[known], previous[known]
