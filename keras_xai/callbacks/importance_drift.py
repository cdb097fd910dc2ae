"""`ImportanceDrift`: raises an alarm when the model relies on something else, or on what the training rows alone have."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.explainer import ProbeExplainer, is_built, passes_of
from keras_xai.attribution.importance import PooledRows
from keras_xai.attribution.margin import NAME as MARGIN
from keras_xai.attribution.margin import PooledMargins, shared_with_score
from keras_xai.attribution.method import make_method
from keras_xai.attribution.region_share import RegionShare
from keras_xai.attribution.whole import Companions, measuring
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.fingerprint import as_numbers
from keras_xai.callbacks.first_warning import warn_in_first_process
from keras_xai.callbacks.live_rows import LiveRows, copied_rows, rows_hash
from keras_xai.callbacks.memory import Need, announce_need
from keras_xai.callbacks.prediction_watch import DensePass, ProbePass, why_not_recorded
from keras_xai.callbacks.reliance_watch import RelianceWatch
from keras_xai.callbacks.response import Response, check_response, common_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.callbacks.slice_watch import with_importance
from keras_xai.drift.monitor import DriftMonitor, DriftSettings, Explained
from keras_xai.drift.rules import Rule, resolve_rules
from keras_xai.errors import DriftAlarm, InvalidInput, named_fault, unknown
from keras_xai.events import event_key, line
from keras_xai.model.fitting import fit_probe
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import SOURCES, Alert, Attribution, Changed, ProbePredictions, Slices, Source
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.tracin.watch import InfluenceWatch, check_may_watch

MIN_PROBE_ROWS, MAX_PROBE_ROWS = 64, 1024  # below, the score is noise; above, to explain the probe takes long


class ImportanceDrift(RecordingCallback):
    """Watches what the model relies on, and raises an alarm when that changes (a control chart of feature importance).

    At each epoch's end the mean |attribution| of every feature over a fixed probe is divided by the sum over all features:
    the shares. A share that moves by much more than it did in the run so far is an alarm. With `live` the same is done for
    training rows, read again from their source: they show what the probe cannot, such as a watermark that only training
    images carry, and distinguish a change of the data from a change of the model. Rows or labels that used to repeat and
    came out differently are an alarm by themselves. Alarms of one cause are one event with one verdict and one warning.

    With `live` and a labelled probe it also looks for shortcuts that were there from the first epoch: a feature that speaks for
    the label in the live rows and, with the same weights, does not in the probe, at three updates running, is an alarm (the
    reliance gap, see `drift.reliance_gap`). The contributions that are compared are (x − x̄) · ∂m/∂x, for the margin m of each
    row's own label and the probe's mean row x̄. Before the first epoch a note says in which columns the rows themselves differ.

    Keys in `logs`, in every epoch from the first. Put this callback before EarlyStopping, ModelCheckpoint and CSVLogger in
    the list, so that they see them:

    - `xai_drift_score`: on the fixed probe, the largest |z| over features and over moves of one and of two updates, in units
      of a feature's usual move; NaN before there are six moves to compare with;
    - `xai_drift_alarm`: 1 in an epoch with an alarm of a change, whatever its source, else 0;
    - `xai_quiet_epochs`: epochs since the last alarm of any kind, with a fraction where that was inside an epoch;
    - `xai_gap`, with live rows and a labelled probe: the largest gap between the two, in normal deviates, 0 or more; NaN where
      they could not be compared;
    - `xai_gap_alarm`, beside it: 1 in an epoch with an alarm of the gap, else 0;
    - `xai_inside`, where the probe has a region: the share of attribution inside it, 0 to 1 (relevance mass accuracy);
    - `xai_worst_slice`, where the probe has slices: the accuracy of the value with the lowest over 8 rows or more; NaN where
      there is none;

    and with `log="all"` also `xai_drift` (the part of the shares that moved since the update before, 0 to 1) and, with `live`,
    `xai_drift_score_live` and `xai_drift_alarm_live`.

    In a table with a column that no gradient reaches (categories, integers into a lookup) the importance of all columns is
    measured by exchanging a column's values between rows, and a warning says so: F forward passes an epoch instead of one
    forward and one backward pass. In other kinds of input a feature that cannot be measured is NaN in the record, and no
    part of the shares.

    What it cannot see: a shortcut that the probe has as well, unless a rule names it; one that was there from epoch 0, or a very
    slow ramp, where there is nothing to compare (no live rows, no labels, a probe of training rows). More than 512 features are
    pooled to the 200 with the largest share in the run's first epoch, and "other"; of the gap the 512 that say most are recorded.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one; 128 rows or more, not from the training data.
        live: arrays or frames (x, y) by reference, a `PyDataset`, a `tf.data.Dataset` or a callable -> (x, y): the same rows
            in the same order at every read, of which at most 512 are used, drawn from arrays class by class, else the first;
            best before random augmentation.
        method: the attribution method on the probe. Saliency also sees what the probe does not contain.
        live_method: the attribution method on the live rows.
        per_class: watch every class by itself: finds what concerns one class only; needs a class-balanced probe.
        limit: |z| of an alarm; default 6, per class 9.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        gap: compare live rows and probe for shortcuts that were there from the start; False leaves it out, and its cost.
        rules: what the model may rely on, by name: for a feature, a group or a pattern ("site_*") the largest share of the
            evidence on the live rows (without these on the probe), for "region" the smallest share of attribution inside the
            probe's region, for a slice the largest gap of its accuracy to the whole; each 0 to 1. A rule that is broken by two
            standard errors at two updates running is an alarm, once.
        influence: record at each update which live rows taught the model most of each row of the probe, and which set off an
            alert, see `kx.influence`; needs labels, `live`, and a last layer that is a `Dense`. "auto": where there are these;
            else a note in the run says what is missing.
        on_drift: "warn" (one line an event, as a Python warning and nowhere else), "stop" (warn, and stop the training after
            this epoch, or step), "raise" (`DriftAlarm`) or a function that gets each `records.Alert`.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        log: "all" puts every figure into `logs`; by default those above. The records hold all of them.

    Raises:
        InvalidInput: at construction or at train begin, with what came, what is expected and what to do.

    Cost:
        One forward and one backward pass over the probe, and as much over the live rows, an epoch; the same once more for the
        margins of the gap or of rules, but where the model has a single logit or predicts one number. The comparison itself
        takes 0.6 ms of 31 features and 1.7 ms of 500. Predictions are read off the same pass; of a dense output with labels
        they take one more forward pass.

    Sources:
        Shewhart 1931 (control charts); Mougan et al. 2025, TMLR, arXiv 2303.08081 (explanation shift, the nearest relative of the
        gap); Arras et al. 2022, Information Fusion 81 (relevance mass accuracy).

    Example:
        >>> import keras, numpy as np, tempfile
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> watch = ImportanceDrift(tempfile.mkdtemp(), (x[:64], y[:64]), live=(x[64:], y[64:]), rules={"column 0": 0.9})
        >>> sorted(model.fit(x[64:], y[64:], epochs=2, verbose=0, callbacks=[watch]).history)[-5:]
        ['xai_drift_alarm', 'xai_drift_score', 'xai_gap', 'xai_gap_alarm', 'xai_quiet_epochs']
    """

    name: ClassVar[str] = "importance_drift"
    fit_state: ClassVar[Mapping[str, Any]] = {
        "_explainers": {},
        "_first_rows": None,
        "_reliance": None,
        "_influence": None,
    }
    default_figures: ClassVar[frozenset[str]] = frozenset(
        {
            "xai_drift_score",
            "xai_drift_alarm",
            "xai_quiet_epochs",
            "xai_gap",
            "xai_gap_alarm",
            "xai_inside",
            "xai_worst_slice",
        }
    )
    alarm_figures: ClassVar[frozenset[str]] = frozenset({"xai_drift_alarm", "xai_drift_alarm_live", "xai_gap_alarm"})
    cost_hint: ClassVar[str] = "a probe of 128 rows, every=2 or no live rows in ImportanceDrift"

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
        gap: bool = True,
        rules: Mapping[str, float] | None = None,
        influence: bool | Literal["auto"] = False,
        on_drift: Response[Alert] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        self.probe = self._original_probe = Probe.of(probe)
        for name in (method, live_method):
            if name not in METHODS:
                raise unknown("attribution method", name, METHODS)
            if not METHODS[name].input_shaped:
                raise InvalidInput(
                    f"{name} gives a map of its own resolution: it has no importance of features; take saliency."
                )
        self.settings = DriftSettings.of(limit, burn_in, cooldown, per_class)
        check_response("on_drift", on_drift, "records.Alert")
        if per_class and not _may_have_classes(self.probe):
            raise InvalidInput("per_class=True needs a probe whose y are classes.")
        self._warn_of_size()
        self.needs = announce_need(Need(self.probe, passes=6, live=copied_rows(live)))
        self.method, self.live_method, self.on_drift = method, live_method, on_drift
        if not isinstance(gap, bool):
            raise InvalidInput(f"gap={gap!r}: expected True or False.")
        self.gap, self.rules = gap, {} if rules is None else rules
        self.live = None if live is None else LiveRows(live, self.probe)
        if not isinstance(influence, bool) and influence != "auto":
            raise InvalidInput(f'influence={influence!r}: expected True, False or "auto".')
        if influence is True:
            check_may_watch(self.probe)
        if influence is True and live is None:
            raise InvalidInput("influence=True is that of the live rows: give live=(x, y), of the training data.")
        self.influence = influence

    def _warn_of_size(self) -> None:
        size = self.probe.size
        if size < MIN_PROBE_ROWS:
            warn_in_first_process(
                f"The probe has {size} rows: below {MIN_PROBE_ROWS} the drift score is noisy, and false alarms are "
                f"more frequent; give 128 or more.",
                stacklevel=3,
            )
        elif size > MAX_PROBE_ROWS:
            warn_in_first_process(
                f"The probe has {size} rows and is explained whole at every epoch: 128 to 256 are enough, more cost time.",
                stacklevel=3,
            )

    # The lifecycle.

    def check(self) -> None:
        self.probe = fit_probe(self.model, self._original_probe)
        self._monitor = DriftMonitor(
            self.probe.features,
            self.settings,
            classes=self._class_names(self.probe),
            live=self.live is not None,
        )
        self._alerts: list[Alert] = []  # of this epoch
        self._changed_features: dict[str, int] = {}  # by name the event of the change of the data that named it first
        self._warned_verdicts: dict[tuple[object, ...], str] = {}  # of the events that were warned of, by event
        self._unmeasured: dict[Explained, NDArray[np.bool_]] = {}  # (F) of each source
        self._methods: dict[Explained, str] = {}  # that explain each source
        self._explainers: dict[Explained, ProbeExplainer] = {}
        self._live_rows = self.live  # None once they cannot be read any more
        self._read_rows: Probe | None = None  # of this epoch
        self._is_early = False  # this update is inside an epoch and in the burn-in
        self._collected: dict[str, PooledMargins] = {}  # of this epoch, by the set of rows
        self._first_rows: Probe | None = None
        self._reliance: RelianceWatch | None = RelianceWatch(self._checked_rules(), gap=self.gap, live=self.live)
        self._reliance.check(self.probe)
        self._influence: InfluenceWatch | None = None
        if self._live_rows is not None:
            self._check_live(self._live_rows)

    def _checked_rules(self) -> list[Rule]:
        probe = self.probe
        return resolve_rules(self.rules, probe.features, slices=probe.slices, has_region=probe.region is not None)

    def _check_live(self, live: LiveRows) -> None:
        try:
            with self._team.together():
                rows = live.check(self.probe)
        except InvalidInput:
            raise
        except Exception as fault:
            self._lose_live(fault)
            return
        if self.settings.per_class and not _may_have_classes(rows):
            raise InvalidInput("per_class=True needs live rows whose y are classes.")
        self._first_rows = rows

    def is_built(self) -> bool:
        return is_built(self.model, self.probe)

    def prepare(self) -> None:
        method = make_method(self.method, {}, METHODS)
        clean = measuring(self.model, self.probe, self.method, method, self._companions())
        self._methods, self._explainers = {"clean": clean.method}, {"clean": clean.explainer}
        self._unmeasured = {"clean": clean.unmeasured, "live": clean.unmeasured}
        self._monitor.classes = self._class_names(clean.explainer.probe)
        if clean.notice:
            self.warn(clean.notice)
        if self._live_rows is not None:
            as_asked = clean.method == self.method and METHODS[self.method].needs_gradient
            self._explainers["live"] = self._live_explainer(reach_is_known=as_asked)
        self.note(clean.explainer.task.remark)
        self.note(why_not_recorded(self.probe, clean.explainer.task))
        if self.settings.per_class and not clean.explainer.task.classes:
            raise InvalidInput("per_class=True needs a model of classes: the outputs are labels or numbers.")
        if self._first_rows is not None:
            self._explainers["live"].prepare_rows(self._first_rows)
        self._prepare_reliance()
        self._influence = self._influence_watch(self._first_rows) if self.influence else None
        self._first_rows = None

    def _influence_watch(self, rows: Probe | None) -> InfluenceWatch | None:
        """Return the watch of the influence of live rows; None where they could not be read, or with "auto" cannot have one."""
        if rows is None:
            if self.live is None:
                self.note("The influence of training rows is not recorded: there are no live rows.")
            return None
        try:
            return InfluenceWatch(self.model, self.probe, rows)
        except InvalidInput as reason:
            if self.influence is True:
                raise
            self.note(f"The influence of the live rows is not recorded: {reason}")
            return None

    def _prepare_reliance(self) -> None:
        if self._reliance is None:
            return
        clean, by_exchange = self._explainers["clean"], self._methods["clean"] != self.method
        try:
            with self._team.together():
                warned, notes = self._reliance.prepare(self.model, clean, self._first_rows, by_exchange=by_exchange)
        except Exception as fault:
            self._lose_reliance(fault)
            return
        for text in warned:
            self.say(text)
        for text in notes:
            self.note(text)

    def _companions(self) -> Companions | None:
        """Return what chooses the methods that share the passes of the importance: those of the reliance gap."""
        if self._reliance is None or not self._reliance.needs_evidence:
            return None
        model = self.model
        return lambda task, probe, x: shared_with_score(model, task, probe, x)

    def _live_explainer(self, *, reach_is_known: bool) -> ProbeExplainer:
        """Return the explainer of the live rows.

        Args:
            reach_is_known: the probe is explained by a gradient method: the features that a gradient reaches there are
                reached on the live rows, too, and need not be looked for again.
        """
        method = make_method(self.live_method, {}, METHODS)
        if reach_is_known and method.needs_gradient:
            self._methods["live"] = self.live_method
            return ProbeExplainer(
                self.model,
                self.probe,
                {self.live_method: method},
                warns_of_held=False,
                companions=self._companions(),
            )
        live = measuring(self.model, self.probe, self.live_method, method, self._companions())
        self._methods["live"], self._unmeasured["live"] = live.method, live.unmeasured
        return live.explainer

    def rows_per_update(self) -> float:
        probe, clean = self.probe, self._explainers.get("clean")
        if clean is None:
            return float(probe.size)
        evidence = self._reliance is not None and self._reliance.needs_evidence and not self._reliance.is_shared
        live_rows = 0 if self.live is None else len(self.live.numbers)
        live = self._explainers.get("live", clean)
        rows = probe.size * (passes_of(clean) + (clean.dense is not None) / 3) + live_rows * passes_of(live)
        return rows + (evidence + (self._influence is not None) / 3) * (probe.size + live_rows)

    @property
    def whole_probe(self) -> Probe:
        return self.probe

    def run_identity(self) -> Mapping[str, Any]:
        constants: dict[str, Any] = {"limit": self.settings.limit}
        # Which features are pooled is known only after the first update; the probe's hash covers all names.
        if not self._monitor.top_features.is_pooling:
            constants["features"] = self._monitor.names
        # A method that measures nothing is replaced by another one, which is known once the model has its weights.
        for source, name in (("clean", "method"), ("live", "live method")):
            if source in self._methods:
                constants[name] = self._methods[source]
        return constants

    def gallery_probe(self) -> Probe | None:
        return self.probe.gallery(0)

    def common_inputs(self) -> Mapping[str, str]:
        inputs = {"method": self.method, "on_drift": common_response(self.on_drift), "probe": self.probe.hash}
        if self.live is not None:
            inputs["live_method"] = self.live_method
        inputs["live"] = "" if self._first_rows is None else rows_hash(self._first_rows)
        return {**super().common_inputs(), **inputs, "per_class": str(self.settings.per_class)}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        self._monitor.inside_epochs = self._schedule.counts_steps
        if past is None:
            return
        if self._influence is not None and past.influences:
            self.note("The influence of the live rows is a sum over updates that begins again here.")
        updates = {source: past.shares(source) for source in SOURCES}
        restarted: list[Source] = []
        if updates["clean"] and self._explainers and self._explainers["clean"].target is None:
            self.note(
                "The probe has no labels, and which classes were explained before is not kept: from here it is the classes "
                "predicted now, and the burn-in on the fixed probe starts again."
            )
            restarted = ["clean"]
        rates = {record.update: record.learning_rate for record in past.history}
        alerts = [alert for alert in past.alerts if alert.is_alarm]
        self._monitor.replay(updates, alerts, rates, start_anew=restarted)
        self._warned_verdicts = {event_key(alert): alert.verdict for alert in alerts}
        self._remember_changes(alerts)
        if self._reliance is not None:
            self._reliance.restore(past.reliance, alerts)
        if self._live_rows is None:
            return
        reads = [(shares.epoch, shares.digest) for shares in updates["live"] if shares.digest is not None]
        self._live_rows.resume(reads, repeats=self._live_rows.repeats and not updates["data"])
        if not self._live_rows.repeats:
            self.note(
                "The live rows of before are not kept: the data score begins again with the third epoch from here."
            )

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        records = self._updates(update)
        self.log_figures(logs, {**self._log_values(update), **self.slice_figures(self.probe, records)})
        return records

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        self.log_figures(logs, {**self._log_values(update, updated=False), **self.slice_figures(self.probe)})

    def _log_values(self, update: int, *, updated: bool = True) -> dict[str, float]:
        values = self._monitor.log_values(update, updated=updated)
        counter = None if self._session is None else self._session.counter
        if counter is not None:
            quiet = counter.position(update) - counter.position(self._monitor.last_alarm)
            values["xai_quiet_epochs"] = quiet
        return values if self._reliance is None else values | self._reliance.log_values(updated=updated)

    def record_last_update(self, update: int) -> Iterable[Record]:
        return self._updates(update)

    def on_update_written(self) -> None:
        alerts, self._alerts = [alert for alert in self._alerts if alert.is_alarm], []
        if callable(self.on_drift):
            for alert in alerts:
                self._respond(alert, [alert])
            return
        events: dict[tuple[object, ...], list[Alert]] = {}
        for alert in alerts:
            events.setdefault(event_key(alert), []).append(alert)
        for event in events.values():
            self._respond(event[0], event)

    def _respond(self, alert: Alert, event: list[Alert]) -> None:
        respond(
            self.on_drift,
            alert,
            line(event),
            model=self.model,
            alarm=DriftAlarm,
            warn=lambda text: self._warn_of_event(alert, text),
            advice=alert.advice,
        )

    def _warn_of_event(self, alert: Alert, text: str) -> None:
        """Warn of an event, unless a warning with its present verdict was issued before."""
        key = event_key(alert)
        if alert.event is None or self._warned_verdicts.get(key) == alert.verdict:
            return
        self._warned_verdicts[key] = alert.verdict
        if not self._team.is_chief:
            return
        # As from no file: the line of our source that would be shown says nothing to the user.
        warnings.warn_explicit(f"ALERT {text}", UserWarning, "<keras_xai>", 0)

    def close(self) -> None:
        self._explainers = {}  # graphs hold the model
        self._reliance = self._influence = None

    # One epoch.

    def _updates(self, update: int) -> list[Record]:
        """Return the records of an epoch; its alerts are kept for `on_update_written` as well."""
        monitor, explainer = self._monitor, self._explainers["clean"]
        ends_epoch = self._session is None or self._session.ends_epoch
        self._is_early = monitor.is_burning_in and not ends_epoch
        monitor.begin_update()
        self._read_rows = None
        self._collected = {}
        is_read = explainer.dense is None and (self.probe.slices or self.awaits_predictions)
        rows = ProbePass(self.probe, explainer.task) if is_read else None
        by_method = self._collecting("probe", self.probe, explainer.in_parts(None if rows is None else rows.add))
        parts = (maps[self._methods["clean"]] for maps in by_method)
        region = None if self.probe.region is None else RegionShare(self.probe)
        pooled = PooledRows.of(parts if region is None else region.of(parts), self.probe)
        self.warn_once(explainer.engine.side_effects)
        records = self._scored(update, "clean", pooled, self.probe)
        records += self._of_rows(update, explainer, rows, pooled)
        if self._live_rows is not None and self._team.agreed(monitor.top_features.is_fixed):
            try:
                with self._team.together():
                    for record in self._updates_of_live(update, self._live_rows):
                        records.append(record)  # one by one: those before a fault are kept
            except Exception as fault:
                self._lose_live(fault)
        changed = self._live_rows is not None and self._live_rows.changed
        alerts = monitor.end_update(update, inputs_changed=changed)
        self._remember_changes(alerts)
        alerts += [self._of_change(alert) for alert in self._update_reliance(update, records, region)]
        alerts = [self.stamped(alert) for alert in self._agreed_alerts(alerts)]
        self._alerts += alerts
        return [*records, *alerts, *self._influences(update, alerts)]

    def _influences(self, update: int, alerts: list[Alert]) -> list[Record]:
        """Return the record of the influence of the live rows; none where they were not read."""
        if self._influence is None or self._live_rows is None or self._read_rows is None:
            return []
        if not self._live_rows.repeats:
            self._influence = None
            self.say(
                "The influence of the live rows is not recorded: their source draws others at each read, and no row has a sum."
            )
            return []
        try:
            with self._team.together():
                numbers = self._live_rows.numbers
                return [self._influence.update(update, self._read_rows, numbers, self.learning_rate, alerts)]
        except Exception as fault:
            is_left_out = self.influence == "auto" and isinstance(fault, InvalidInput)
            if self.on_error == "raise" and not is_left_out:
                raise
            self._influence = None
            if is_left_out:
                self.note(f"The influence of the live rows is not recorded: {fault}")
                return []
            self.stop_part("influence", named_fault(fault))
            self.warn(f"The influence of the live rows is measured no longer: {named_fault(fault)}")
            return []

    def _of_rows(
        self, update: int, explainer: ProbeExplainer, rows: ProbePass | None, pooled: PooledRows
    ) -> list[Record]:
        """Return the records of slices and predictions; of a dense output both of one more pass, made where either is needed."""
        probe, awaits = self.probe, self.awaits_predictions
        slices: Slices | None = None
        predictions: ProbePredictions | None = None
        if rows is not None:
            slices = rows.slices(update) if probe.slices else None
            predictions = rows.record(update) if awaits else None
        elif explainer.dense is not None and (probe.slices or (awaits and not why_not_recorded(probe, explainer.task))):
            dense = DensePass(explainer)
            slices = dense.slices(update) if probe.slices else None
            predictions = dense.record(update) if awaits else None
        if slices is not None:
            slices = with_importance(slices, probe, pooled, self._monitor.top_features, self._unmeasured["clean"])
        return [record for record in (slices, predictions) if record is not None]

    def _collecting(
        self, name: str, rows: Probe, parts: Iterator[dict[str, Attribution]]
    ) -> Iterator[dict[str, Attribution]]:
        """Return attributions as they are; contributions to the margin among them are kept for the reliance gap."""
        shares = self._reliance is not None and self._reliance.is_shared
        if not shares or MARGIN not in self._explainers["clean" if name == "probe" else "live"].engine.methods:
            return parts
        self._collected[name] = PooledMargins(self.probe, rows)
        return self._collected[name].of(parts)

    def _remember_changes(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            if alert.verdict == "data changed" and alert.event is not None:
                for move in alert.features:
                    self._changed_features.setdefault(move.name, alert.event)

    def _of_change(self, alert: Alert) -> Alert:
        """Return an alert of a gap as one of the change of the data that opened it, where there was one; else as it is."""
        event = self._changed_features.get(alert.features[0].name) if alert.source == "gap" else None
        return alert if event is None else dataclasses.replace(alert, event=event, verdict="data changed")

    def _update_reliance(self, update: int, records: list[Record], region: RegionShare | None) -> list[Alert]:
        """Add the record of the reliance gap, and return the alerts of gap and rules."""
        if self._reliance is None:
            return []
        slices = next((record for record in records if isinstance(record, Slices)), None)
        try:
            with self._team.together():
                measured = self._reliance.update(
                    update, self._read_rows, region, slices, self._collected, is_early=self._is_early
                )
        except Exception as fault:
            self._lose_reliance(fault)
            return []
        records += [record for record in (measured.record, measured.slices) if record is not None]
        if any(alert.is_alarm for alert in measured.alerts):
            self._monitor.count_alarm(update)
        return measured.alerts

    def _lose_reliance(self, fault: Exception) -> None:
        """Go on without the reliance gap and the rules, after a fault in them: changes are still watched."""
        if self.on_error == "raise":
            raise fault
        assert self._reliance is not None
        self._reliance.stop()
        self.stop_part("reliance_gap", named_fault(fault))
        self.warn(f"Live rows and probe are compared no longer, and rules are not measured: {named_fault(fault)}")

    def _agreed_alerts(self, alerts: list[Alert]) -> list[Alert]:
        """Return the chief's alerts: processes may round differently at a limit, and the chief alone has a run's past."""
        if self._team.size == 1:
            return alerts
        fields = self._team.agreed([dataclasses.asdict(alert) for alert in alerts])
        return [Alert(**{**entry, "changed": entry["changed"] and Changed(*entry["changed"])}) for entry in fields]

    def _updates_of_live(self, update: int, live: LiveRows) -> Iterator[Record]:
        rows = self._read_rows = live.read(self._epoch)
        if not self._team.same(rows_hash(rows)):
            raise InvalidInput("the live rows that were read at this epoch differ between the processes")
        if live.difference is not None:
            self._monitor.report_change(update, live.difference.changed, live.difference.shares)
        if not live.repeats and self.probe.kind != "tokens":
            yield self._monitor.update_inputs(update, self._movement(rows))
        method = self._methods["live"]
        by_method = self._collecting("live", rows, self._explainers["live"].rows_in_parts(rows))
        pooled = PooledRows.of((maps[method] for maps in by_method), self.probe, rows)
        yield from self._scored(update, "live", pooled, rows)

    def _scored(self, update: int, source: Explained, pooled: PooledRows, rows: Probe) -> list[Record]:
        """Score the importance of a source, and return its record; none before it is known which features are pooled."""
        if self.settings.per_class:
            explainer = self._explainers[source]
            importance, direction = pooled.mean_of_classes(explainer.classes_of(rows), self._classes())
        else:
            importance, direction = pooled.mean()
        scored = self._monitor.update(
            update,
            source,
            importance,
            direction,
            learning_rate=self.learning_rate,
            unmeasured=self._unmeasured[source],
            method=self._methods[source],
            digest=self._live_rows.digest if source == "live" and self._live_rows is not None else None,
        )
        self.note(scored.note)
        return [] if scored.shares is None else [scored.shares]

    def _movement(self, rows: Probe) -> NDArray[np.float64]:
        """Return how far the values of each feature (F) of the rows have moved since the reads before."""
        x, chart, probe = as_numbers(rows.x), self._monitor.inputs, self.probe
        in_groups = isinstance(probe.groups, dict) and (probe.is_columns or isinstance(x, np.ndarray))
        if not in_groups:
            return chart.movement(probe.pooled(x))
        # The columns of a one-hot group always add up to one: they move, their sum does not.
        x = probe.feature_map.as_table(x) if probe.is_columns else x
        squares = chart.movement(x.reshape(rows.size, -1)).reshape(1, *x.shape[1:]) ** 2
        return np.sqrt(probe.pooled(squares)[0] / probe.pooled(np.ones_like(squares))[0])

    def _lose_live(self, fault: Exception) -> None:
        """Go on without the live rows, whose source failed: the fixed probe is still watched."""
        if self.on_error == "raise":
            raise fault
        self._live_rows = self._read_rows = None
        self._monitor.lose_live()
        self.stop_part("live_rows", named_fault(fault))
        self.warn(f"The live rows are watched no longer: {named_fault(fault)}")

    def _classes(self) -> tuple[int, ...]:
        return _class_numbers(self._explainers["clean"].probe)

    def _class_names(self, probe: Probe) -> list[str]:
        names = self.probe.class_names
        return [str(names[number] if names else number) for number in _class_numbers(probe)]


def _may_have_classes(probe: Probe) -> bool:
    """Return True for labels that look like classes, or that only a model's dense output makes classes of."""
    return probe.classes is not None or (isinstance(probe.output, Dense) and probe.y is not None)


def _class_numbers(probe: Probe) -> tuple[int, ...]:
    return () if probe.classes is None else tuple(map(int, np.unique(probe.classes)))
