"""The lifecycle that all callbacks share."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from keras_xai import backend
from keras_xai.backend.building_time import seconds_built
from keras_xai.backend.team import ALONE
from keras_xai.callbacks.fault_isolation import IsolatedCallback, fault_isolated
from keras_xai.callbacks.model_reading import ModelReading
from keras_xai.callbacks.run_directory import checked_directory
from keras_xai.callbacks.schedule import Every, Schedule
from keras_xai.callbacks.session import RunSession
from keras_xai.callbacks.step_counter import USUAL_BATCH, words_on_interval
from keras_xai.errors import InvalidInput
from keras_xai.loop_params import LoopParams
from keras_xai.probe import Probe
from keras_xai.records import Flag, Slices
from keras_xai.remote.address import Address
from keras_xai.remote.staging import staging_directory
from keras_xai.running import is_running
from keras_xai.slice_accuracy import worst_slice
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log

logger = logging.getLogger("keras_xai")
T = TypeVar("T")


class RecordingCallback(IsolatedCallback):
    """A callback that looks at the model on a schedule and writes records.

    A subclass overrides the hooks of the first section below, as many as it needs, and uses the members of the second; all
    that has a leading underscore is this class's own.

    Args:
        log_dir: a directory or an address, as "s3://bucket/run"; the run is written to `<log_dir>/keras_xai`.
        every: look at every n-th epoch, or a function epoch -> bool, the first and the last always; or "200 steps", the same as
            `kx.steps(200)`, or "auto", and at the end of each epoch.
        on_error: "warn" (an exception is one warning, and the callback is disabled) or "raise" (for development).
        log: "all" puts every figure into Keras' `logs`, and so into its progress line; "default" its `default_figures`.

    Attributes:
        log_dir: as an absolute path; of a remote one the local directory that is shipped.
        cost: the time spent in this callback.
        retired: True after a fault, until the next training.
        learning_rate: that of the update that is recorded, NaN where the optimizer has none.
    """

    name: ClassVar[str]
    default_figures: ClassVar[frozenset[str]] = frozenset()  # the figures that `logs` get by default
    alarm_figures: ClassVar[frozenset[str]] = frozenset()  # those that are 1 for an epoch with an alarm anywhere in it
    cost_hint: ClassVar[str] = ""  # what makes it cost less, in words for the user
    # Attributes that belong to one fit and hold its model, its file or its graphs, and what they are outside of one: a copy
    # of a callback, as search tools make them, has these.
    fit_state: ClassVar[Mapping[str, Any]] = {
        "_model": None,
        "params": None,
        "_loop": None,
        "_session": None,
        "_failed_session": None,
        "_team": ALONE,
    }

    def __init__(
        self, log_dir: str | os.PathLike[str], *, every: Every = 1, on_error: str = "warn", log: str = "default"
    ) -> None:
        super().__init__(on_error=on_error)
        if log not in ("default", "all"):
            raise InvalidInput(f"log={log!r}: expected 'default' (few figures in logs) or 'all'.")
        self.log = log
        directory = checked_directory(log_dir)
        self._address = directory if isinstance(directory, Address) else None
        self.log_dir = directory if isinstance(directory, Path) else staging_directory(directory)
        self.learning_rate = float("nan")
        self._schedule = Schedule(every)
        self._directory: Path | None = None  # of the run that was written last
        self._warned: set[str] = set()  # texts, in this fit
        self._epoch = 0  # the present one
        self._first_epoch: int | None = None  # of the run
        self._last_update: int | None = None  # number of the last end of an epoch
        self._last_recorded: int | None = None  # number of an update
        self._is_inside = False  # the present update is inside an epoch
        self._is_owed = False  # it was missing in a run that broke off: no step of this training comes before it
        self._is_last_epoch = False  # the present update is the end of the last epoch
        self._alarms: dict[str, float] = {}  # alarm figures of the updates inside this epoch

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy: the settings of this callback, without what belongs to the fit that it watches."""
        state = dict(vars(self))
        for cls in type(self).__mro__:
            for name, value in getattr(cls, "fit_state", {}).items():
                if name in state:
                    state[name] = value
        return state

    # What a subclass overrides, in the order in which it is called. `update` is the number of an update: the epoch, or in a run
    # that counts in steps the training steps done.

    def check(self) -> None:
        """Check all that needs the model, built or not, and forget the fit before; called at train begin.

        Raises:
            InvalidInput: reaches the user.
        """

    def is_built(self) -> bool:
        """Return True where the model has its weights at train begin."""
        return bool(self.model.built)

    def prepare(self) -> None:
        """Build all that needs the model's weights; called once it has them, at train begin or after the first step.

        Raises:
            InvalidInput: reaches the user.
        """

    def run_identity(self) -> Mapping[str, Any]:
        """Return what must be the same for a run to be continued; known after `check`."""
        return {}

    def gallery_probe(self) -> Probe | None:
        """Return the samples that the viewer shows, or at least has to know of."""
        return None

    @property
    def whole_probe(self) -> Probe | None:
        """The probe on all whose rows an update runs the model; None where it does not."""
        return None

    def common_inputs(self) -> Mapping[str, str]:
        """Return, by name, the text or hash of what all processes of a training must have alike; known after `check`.

        A decision that is the chief's anyway, as which epochs are looked at, is not among them.
        """
        return {"on_error": self.on_error}

    def rows_per_update(self) -> float:
        """Return how many rows an update passes through the model, forwards and backwards; "auto" chooses its interval by it."""
        return 0.0

    def on_run_start(self, epoch: int, past: Log | None) -> None:
        """Take over the records of the run that is continued; called when the fit's first epoch begins.

        Args:
            epoch: the first one of this fit.
            past: the records before it; None for a new run.
        """

    def record_before_training(self) -> Iterable[Record]:
        """Return records of the untrained model, before the first step of a new run; of epoch `updates.BEFORE`."""
        return ()

    def record_update(self, update: int, logs: dict[str, Any]) -> Iterable[Record]:
        """Return the records of a scheduled update; may add keys to `logs`, which Keras sees at the end of an epoch."""
        return ()

    def carry_forward(self, update: int, logs: dict[str, Any]) -> None:
        """Add the last figures to `logs` at any other update: CSVLogger needs the same keys at the end of each epoch."""

    def on_update_written(self) -> None:
        """Respond to alarms as the user asked; called after the update is written, so that a stop loses no record."""

    def record_last_update(self, update: int) -> Iterable[Record]:
        """Return the records of the end of the last epoch at train end, if it was not scheduled."""
        return ()

    # What a subclass uses, beside `note`.

    @property
    def awaits_predictions(self) -> bool:
        """True where the predictions of this update are to be recorded by this callback: of all that could, by the first."""
        return self._session is not None and self._session.awaits_predictions(self)

    @property
    def is_complete(self) -> bool:
        """True where the end of the last epoch is recorded."""
        return self._last_update == self._last_recorded

    def log_figures(self, logs: dict[str, Any], figures: Mapping[str, float]) -> None:
        """Put figures of this update into `logs`, as many as are asked for, and all of them into the update's record.

        All processes of a training have the chief's, to the last bit: another callback may stop at one of them. Keras reads them
        at the end of an epoch: an alarm inside it is one of the epoch.
        """
        figures = self._team.agreed(dict(figures))
        for name, value in self._with_alarms_of_epoch(figures).items():
            if self.log == "all" or name in self.default_figures:
                logs[name] = value
        if self._session is not None:
            self._session.add_figures(figures)

    def _with_alarms_of_epoch(self, figures: Mapping[str, float]) -> Mapping[str, float]:
        alarms = {name: value for name, value in figures.items() if name in self.alarm_figures}
        merged = {name: max(value, self._alarms.get(name, 0.0)) for name, value in alarms.items()}
        self._alarms = merged if self._is_inside else {}
        return figures if self._is_inside else {**figures, **merged}

    def slice_figures(self, probe: Probe, records: Iterable[Record] = ()) -> dict[str, float]:
        """Return the accuracy of the worst slice for `logs`; nothing where the probe has no slices.

        Args:
            probe: that is watched.
            records: of this update; without one of slices the figure is as it was when the probe was looked at last.
        """
        if not probe.slices:
            return {}
        record = next((record for record in records if isinstance(record, Slices)), None)
        if record is None and self._session is not None:
            record = self._session.slices
        worst = None if record is None else worst_slice(record)
        return {"xai_worst_slice": math.nan if worst is None else worst.accuracy}

    def is_scheduled(self, epoch: int) -> bool:
        """Return True where the end of `epoch` is looked at."""
        epochs = (self.params or {}).get("epochs")
        first = epoch if self._first_epoch is None else self._first_epoch
        return self._team.agreed(self._schedule.due(epoch, first, epochs - 1 if epochs else None))

    def stamped(self, record: T) -> T:
        """Return a record of this update with its epoch and step, where the run counts in steps; else as it is."""
        stamped: T = record if self._session is None else self._session.stamped(record)
        return stamped

    def agreed_flags(self, flags: Iterable[Flag]) -> list[Flag]:
        """Return the chief's flags: processes may round differently at a threshold."""
        return [Flag(*flag) for flag in self._team.agreed(list(flags))]

    def warn(self, text: str) -> None:
        """Issue a Python warning that is also kept in the update's record; of several processes only the chief issues it."""
        self.note(text)
        if self._team.is_chief:
            warnings.warn(text, stacklevel=2)

    def say(self, text: str) -> None:
        """Log a warning that is also kept in the update's record: of what the user gave, and is no fault of the training."""
        self.note(text)
        if self._team.is_chief:
            logger.warning("%s", text)

    def warn_once(self, text: str) -> None:
        """Warn once in a fit of each text; an empty one is left out."""
        if text and text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def stop_part(self, part: str, reason: str) -> None:
        """Record that a part of the watch ended before the training; see `records.Stop`."""
        if self._session is not None:
            self._session.record_stop(part, reason)

    # What Keras calls.

    @fault_isolated
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._checking = True
        self._refuse_a_second_fit()
        self._leave_quietly()  # an aborted fit never called on_train_end
        self.retired = False  # a new training is a new chance
        self._failed_session = None
        self._warned = set()
        self._first_epoch = self._last_update = self._last_recorded = None
        self._is_inside, self._is_last_epoch, self._alarms = False, False, {}
        self.cost.take()
        if self._address is not None:  # a copy of this callback in another process has a directory of its own
            self.log_dir = staging_directory(self._address)
        self._session = RunSession.of(self.log_dir, self.params, self._address, writes=self._team.is_chief)
        with self.cost.once():
            self._check_others_have_this_callback()
            self.check()
            self._check_others_hold_the_same()
        if self.is_built():
            self._prepare_once()
        self._session.join(self, self.run_identity(), self.gallery_probe(), self._schedule, self._directory)

    @fault_isolated
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session = self._joined_session()
        self._epoch = epoch
        session.begin_epoch(epoch, ModelReading(self.model))
        if self._first_epoch is None:
            if session.counter is not None:
                session.counter.agree(self._team)
            self._directory = session.directory
            # A run that is continued keeps the rhythm it had; the chief alone has its records.
            past_epochs = session.past.epochs if session.past is not None else ()
            self._first_epoch = self._team.agreed(min([epoch, *past_epochs]))
            self.on_run_start(epoch, session.past)
            began_late = isinstance(self.params, LoopParams) and self.params.began_late
            is_untrained = epoch == 0 and not self._checking and not began_late
            if is_untrained and self._team.agreed(session.past is None):
                with self._building():
                    session.write(self.record_before_training())
                session.flush()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Not at the end of a batch: where a callback looks at the model there, Keras waits for the figures of every batch.
        if self._checking and batch > 0:
            self.on_second_batch()
        session = self._session
        if session is None or session.counter is None:
            return
        if self._schedule.is_auto and session.counter.awaits_interval and batch > 0:
            self.on_first_steps_done(batch)
        if session.begin_batch(batch):
            self.on_update()

    @property
    def async_safe(self) -> bool:
        """True tells Keras that the hook below may run in another thread, so that no step waits for it."""
        return type(self).on_train_batch_end is RecordingCallback.on_train_batch_end

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        session = self._session
        if session is not None:
            session.end_batch(batch)

    @fault_isolated
    def on_second_batch(self) -> None:
        """After the first step of a model that was not built before: now it has its weights."""
        self._prepare_once()

    @fault_isolated
    def on_first_steps_done(self, batch: int) -> None:
        """Choose the interval of "auto", once steps of this epoch have shown how many rows a batch has."""
        session = self._joined_session()
        assert session.counter is not None
        backend.get_backend().sync_model(self.model)
        session.counter.begin_batch(batch)
        rows = self._team.agreed(session.counter.rows_of_batch(ModelReading(self.model).rows()))
        rows_per_update = session.rows_per_update()
        interval = session.counter.choose_interval(rows_per_update, rows or USUAL_BATCH)
        self.note(words_on_interval(interval, rows_per_update, rows, session.counter.length))

    @fault_isolated
    def on_update(self) -> None:
        """Look at the model inside an epoch, after the steps that were announced before the present one."""
        session = self._joined_session()
        session.begin_update(ModelReading(self.model))
        self._prepare_once()
        self._is_inside, self._is_last_epoch = True, False
        assert session.counter is not None
        self._is_owed = session.counter.owes_update
        self._make_update(session, None, is_scheduled=session.counter.is_due(self._schedule))

    @fault_isolated
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        session, logs = self._joined_session(), {} if logs is None else logs
        self._prepare_once()  # after an epoch of one batch
        self._is_inside = self._is_owed = False
        self._is_last_epoch = epoch + 1 == (self.params or {}).get("epochs")
        is_made = session.end_epoch(ModelReading(self.model)) and self._last_recorded == session.number
        self._last_update = session.number
        self._make_update(session, logs, is_scheduled=self.is_scheduled(epoch) and not is_made)

    @fault_isolated
    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        session = self._joined_session()
        if self._last_update is not None and self._last_update != self._last_recorded:
            session.write(self.record_last_update(self._last_update))
        self._leave()
        session.add_cost(self.name, self.cost.take())
        if session.is_over:
            self._print_cost(session)
        self.on_update_written()

    # Inside.

    def _make_update(self, session: RunSession, logs: dict[str, Any] | None, *, is_scheduled: bool) -> None:
        """Make the session's present update.

        Args:
            session: joined.
            logs: of Keras at the end of an epoch; None inside one.
            is_scheduled: this callback looks at the model; else it repeats its last figures.
        """
        update = session.number
        self.learning_rate = session.learning_rate(self._optimizer_rate)
        figures = session.logs if logs is None else logs
        if is_scheduled:
            with self._building():
                session.write(self.record_update(update, figures))
            self._last_recorded = update
        else:
            self.carry_forward(update, figures)
        session.complete_update(self, self.name, self.cost.take(), logs, ModelReading(self.model))
        self.on_update_written()

    def _check_others_have_this_callback(self) -> None:
        if not self._team.same(type(self).__name__):
            raise InvalidInput(
                "The processes of this training have other callbacks of keras_xai, or have them in another order: give the same "
                "ones to fit() in every process."
            )

    def _check_others_hold_the_same(self) -> None:
        """Check that all processes explain the same samples with the same settings: each feeds its own to one program."""
        if self._team.size == 1:
            return
        for name, digest in self.common_inputs().items():
            if not self._team.same(digest):
                raise InvalidInput(
                    f"{type(self).__name__}: {name} is not the same in the {self._team.size} processes of this training, which "
                    f"explain the same samples in step. Make it of the same data in each of them, before the data set is divided "
                    f"among them, with a fixed seed where something is drawn."
                )

    def _optimizer_rate(self) -> float:
        """Return the optimizer's current learning rate, NaN without one."""
        optimizer = getattr(self.params, "optimizer", None) or getattr(self.model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", None)
        # The addition reads it: a variable mirrored on several devices is no number by itself.
        return float("nan") if rate is None else float(getattr(rate, "value", rate) + 0.0)

    @contextlib.contextmanager
    def _building(self) -> Iterator[None]:
        """Count the seconds in which graphs are built inside as cost that comes once, not in every epoch."""
        before = seconds_built()
        try:
            yield
        finally:
            self.cost.mark_once(seconds_built() - before)

    def _prepare_once(self) -> None:
        if self._checking:
            with self.cost.once():
                self.prepare()
            self._checking = False

    def _refuse_a_second_fit(self) -> None:
        """Raise where this callback is given to a second fit while its first one is still running."""
        session = self._session
        if session is not None and session.fit is not self.params and is_running(session.fit):
            name = type(self).__name__
            session.record_stop(self.name, f"the same {name} was given to a fit inside its own")
            self.retired = True
            raise InvalidInput(
                f"This {name} watches a fit that is still running: a fit inside it needs a callback of its own."
            )

    def _print_cost(self, session: RunSession) -> None:
        """Log the cost of all callbacks when the training ends, and print it where Keras prints its own progress."""
        if not self._team.is_chief:
            return
        session.close_ledger()
        line = f"keras_xai: {session.ledger.line()}."
        logger.info("%s", line)
        if (self.params or {}).get("verbose"):
            print(line)

    def _joined_session(self) -> RunSession:
        if self._session is None:
            raise RuntimeError("on_train_begin was not called before this hook")
        return self._session
