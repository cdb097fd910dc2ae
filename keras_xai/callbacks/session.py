"""One fit, one log directory: the run directory, the writer, the count of steps and the `Epoch` record that callbacks share."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from keras_xai.callbacks.directory_lock import DirectoryLock
from keras_xai.callbacks.overhead import OverheadLedger, TimeSpent
from keras_xai.callbacks.remote_run import RemoteRun
from keras_xai.callbacks.run_directory import Beginning, check_writable
from keras_xai.callbacks.schedule import Schedule
from keras_xai.callbacks.step_counter import StepCounter
from keras_xai.callbacks.stored_rows import StoredRows
from keras_xai.loop_params import LoopParams
from keras_xai.probe import Probe
from keras_xai.records import Epoch, ProbePredictions, Slices, Stop
from keras_xai.remote.address import Address
from keras_xai.running import is_running
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.summary.writer import Writer
from keras_xai.updates import BEFORE, AtUpdate, Unit

if TYPE_CHECKING:
    from keras_xai.callbacks.model_reading import ModelReading

logger = logging.getLogger("keras_xai")
clock = time.perf_counter

# A session lives as long as its callbacks: an aborted fit leaves no file open once they are gone. Each fit has its own, also
# one inside another or in another thread. Known by directory and fit: Keras gives one `params` object to all callbacks of a
# fit, and a session holds it.
_open: weakref.WeakValueDictionary[tuple[Path, int], RunSession] = weakref.WeakValueDictionary()


class Member(Protocol):
    """A callback, as far as a session needs it."""

    name: str
    cost_hint: str  # what makes it cost less, in words for the user

    def rows_per_update(self) -> float:
        """Return how many rows an update passes through the model, forwards and backwards."""

    @property
    def whole_probe(self) -> Probe | None:
        """The probe on all whose rows an update runs the model; None where it does not."""


@dataclass
class _OpenUpdate:
    """The update whose record is still to be written."""

    epoch: int
    number: int = 0
    ends_epoch: bool = True
    has_begun: bool = False  # the training has come to it
    finished: list[Member] = field(default_factory=list)  # members that have nothing to add
    logs: Mapping[str, Any] = field(default_factory=dict)  # Keras' own
    iterations: int | None = None  # that the optimizer has counted, in a run that counts in steps
    figures: dict[str, float] = field(default_factory=dict)  # ours, whether Keras' logs get them or not
    learning_rate: float = math.nan


class RunSession:
    """The run directory, event file and `Epoch` records that all callbacks of one `fit` with the same log directory share.

    Where one of them looks at the model every n steps, the run counts in steps: the number of an update is the training steps
    done, and all take part in each of them. Else it is the epoch. See `keras_xai.updates`.

    TensorBoard's Python loader would show only the last of several event files in one run directory; so there is one writer,
    opened when the first epoch begins (only then is its number known) and closed when the last callback leaves. The run
    directory is locked for as long: a second training gets one of its own.

    A fault in what is shared, such as a full disk, ends the session for all callbacks at once, with one warning.

    Args:
        log_dir: as the user gave it, made absolute; of a remote one the staging directory.
        fit: Keras' `params`, one object a fit.
        address: of a remote log directory.
        writes: False in the workers of a distributed training that are not its chief: they write nothing.

    Attributes:
        past: the records of the run that is continued; None for a new one.
        directory: of the run, known when the first epoch begins.
        failure: the exception that ended the session for all, None where there was none.
        members_at_failure: the class names of the callbacks that took part when it failed.
        ledger: the seconds that all callbacks took.
        has_begun: the first epoch has begun: records can be written.
        slices: the last record of slices, with what all members measured at its update.
        counter: of the steps; None where the run counts in epochs.
    """

    def __init__(self, log_dir: Path, fit: object, address: Address | None = None, *, writes: bool = True) -> None:
        self.log_dir = log_dir
        self.remote = RemoteRun(address)
        self.fit = fit
        self.writes = writes
        self.past: Log | None = None
        self.directory: Path | None = None
        self.failure: Exception | None = None
        self.members_at_failure: tuple[str, ...] = ()
        self.ledger = OverheadLedger()
        self.has_begun = False
        self.slices: Slices | None = None
        self.counter: StepCounter | None = None
        self._slices_are_written = True
        self._predicted: int | None = None  # the number of the last update whose predictions are written
        self._members: list[Member] = []
        self._schedules: list[Schedule] = []
        self._batch = -1  # that was announced last
        self._is_update = False  # the announced batch comes after an update
        self._last_written: Epoch | None = None
        self._identity: dict[str, Any] = {}  # what must not change when a run is continued
        self._preferred: list[Path] = []  # the runs that its members wrote last
        self._probe: Probe | None = None  # that is written
        self._stored: dict[str, StoredRows] = {}  # by the hash of the probe
        self._lock: DirectoryLock | None = None
        self._writer: Writer | None = None
        self._provenance_at: tuple[int, int | None] | None = (
            None  # epoch and step of the record that is still to be written
        )
        self._stops: list[Stop] = []  # not yet written
        self._is_resumed = False  # the next record is the first of a training that goes on
        self._update: _OpenUpdate | None = None
        self._last_begun = 0  # epoch
        # What comes between two records counts for the later one: nothing of the training is left out.
        self._record_start = clock()
        self._notes: list[str] = []
        self._costs: dict[str, float] = {}
        self._once: dict[str, float] = {}  # the part of the costs that comes once

    @classmethod
    def of(cls, log_dir: Path, fit: object, address: Address | None = None, *, writes: bool = True) -> RunSession:
        """Return the session of this fit, and close those that aborted fits left open in the same directory."""
        key = log_dir, id(fit)
        for other in list(_open.values()):
            if other.log_dir == log_dir and other.fit is not fit and not is_running(other.fit):
                with contextlib.suppress(OSError):  # the aborted fit's loss, not this one's
                    other.close()
        session = _open.get(key)
        if session is None:
            session = _open[key] = cls(log_dir, fit, address, writes=writes)
        return session

    # Members.

    def join(
        self,
        member: Member,
        identity: Mapping[str, Any],
        probe: Probe | None,
        schedule: Schedule,
        last_directory: Path | None = None,
    ) -> None:
        """Add a callback.

        Args:
            member: the callback.
            identity: what must not change when a run is continued, by the names that a user would give it.
            probe: for the viewer; of the members' probes the one with the most samples is written, once.
            schedule: on which it looks at the model.
            last_directory: of the run that this callback wrote last, which a continued training goes on with.

        Raises:
            InvalidInput: the log directory cannot be written.
        """
        if not any(m is member for m in self._members):
            self._members.append(member)
            self._schedules.append(schedule)
        if last_directory is not None and last_directory not in self._preferred:
            self._preferred.append(last_directory)
        self._identity |= identity
        if probe is not None and (self._probe is None or probe.size > self._probe.size):
            self._probe = probe
            self._identity["probe"] = probe.hash
        if self.writes:
            self.remote.check()
            check_writable(self.log_dir)
            self._warn(self.remote.notice())

    def leave(self, member: Member) -> None:
        """Remove a callback: the others' epochs go on without it, and its notes are written."""
        pairs = zip(self._members, self._schedules, strict=True)
        others = [(other, schedule) for other, schedule in pairs if other is not member]
        self._members, self._schedules = [other for other, _ in others], [schedule for _, schedule in others]
        update = self._update
        try:
            with self._failing_for_all():
                if update is not None and (update.finished or (self._notes and update.has_begun)):
                    self._write_complete_update()
                if self._writer is not None:
                    self._writer.flush()
        finally:
            if self.is_over:
                self.close()

    def others(self, member: Member) -> list[Member]:
        """Return the other members."""
        return [other for other in self._members if other is not member]

    def stored_rows(self, probe: Probe) -> StoredRows:
        """Return what writes the inputs of rows of a probe, one for all members; once the first epoch has begun."""
        if probe.hash not in self._stored:
            self._stored[probe.hash] = StoredRows(probe)
            self._stored[probe.hash].resume(self.past)
        return self._stored[probe.hash]

    @property
    def is_over(self) -> bool:
        """True once the last callback has left."""
        return not self._members

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._members, self._schedules = [], []
        key = self.log_dir, id(self.fit)
        if _open.get(key) is self:
            del _open[key]
        with contextlib.suppress(Exception):
            self._write_slices()
            self._write_stops()
        writer, self._writer = self._writer, None
        lock, self._lock = self._lock, None
        try:
            if writer is not None:
                writer.close()
        finally:
            if lock is not None:
                lock.release()
        self._warn(self.remote.close(self.directory))

    def _warn(self, text: str) -> None:
        if text:
            warnings.warn(text, stacklevel=2)

    @contextlib.contextmanager
    def _failing_for_all(self) -> Iterator[None]:
        """Let a fault in what all callbacks share end the session for all of them."""
        try:
            yield
        except Exception as fault:
            self.fail(fault)
            raise

    def fail(self, fault: Exception) -> None:
        """End the session for all callbacks; the first fault counts."""
        if self.failure is None:
            self.failure = fault
            self.members_at_failure = tuple(type(m).__name__ for m in self._members)

    # Epochs and updates.

    @property
    def number(self) -> int:
        """The number of the present update: the training steps done, or the epoch."""
        return self._last_begun if self.counter is None else self.counter.done

    def begin_epoch(self, epoch: int, model: ModelReading) -> None:
        """Begin an epoch; the first one decides which run is written."""
        if not self.has_begun:
            with self._failing_for_all():
                self._open_file(epoch, model)
            self.has_begun = True
        if self._update is not None and epoch == self._update.epoch:
            return
        self._last_begun, self._batch = epoch, -1
        self._update = _OpenUpdate(epoch)
        if self.counter is not None:
            needs_rows = any(schedule.is_auto for schedule in self._schedules)
            self.counter.begin_epoch(epoch, model.iterations(), model.rows() if needs_rows else 0.0)

    def _open_file(self, epoch: int, model: ModelReading) -> None:
        if any(schedule.counts_steps for schedule in self._schedules):
            self.counter = StepCounter(_positive(self.fit, "steps"), _positive(self.fit, "epochs"))
            self.ledger.counts_epochs = False
        unit: Unit = "epoch" if self.counter is None else "step"
        self._identity["unit of updates"] = unit
        self._last_begun = epoch
        if not self.writes:
            return
        beginning = Beginning(epoch, unit, None if self.counter is None else model.iterations())
        run = self.remote.choose(self.log_dir, beginning, self._identity, self._preferred)
        self._lock, self.past = run.lock, run.past
        self._is_resumed = run.past is not None
        for text in run.notes:
            self.note(text)
        if run.is_beside:
            # Whoever fits again, as in a cell of a notebook, would read the earlier run under the name that he knows.
            place = self.remote.place(self.log_dir)
            logger.warning("%s kx.load(%r)[%r] reads it.", run.notes[0], place, run.directory.name)
        past_updates: int | None = None
        if self.counter is not None:
            past_updates = 0 if run.past is None else len(run.past.updates)
            self.counter.restore(() if run.past is None else run.past.history, run.steps_done)
        self._writer = Writer(run.directory, run.start, past_updates, **self.remote.writer_options)
        self.directory = run.directory
        if self._probe is not None and (self.past is None or self.past.probe is None):
            self._writer.write([self._probe])
            self._writer.flush()
        self._write_stops()
        self._provenance_at = (epoch, None if self.counter is None else run.start)
        if model is not None and model.is_built:  # else it is written with the first update
            self._write_provenance(model)

    def _write_provenance(self, model: ModelReading) -> None:
        """Write how the training was begun, once; a fault in reading it costs the record, and nothing else."""
        moment, self._provenance_at = self._provenance_at, None
        if moment is None or self._writer is None:
            return
        watched = [getattr(member, "probe", None) for member in self._members]
        probes = [probe for probe in watched if isinstance(probe, Probe)]
        largest = max(probes, key=lambda probe: probe.size, default=self._probe)
        gallery = 0 if self._probe is None else self._probe.size
        try:
            record = model.provenance(largest, gallery=gallery, epoch=moment[0], step=moment[1], fit=self.fit)
            self._writer.write([record])
        except Exception:
            logger.debug("the provenance could not be read", exc_info=True)
        self._writer.flush()

    def begin_batch(self, batch: int) -> bool:
        """Return True where an update is due before a batch of the epoch; its number in it counts from 0."""
        if self.counter is None:
            return False
        if batch != self._batch:
            self._batch = batch
            self.counter.begin_batch(batch)
            self._is_update = any(self.counter.is_due(schedule) for schedule in self._schedules)
        return self._is_update

    def end_batch(self, batch: int) -> None:
        """Note that a batch was trained on."""
        if self.counter is not None:
            self.counter.end_batch(batch)

    def begin_update(self, model: ModelReading) -> None:
        """Begin the update inside an epoch that is due: bring the model's weights up to date, and read its metrics."""
        assert self.counter is not None
        update, number = self._update, self.counter.done
        if update is not None and update.has_begun and update.number == number:  # another callback has begun it
            return
        model.sync()
        loop = self.fit if isinstance(self.fit, LoopParams) else None
        if loop is not None and loop.sync is not None:
            loop.sync()
        logs = model.metrics() if loop is None else loop.means()
        self._update = _OpenUpdate(self.counter.epoch, number, ends_epoch=False, has_begun=True, logs=logs)

    @property
    def ends_epoch(self) -> bool:
        """True where the present update is the end of an epoch."""
        return self._update is None or self._update.ends_epoch

    @property
    def logs(self) -> dict[str, Any]:
        """The metrics of the present update inside an epoch."""
        return {} if self._update is None else dict(self._update.logs)

    def rows_per_update(self) -> float:
        """Return how many rows an update by "auto" passes through the model, of all members that have it."""
        pairs = zip(self._members, self._schedules, strict=True)
        return sum(member.rows_per_update() for member, schedule in pairs if schedule.is_auto)

    def end_epoch(self, model: ModelReading) -> bool:
        """Count the steps of the epoch that has ended; return True where an update was made at its last step already."""
        if self._update is None or not self._update.ends_epoch:
            self._update = _OpenUpdate(self._last_begun)
        if self.counter is None:
            return False
        if not self._update.has_begun:
            steps_of_epoch = self.fit.steps_of_epoch if isinstance(self.fit, LoopParams) else None
            self.counter.end_epoch(model.iterations(), model.steps_per_execution, steps_of_epoch=steps_of_epoch)
        self._update.has_begun = True
        last = self._last_written
        return last is not None and last.step == self.counter.done and not last.ends_epoch

    def stamped(self, record: Any) -> Any:
        """Return a record of the present update with its epoch and step, where the run counts in steps."""
        if self.counter is None or not isinstance(record, AtUpdate) or record.step is not None:
            return record
        if record.epoch == BEFORE:
            return record
        return dataclasses.replace(record, epoch=self.counter.epoch, step=record.update)  # type: ignore[type-var]

    def learning_rate(self, read: Callable[[], float]) -> float:
        """Return this update's learning rate, as the first of our callbacks read it.

        The scores are so computed with the rate that is recorded, also where a callback between ours changes it.
        """
        if self._update is None:
            return read()
        self._update.has_begun = True
        if math.isnan(self._update.learning_rate):
            self._update.learning_rate = read()
        return self._update.learning_rate

    def write(self, records: Iterable[Record]) -> None:
        """Append records to the file; slices once the update is complete, as one record of all members."""
        if not self.has_begun:
            raise RuntimeError("a record before the first epoch began")
        others = [record for record in map(self.stamped, records) if not self._holds_back(record)]
        for record in others:
            if isinstance(record, ProbePredictions):
                self._predicted = record.update
        # Of one that is not the chief the records are computed all the same, since replicas run in step.
        if self._writer is not None:
            self._writer.write(others)

    def _holds_back(self, record: Record) -> bool:
        if not isinstance(record, Slices):
            return False
        if self.slices is not None and self.slices.update == record.update:
            record = self.slices.joined(record)
        else:
            self._write_slices()
        self.slices, self._slices_are_written = record, False
        return True

    def _write_slices(self) -> None:
        if self.slices is not None and not self._slices_are_written and self._writer is not None:
            self._writer.write([self.slices])
        self._slices_are_written = True

    def awaits_predictions(self, member: Member) -> bool:
        """Return True where nobody has written the predictions of the present update, and they are for a member to write.

        Of several probes it is the one with the most rows; of those that run the model on it the first at an update.
        """
        probe = member.whole_probe
        if probe is None or self._predicted == self.number:
            return False
        probes = [other.whole_probe for other in self._members]
        largest = max((other for other in probes if other is not None), key=lambda other: other.size, default=probe)
        return probe.hash == largest.hash

    def flush(self) -> None:
        """Hand all records to the operating system."""
        if self._writer is not None:
            self._writer.flush()

    def add_figures(self, figures: Mapping[str, float]) -> None:
        """Add figures to this update's record."""
        if self._update is not None:
            self._update.figures |= figures

    def note(self, text: str) -> None:
        """Add a sentence to this update's record."""
        if text not in self._notes:
            self._notes.append(text)

    def complete_update(
        self, member: Member, name: str, spent: TimeSpent, logs: Mapping[str, Any] | None, model: ModelReading
    ) -> None:
        """Note that one callback has finished the update, at this cost; the last one's call writes the record.

        Args:
            member: the callback.
            name: under which its cost is kept.
            spent: its cost.
            logs: of Keras at the end of an epoch; None inside one.
            model: in training.
        """
        self.add_cost(name, spent)
        with self._failing_for_all():
            self._write_provenance(model)
        if self._update is None:
            return
        self._update.finished.append(member)
        if logs is not None:
            self._update.logs = logs
        if self.counter is not None:
            self._update.iterations = model.iterations()
        with self._failing_for_all():
            self._write_complete_update()

    def _write_complete_update(self) -> None:
        """Write the update's record once all members have finished it, and flush."""
        update = self._update
        if update is None or not self.has_begun or self.failure is not None:
            return
        finished = {id(member) for member in update.finished}
        if not all(id(member) in finished for member in self._members):
            return
        end = clock()
        seconds, self._record_start = end - self._record_start, end
        self.ledger.enter(seconds, self._costs, self._once)
        self._note_overhead()
        record = Epoch(
            epoch=update.epoch,
            wall_time=time.time(),
            seconds=seconds,
            cost_seconds=sum(self._costs.values()),
            learning_rate=update.learning_rate,
            logs=scalars({**update.logs, **update.figures}),
            costs=dict(self._costs),
            once_seconds=sum(self._once.values()),
            notes=tuple(self._notes),
            resumed=self._is_resumed,
        )
        if self.counter is not None:
            record = dataclasses.replace(
                record, step=self.counter.done, ends_epoch=update.ends_epoch, iterations=update.iterations
            )
        self._update, self._notes, self._costs, self._once = None, [], {}, {}
        self._is_resumed = False
        self._write_slices()
        self._last_written = record = _joined(self._last_written, record)
        if self._writer is not None:
            self._writer.write([record])
            self._writer.flush()
            self._warn(self.remote.notice())

    # Cost.

    def add_cost(self, name: str, spent: TimeSpent) -> None:
        """Add the seconds that a callback took to this update's record."""
        self._costs[name] = self._costs.get(name, 0.0) + spent.seconds
        self._once[name] = self._once.get(name, 0.0) + spent.once

    def close_ledger(self) -> None:
        """Enter the seconds since the last epoch's record into the ledger: the end of the training is in no record."""
        self.ledger.enter(clock() - self._record_start, self._costs, self._once, extends_last=True)
        self._record_start, self._costs, self._once = clock(), {}, {}

    def _note_overhead(self) -> None:
        hints = {member.name: member.cost_hint for member in self._members}
        notice = self.ledger.notice(hints)
        if notice and self.writes:
            self.note(notice)
            logger.warning("%s", notice)

    # Parts of the watch that ended before the training did.

    def record_stop(self, part: str, reason: str) -> None:
        """Record that a part of the watch ended, see `records.Stop`; written at once if the file can be."""
        if any(stop.part == part for stop in self._stops):
            return
        self._stops.append(Stop(self.number, part, reason))
        with contextlib.suppress(Exception):  # the fault that ended it may be that of the file
            self._write_stops()

    def _write_stops(self) -> None:
        if self._writer is None or not self._stops:
            return
        self._writer.write(map(self.stamped, self._stops))
        self._writer.flush()
        self._stops = []

    def write_last_stops(self) -> None:
        """Write the stops that could not be written before to a second file: the disk may have room again.

        Raises:
            OSError: it has none.
        """
        stops, self._stops = self._stops, []
        if not stops or self.directory is None or not self.directory.is_dir():
            return
        past_updates = None if self.counter is None else 0
        writer = Writer(self.directory, self.number + 1, past_updates, **self.remote.writer_options)
        try:
            writer.write(map(self.stamped, stops))
        finally:
            writer.close()


def _positive(fit: Any, name: str) -> int | None:
    """Return a number of Keras' `params`, None where it is not known."""
    value = fit.get(name) if isinstance(fit, Mapping) else None
    return int(value) if value else None


def _joined(earlier: Epoch | None, record: Epoch) -> Epoch:
    """Return a record with what one of the same step holds, which it replaces: an epoch may end where an update was made."""
    if earlier is None or earlier.step is None or earlier.step != record.step:
        return record
    costs = dict(earlier.costs)
    for name, seconds in record.costs.items():
        costs[name] = costs.get(name, 0.0) + seconds
    return dataclasses.replace(
        record,
        seconds=earlier.seconds + record.seconds,
        cost_seconds=earlier.cost_seconds + record.cost_seconds,
        once_seconds=earlier.once_seconds + record.once_seconds,
        costs=costs,
        notes=(*earlier.notes, *(note for note in record.notes if note not in earlier.notes)),
        resumed=earlier.resumed or record.resumed,
    )


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries of Keras' `logs` that are single numbers."""
    numbers = {}
    for key, value in logs.items():
        try:
            array = np.asarray(value)
        except Exception:  # other callbacks may put anything into logs
            continue
        if array.size == 1 and (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            numbers[str(key)] = float(array.reshape(()))
    return numbers
