"""`TrainingChecks`: simple rules on a training, and a screen of its data."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import is_built
from keras_xai.callbacks.base import RecordingCallback
from keras_xai.callbacks.live_rows import LiveRows, copied_rows
from keras_xai.callbacks.memory import Need, announce_need
from keras_xai.callbacks.response import Response, check_response, common_response, respond
from keras_xai.callbacks.schedule import Every
from keras_xai.callbacks.session import scalars
from keras_xai.errors import InvalidInput, TrainingAlarm, named_fault
from keras_xai.labels import coded, guess_classes
from keras_xai.mapping.task import true_labels
from keras_xai.model.fitting import fit_probe
from keras_xai.model.task import loss_kind
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import Flag
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.training_checks.activation_reader import ActivationReader, ActivationReading
from keras_xai.training_checks.classes import class_imbalance
from keras_xai.training_checks.finding import Finding, Unjudged
from keras_xai.training_checks.initialisation import poor_initialisation, without_statistics
from keras_xai.training_checks.inputs import unscaled_input
from keras_xai.training_checks.rules import Evidence, TrainingRules
from keras_xai.training_checks.screen import data_screen
from keras_xai.training_records import DataScreen, TrainingFlags, TrainingRule
from keras_xai.updates import Unit

logger = logging.getLogger("keras_xai")

NO_LABELS = "the probe has no labels"
ROWS = 64  # of the probe, that an update passes through the model: a chunk of a model with convolutions


class TrainingChecks(RecordingCallback):
    """Judges a training by simple rules, and screens its data: what SageMaker Debugger's rules were used for.

    | flag | when |
    |---|---|
    | loss not decreasing | the lowest loss has fallen by less than 0.1 % in ten updates, and predictions for the probe are no better than guessing (without labels: the loss has fallen by less than 5 % in all); or it has lost more than 5 % of what it had fallen by; or it is not finite |
    | overfit | in the last five validations, all after the lowest, val_loss was more than 10 % above it, and the loss fell |
    | unscaled input | pixels have a root mean square above 10, a column above 100, or one column 1000 times that of another; and no layer in front of the first weights scales them |
    | class imbalance | the commonest class has more than ten times the rows of the rarest |
    | neglected class | 70 % of a class of the probe or more are predicted wrongly, and less than half of the others, at five updates running |
    | saturated activation | more than 90 % of a sigmoid's or tanh's outputs are within 0.01 of a bound, at three updates running |
    | dead units | more than 90 % of a ReLU layer's units are zero for every row, at three updates running |
    | poor initialisation | before the first step: cross-entropy is more than five times that of guessing, a layer is saturated or dead, the signal dies out or explodes by 1000, or nothing of the inputs arrives at the outputs; not judged where a batch normalisation has no statistics yet |

    A rule that could not be judged says why in each record (`unjudged`), and is not quiet. Flags are listed in the overview,
    the report and by `keras-xai check`, and change no exit status. How often each flags sound trainings, and finds planted
    faults: docs/training_checks.md.

    The screen is of tables: constant columns, columns that are copies of each other, and what each column alone tells of the
    label (AUC, or |Spearman's ρ| of numbers; categories by the mean label of other rows that have them). It is a screen, never
    an alarm: `run.screen`.

    With `log="all"` `logs` get `xai_training_flags`, the number of flags that stand.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        probe: a `Probe`, or what makes one, of which 64 rows are passed through the model at each update, class by class. None:
            the logs alone are judged.
        live: training rows, as `ImportanceDrift` takes them: the scale of inputs, class counts and the screen are then of these;
            of arrays the class counts are of all rows.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps"
            (`kx.steps(200)`), or "auto", about 30 times in the whole training, and at the end of each epoch.
        thresholds: other numbers by the names in `keras_xai.training_checks.thresholds.TABLE`, None to switch a rule off.
        on_flag: when a flag is raised that did not stand before: "warn", "stop" (and warn), "raise" a `TrainingAlarm`, or a
            function of the `records.TrainingFlags`.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        log: "all" puts the figure above into Keras' `logs`; by default the records alone hold it.

    Raises:
        InvalidInput: at construction an unknown threshold or one out of its range; a probe or live rows that cannot work.

    Cost:
        One forward pass over 64 rows an update; once, what sorting the columns of 512 rows takes.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import keras_xai as kx
        >>> x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32") * [1, 1, 1, 5000]
        >>> y = (x[:, 0] > 0).astype("int32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> logs = tempfile.mkdtemp()
        >>> checks = kx.TrainingChecks(logs, (x, y), on_flag=lambda record: None)
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[checks])
        >>> run = kx.load(logs)["."]
        >>> [flag.sentence for flag in run.training_flags[-1].flags if flag.kind == "unscaled input"]
        ['column 3 has the root mean square 5426']
        >>> run.training_flags[-1].unjudged["overfit"]
        'no val_loss in the logs: give validation_data to fit()'
        >>> run.screen.strongest(1)
        [('column 0', 1.0)]
    """  # noqa: E501

    name: ClassVar[str] = "training_checks"
    cost_hint: ClassVar[str] = "every=5 in TrainingChecks"
    fit_state: ClassVar[Mapping[str, Any]] = {"_reader": None, "_rows": None, "_past": None}

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        probe: Any = None,
        *,
        live: Any = None,
        every: Every = 1,
        thresholds: Mapping[str, float | None] | None = None,
        on_flag: Response[TrainingFlags] = "warn",
        on_error: str = "warn",
        log: str = "default",
    ) -> None:
        super().__init__(log_dir, every=every, on_error=on_error, log=log)
        self.probe = self._original_probe = None if probe is None else Probe.of(probe)
        check_response("on_flag", on_flag, "records.TrainingFlags")
        self.on_flag = on_flag
        self._thresholds = thresholds
        self._rules = TrainingRules(thresholds)
        if live is not None and self.probe is None:
            raise InvalidInput("live= needs a probe, whose kind and inputs the live rows share: give probe= as well.")
        self.live = None if live is None or self.probe is None else LiveRows(live, self.probe)
        self._source = live
        if self.probe is not None:
            self.needs = announce_need(Need(self.probe, passes=1, live=copied_rows(live)))
        self._reset()

    def _reset(self) -> None:
        """Forget the fit before."""
        self._rules = TrainingRules(self._thresholds)
        self._reader: ActivationReader | None = None
        self._why_unread = "TrainingChecks has no probe"
        self._rows: Probe | None = None  # that are passed through the model
        self._begun: list[Finding | Unjudged | None] = []  # what was judged before the first step
        self._active_flags: frozenset[tuple[str, str]] = frozenset()
        self._new_flags: list[Flag] = []
        self._record: TrainingFlags | None = None
        self._count = float("nan")
        self._has_begun = False  # the rules have what was judged before the first step
        self._screen: DataScreen | None = None
        self._past: Log | None = None  # of the run that is continued, until its records are taken over
        self._unit: Unit = "epoch"

    # The lifecycle.

    def check(self) -> None:
        self._reset()
        self._begun = [Unjudged("poor initialisation", "the weights were not seen before the first step")]
        if self._original_probe is None:
            kinds: tuple[TrainingRule, ...] = ("poor initialisation", "unscaled input", "class imbalance")
            self._begun = [Unjudged(kind, self._why_unread) for kind in kinds]
            return
        probe = self.probe = fit_probe(self.model, self._original_probe)
        rows, source, labels = self._data(probe)
        classes = None if labels is None else self._classes(labels)
        self._begun.append(unscaled_input(rows, self.model, self._rules.thresholds, probe))
        whose = "training rows" if source == "live rows" else "probe rows"
        if labels is None:
            self._begun.append(Unjudged("class imbalance", NO_LABELS))
        elif classes is not None:
            self._begun.append(class_imbalance(classes, self._rules.thresholds, probe.class_names, whose))
        of_rows = None if rows.y is None else self._classes(rows.y)
        self._screen = data_screen(rows, of_rows, source, probe.class_names, probe)

    def _data(self, probe: Probe) -> tuple[Probe, str, NDArray[Any] | None]:
        """Return the rows whose inputs are judged, what rows they are, and the labels whose classes are counted."""
        if self.live is not None:
            try:
                with self._team.together():
                    rows = self.live.check(probe)
                    labels = self._all_labels(rows)
            except InvalidInput:
                raise
            except Exception as fault:
                self.note(f"The live rows could not be read, TrainingChecks takes the probe: {named_fault(fault)}.")
            else:
                return rows, "live rows", labels
        return probe, "probe rows", probe.y

    def _all_labels(self, rows: Probe) -> NDArray[Any] | None:
        """Return the labels of all rows of arrays, of which live rows are drawn; else those of the live rows."""
        is_pair = isinstance(self._source, (tuple, list)) and not isinstance(self._source[1], (dict, list, tuple))
        if not is_pair or self.probe is None or isinstance(self.probe.output, Dense):
            return rows.y
        labels, _ = coded(self._source[1], self.probe.class_names)
        return labels

    def _classes(self, labels: NDArray[Any]) -> NDArray[np.int64] | None:
        """Return labels as classes; None where they are numbers, or of positions."""
        loss = getattr(self.model, "loss", None)
        is_single = not isinstance(loss, (dict, list, tuple))
        if (
            self.probe is None
            or isinstance(self.probe.output, Dense)
            or (is_single and loss_kind(loss) == "regression")
        ):
            return None
        return guess_classes(labels.astype(np.int64) if labels.dtype.kind == "b" else labels)

    def is_built(self) -> bool:
        return bool(self.model.built) if self.probe is None else is_built(self.model, self.probe)

    def prepare(self) -> None:
        if self.probe is None:
            return
        self._rows = self.probe.gallery(ROWS)
        try:
            with self._team.together():
                self._reader = ActivationReader(self.model, self._rows)
        except Exception as fault:
            self._lose_reader(fault)

    def _lose_reader(self, fault: Exception) -> None:
        """Go on without the layers: the logs are judged all the same."""
        if self.on_error == "raise":
            raise fault
        logger.debug("the layers could not be read", exc_info=fault)
        self._reader, self._why_unread = None, f"the model could not be run on the probe: {named_fault(fault)}"
        self.note(f"TrainingChecks judges the logs alone: {self._why_unread}.")

    def rows_per_update(self) -> float:
        return 0.0 if self._rows is None else self._rows.size / 3  # a forward pass

    def common_inputs(self) -> Mapping[str, str]:
        inputs = {"thresholds": repr(self._thresholds), "on_flag": common_response(self.on_flag)}
        return {**super().common_inputs(), **inputs, "probe": "" if self.probe is None else self.probe.hash}

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        if epoch > 0 or past is not None:
            self._begun[0] = Unjudged(
                "poor initialisation", "the training goes on with weights that were trained before"
            )
        session = self._joined_session()
        self._unit = self._rules.history.unit = "epoch" if session.counter is None else "step"
        if self._screen is not None and (past is None or past.screen is None):
            session.write([self._screen])
        self._past = past

    def record_before_training(self) -> Iterable[Record]:
        reading = self._reading()
        if reading is None or self._reader is None:
            return ()
        normaliser = without_statistics(self.model)
        if normaliser:
            reason = f"{normaliser} normalises by batches, and has no statistics before the first step"
            self._begun[0] = Unjudged("poor initialisation", reason)
            return ()
        evidence = self._evidence(reading)
        findings = poor_initialisation(reading, self._reader.task, evidence.classes, self._rules.thresholds)
        self._begun = [*findings, *self._begun[1:]]
        return ()

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        self._observe(update, logs)
        reading = self._reading()
        evidence = None if reading is None else self._evidence(reading)
        record = self._rules.judge(update, evidence, self._why_unread)
        keys = frozenset((flag.name, flag.kind) for flag in record.flags)
        self._new_flags = [Flag(*flag[:3]) for flag in record.flags if flag[:2] not in self._active_flags]
        self._active_flags, self._record, self._count = keys, self.stamped(record), float(len(record.flags))
        self.log_figures(logs, {"xai_training_flags": self._count})
        return [record]

    def _observe(self, update: int, logs: Mapping[str, Any]) -> None:
        """Give the rules the losses of an update; once in a fit what was judged before its first step, too."""
        if not self._has_begun:
            self._begin_rules()
        self._rules.observe(update, scalars(logs), ends_epoch=not self._is_inside)

    def _begin_rules(self) -> None:
        self._has_begun = True
        self._rules.begin(self._begun)
        if self._past is not None:
            records = self._past.training_flags
            self._rules.resume(records, self._past.history)
            if records:
                self._active_flags = frozenset((flag.name, flag.kind) for flag in records[-1].flags)
        self._past = None

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        self._observe(update, logs)
        self.log_figures(logs, {"xai_training_flags": self._count})

    def record_last_update(self, update: int) -> Iterable[Record]:
        return self.record_update(update, {})

    def on_update_written(self) -> None:
        new_flags, self._new_flags = self.agreed_flags(self._new_flags), []
        if not new_flags or self._record is None:
            return
        new = {flag[:2] for flag in new_flags}
        words = [flag.in_words(self._unit) for flag in self._record.flags if flag[:2] in new]
        text = f"{self._record.moment}: {'; '.join(words)}."
        respond(self.on_flag, self._record, text, model=self.model, alarm=TrainingAlarm, warn=self.warn)

    def close(self) -> None:
        self._reader = None  # its graphs hold the model

    # One update.

    def _reading(self) -> ActivationReading | None:
        if self._reader is None:
            return None
        try:
            with self._team.together(), np.errstate(all="ignore"):
                reading = self._reader.read()
        except Exception as fault:
            self._lose_reader(fault)
            return None
        self.warn_once(self._reader.side_effects)
        return reading

    def _evidence(self, reading: ActivationReading) -> Evidence:
        """Return what a reading says of the layers, and which predictions are right where rows have classes."""
        task = None if self._reader is None else self._reader.task
        if task is None or not task.classes or self._rows is None:
            return Evidence(reading.layers)
        classes = true_labels(task, self._rows)
        if classes is None:
            return Evidence(reading.layers, why_no_classes=NO_LABELS)
        right = np.asarray(task.predictions(reading.outputs) == classes)
        return Evidence(reading.layers, right, classes.astype(np.int64), self._rows.class_names)
