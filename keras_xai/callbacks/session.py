"""One fit, one log directory: the run directory, the writer and the `Epoch` record that its callbacks share."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.callbacks.directory_lock import DirectoryLock
from keras_xai.callbacks.overhead import OverheadLedger, TimeSpent
from keras_xai.callbacks.run_directory import check_writable, choose_run
from keras_xai.probe import Probe
from keras_xai.records import Epoch, Slices, Stop
from keras_xai.running import is_running
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import Log
from keras_xai.summary.writer import Writer

logger = logging.getLogger("keras_xai")
clock = time.perf_counter

# A session lives as long as its callbacks: an aborted fit leaves no file open once they are gone. Each fit has its own, also
# one inside another or in another thread. Known by directory and fit: Keras gives one `params` object to all callbacks of a
# fit, and a session holds it.
_open: weakref.WeakValueDictionary[tuple[Path, int], RunSession] = weakref.WeakValueDictionary()


@dataclass
class _OpenEpoch:
    """The epoch whose record is still to be written."""

    number: int
    has_ended: bool = False
    finished: list[object] = field(default_factory=list)  # members that have nothing to add
    logs: Mapping[str, Any] = field(default_factory=dict)  # Keras' own
    figures: dict[str, float] = field(default_factory=dict)  # ours, whether Keras' logs get them or not
    learning_rate: float = math.nan


class RunSession:
    """The run directory, event file and `Epoch` record that all callbacks of one `fit` with the same log directory share.

    TensorBoard's Python loader would show only the last of several event files in one run directory; so there is one writer,
    opened when the first epoch begins (only then is its number known) and closed when the last callback leaves. The run
    directory is locked for as long: a second training gets one of its own.

    A fault in what is shared, such as a full disk, ends the session for all callbacks at once, with one warning.

    Args:
        log_dir: as the user gave it, made absolute.
        fit: Keras' `params`, one object a fit.
        writes: False in the workers of a distributed training that are not its chief: they write nothing.

    Attributes:
        past: the records of the run that is continued; None for a new one.
        directory: of the run, known when the first epoch begins.
        failure: the exception that ended the session for all, None where there was none.
        members_at_failure: the class names of the callbacks that took part when it failed.
        ledger: the seconds that all callbacks took.
        has_begun: the first epoch has begun: records can be written.
        slices: the last record of slices, with what all members measured in its epoch.
    """

    def __init__(self, log_dir: Path, fit: object, *, writes: bool = True) -> None:
        self.log_dir = log_dir
        self.fit = fit
        self.writes = writes
        self.past: Log | None = None
        self.directory: Path | None = None
        self.failure: Exception | None = None
        self.members_at_failure: tuple[str, ...] = ()
        self.ledger = OverheadLedger()
        self.has_begun = False
        self.slices: Slices | None = None
        self._slices_are_written = True
        self._members: list[object] = []
        self._identity: dict[str, Any] = {}  # what must not change when a run is continued
        self._preferred: list[Path] = []  # the runs that its members wrote last
        self._probe: Probe | None = None  # that is written
        self._lock: DirectoryLock | None = None
        self._writer: Writer | None = None
        self._stops: list[Stop] = []  # not yet written
        self._resumed_at: int | None = None  # the epoch with which a run is continued
        self._epoch: _OpenEpoch | None = None
        self._last_begun = 0  # epoch
        # What comes between two records counts for the later one: nothing of the training is left out.
        self._record_start = clock()
        self._notes: list[str] = []
        self._costs: dict[str, float] = {}
        self._once: dict[str, float] = {}  # the part of the costs that comes once

    @classmethod
    def of(cls, log_dir: Path, fit: object, *, writes: bool = True) -> RunSession:
        """Return the session of this fit, and close those that aborted fits left open in the same directory."""
        key = log_dir, id(fit)
        for other in list(_open.values()):
            if other.log_dir == log_dir and other.fit is not fit and not is_running(other.fit):
                with contextlib.suppress(OSError):  # the aborted fit's loss, not this one's
                    other.close()
        session = _open.get(key)
        if session is None:
            session = _open[key] = cls(log_dir, fit, writes=writes)
        return session

    # Members.

    def join(
        self, member: object, identity: Mapping[str, Any], probe: Probe | None, last_directory: Path | None = None
    ) -> None:
        """Add a callback.

        Args:
            member: the callback.
            identity: what must not change when a run is continued, by the names that a user would give it.
            probe: for the viewer; of the members' probes the one with the most samples is written, once.
            last_directory: of the run that this callback wrote last, which a continued training goes on with.

        Raises:
            InvalidInput: the log directory cannot be written.
        """
        if not any(m is member for m in self._members):
            self._members.append(member)
        if last_directory is not None and last_directory not in self._preferred:
            self._preferred.append(last_directory)
        self._identity |= identity
        if probe is not None and (self._probe is None or probe.size > self._probe.size):
            self._probe = probe
            self._identity["probe"] = probe.hash
        if self.writes:
            check_writable(self.log_dir)

    def leave(self, member: object) -> None:
        """Remove a callback: the others' epochs go on without it, and its notes are written."""
        self._members = [m for m in self._members if m is not member]
        epoch = self._epoch
        try:
            with self._failing_for_all():
                if epoch is not None and (epoch.finished or (self._notes and epoch.has_ended)):
                    self._write_complete_epoch()
                if self._writer is not None:
                    self._writer.flush()
        finally:
            if self.is_over:
                self.close()

    def others(self, member: object) -> list[object]:
        """Return the other members."""
        return [other for other in self._members if other is not member]

    @property
    def is_over(self) -> bool:
        """True once the last callback has left."""
        return not self._members

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._members = []
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

    # Epochs.

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch; the first one decides which run is written."""
        if not self.has_begun:
            with self._failing_for_all():
                self._open_file(epoch)
            self.has_begun = True
        if self._epoch is None or epoch != self._epoch.number:
            self._last_begun = epoch
            self._epoch = _OpenEpoch(epoch)

    def _open_file(self, epoch: int) -> None:
        if not self.writes:
            return
        run = choose_run(self.log_dir, epoch, self._identity, self._preferred)
        self._lock, self.past = run.lock, run.past
        self._resumed_at = None if run.past is None else epoch
        for text in run.notes:
            self.note(text)
        self._writer, self.directory = Writer(run.directory, start=epoch), run.directory
        self._last_begun = epoch
        if self._probe is not None and (self.past is None or self.past.probe is None):
            self._writer.write([self._probe])
            self._writer.flush()
        self._write_stops()

    def learning_rate(self, read: Callable[[], float]) -> float:
        """Return this epoch's learning rate, as the first of our callbacks read it when the epoch ended.

        The scores are so computed with the rate that is recorded, also where a callback between ours changes it.
        """
        if self._epoch is None:
            return read()
        self._epoch.has_ended = True
        if math.isnan(self._epoch.learning_rate):
            self._epoch.learning_rate = read()
        return self._epoch.learning_rate

    def write(self, records: Iterable[Record]) -> None:
        """Append records to the file; slices once the epoch is complete, as one record of all members."""
        if not self.has_begun:
            raise RuntimeError("a record before the first epoch began")
        others = [record for record in records if not self._holds_back(record)]
        # Of one that is not the chief the records are computed all the same, since replicas run in step.
        if self._writer is not None:
            self._writer.write(others)

    def _holds_back(self, record: Record) -> bool:
        if not isinstance(record, Slices):
            return False
        if self.slices is not None and self.slices.epoch == record.epoch:
            record = self.slices.joined(record)
        else:
            self._write_slices()
        self.slices, self._slices_are_written = record, False
        return True

    def _write_slices(self) -> None:
        if self.slices is not None and not self._slices_are_written and self._writer is not None:
            self._writer.write([self.slices])
        self._slices_are_written = True

    def add_figures(self, figures: Mapping[str, float]) -> None:
        """Add figures to this epoch's record."""
        if self._epoch is not None:
            self._epoch.figures |= figures

    def note(self, text: str) -> None:
        """Add a sentence to this epoch's record."""
        if text not in self._notes:
            self._notes.append(text)

    def complete_epoch(self, member: object, name: str, spent: TimeSpent, logs: Mapping[str, Any]) -> None:
        """Note that one callback has finished the epoch, at this cost; the last one's call writes the record."""
        self.add_cost(name, spent)
        if self._epoch is None:
            return
        self._epoch.finished.append(member)
        self._epoch.logs = logs
        with self._failing_for_all():
            self._write_complete_epoch()

    def _write_complete_epoch(self) -> None:
        """Write the epoch's record once all members have finished the epoch, and flush."""
        epoch = self._epoch
        if epoch is None or not self.has_begun or self.failure is not None:
            return
        finished = {id(member) for member in epoch.finished}
        if not all(id(member) in finished for member in self._members):
            return
        end = clock()
        seconds, self._record_start = end - self._record_start, end
        self.ledger.enter(seconds, self._costs, self._once)
        self._note_overhead()
        record = Epoch(
            epoch=epoch.number,
            wall_time=time.time(),
            seconds=seconds,
            cost_seconds=sum(self._costs.values()),
            learning_rate=epoch.learning_rate,
            logs=scalars({**epoch.logs, **epoch.figures}),
            costs=dict(self._costs),
            once_seconds=sum(self._once.values()),
            notes=tuple(self._notes),
            resumed=epoch.number == self._resumed_at,
        )
        self._epoch, self._notes, self._costs, self._once = None, [], {}, {}
        self._write_slices()
        if self._writer is not None:
            self._writer.write([record])
            self._writer.flush()

    # Cost.

    def add_cost(self, name: str, spent: TimeSpent) -> None:
        """Add the seconds that a callback took to this epoch's record."""
        self._costs[name] = self._costs.get(name, 0.0) + spent.seconds
        self._once[name] = self._once.get(name, 0.0) + spent.once

    def close_ledger(self) -> None:
        """Enter the seconds since the last epoch's record into the ledger: the end of the training is in no record."""
        self.ledger.enter(clock() - self._record_start, self._costs, self._once, extends_last=True)
        self._record_start, self._costs, self._once = clock(), {}, {}

    def _note_overhead(self) -> None:
        hints = {getattr(m, "name", ""): getattr(m, "cost_hint", "") for m in self._members}
        notice = self.ledger.notice(hints)
        if notice and self.writes:
            self.note(notice)
            logger.warning("%s", notice)

    # Parts of the watch that ended before the training did.

    def record_stop(self, part: str, reason: str) -> None:
        """Record that a part of the watch ended, see `records.Stop`; written at once if the file can be."""
        if any(stop.part == part for stop in self._stops):
            return
        self._stops.append(Stop(self._last_begun, part, reason))
        with contextlib.suppress(Exception):  # the fault that ended it may be that of the file
            self._write_stops()

    def _write_stops(self) -> None:
        if self._writer is None or not self._stops:
            return
        self._writer.write(self._stops)
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
        writer = Writer(self.directory, start=self._last_begun + 1)
        try:
            writer.write(stops)
        finally:
            writer.close()


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
