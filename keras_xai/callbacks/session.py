"""One fit, one log directory: the run directory, the writer and the `Epoch` record that its callbacks share."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.callbacks.claim import Claim
from keras_xai.callbacks.cost import Ledger, Spent
from keras_xai.callbacks.placed import Placed
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.records import Epoch, Stop, in_words, missing_epochs
from keras_xai.running import is_running
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import FileStore, Log
from keras_xai.summary.writer import Writer

logger = logging.getLogger("keras_xai")

RUN = "keras_xai"
clock = time.perf_counter

# A session lives as long as its callbacks: an aborted fit leaves no file open once they are gone. Each fit has its own, also
# one inside another or in another thread. Known by directory and fit: Keras gives one `params` object to all callbacks of a
# fit, and a session holds it.
_open: weakref.WeakValueDictionary[tuple[Path, int], Session] = weakref.WeakValueDictionary()


def checked_directory(log_dir: str | os.PathLike[str]) -> Path:
    """The log directory as an absolute path, if it can be one.

    Raises:
        InvalidInput: a URL, or a path below which no directory can be made.
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        raise InvalidInput(f"log_dir={log_dir!r}: expected the path of a directory, got {type(log_dir).__name__}.")
    text = os.fspath(log_dir)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text):
        raise InvalidInput(
            f"log_dir={text!r}: remote stores are not supported; give a local path and copy it afterwards."
        )
    path = Path(os.path.realpath(os.path.expanduser(text)))
    there = next(p for p in (path, *path.parents) if p.exists())
    if not there.is_dir():
        raise InvalidInput(f"log_dir={text!r} is not writable: {str(there)!r} is a file; give the path of a directory.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidInput(f"log_dir={text!r} is not writable: no permission to write in {str(there)!r}.")
    return path


def run_directories(log_dir: Path) -> list[Path]:
    """The run directories of `log_dir`, oldest first."""
    found = [
        (int(m.group(1) or 1), p) for p in log_dir.glob(f"{RUN}*") if (m := re.fullmatch(rf"{RUN}(?:-(\d+))?", p.name))
    ]
    return [path for _, path in sorted(found)]


class Session:
    """Shared by all callbacks of one `fit` that were given the same log directory.

    Three files in one run directory would show only the last one's data in TensorBoard's Python loader; so there is
    one writer, opened when the first epoch begins (only then is its number known) and closed when the last leaves. The
    run directory is claimed for as long: a second training gets one of its own.

    What it shares can fail: a full disk ends it for all callbacks at once, with one warning. `lost` is the fault then,
    and `ended_with` names who was there.

    Args:
        log_dir: as the user gave it, made absolute.
        fit: Keras' `params`, one object a fit.
        writes: False in the workers of a distributed training that are not its chief: they write nothing.
    """

    def __init__(self, log_dir: Path, fit: object, *, writes: bool = True) -> None:
        self.log_dir = log_dir
        self.fit = fit
        self.writes = writes
        self.past: Log | None = None
        self.lost: Exception | None = None
        self.ended_with: tuple[str, ...] = ()
        self.ledger = Ledger()
        self.directory: Path | None = None  # of the run, known when the first epoch begins
        self.begun = False
        self._preferred: list[Path] = []  # the runs that its callbacks wrote last
        self._stops: list[Stop] = []  # not yet written
        self._claim: Claim | None = None
        self._members: list[object] = []
        self._constants: dict[str, Any] = {}
        self._shown: Probe | None = None
        self._writer: Writer | None = None
        self._notes: list[str] = []
        self._resumed: int | None = None  # the epoch with which a run is continued
        self._epoch: int | None = None  # the epoch whose record is still to be written
        self._latest = 0  # the last one that began
        self._ending = False  # whether its end has come
        self._began = clock()  # where the seconds of the next record start: nothing of the training is left out
        self._finished: list[object] = []
        self._costs: dict[str, float] = {}
        self._once: dict[str, float] = {}  # of these, what comes once
        self._logs: Mapping[str, Any] = {}
        self._figures: dict[str, float] = {}  # our own, whether Keras' logs get them or not
        self._rate = float("nan")

    @classmethod
    def of(cls, log_dir: Path, fit: object, *, writes: bool = True) -> Session:
        """The session of this fit. Those that aborted fits left open in the same directory are closed."""
        key = log_dir, id(fit)
        for other in list(_open.values()):
            if other.log_dir == log_dir and other.fit is not fit and not is_running(other.fit):
                with contextlib.suppress(OSError):  # the aborted fit's loss, not this one's
                    other.close()
        session = _open.get(key)
        if session is None:
            session = _open[key] = cls(log_dir, fit, writes=writes)
        return session

    def join(
        self, member: object, constants: Mapping[str, Any], shown: Probe | None, wrote: Path | None = None
    ) -> None:
        """Take part.

        Args:
            member: a callback.
            constants: what must not change when a run is continued.
            shown: a probe; of all that are shown the one with most samples is written, once.
            wrote: the directory of the run that this callback wrote last, which a continued training goes on with.
        """
        if not any(m is member for m in self._members):
            self._members.append(member)
        if wrote is not None and wrote not in self._preferred:
            self._preferred.append(wrote)
        self._constants |= constants
        if shown is not None and (self._shown is None or shown.size > self._shown.size):
            self._shown = shown
            self._constants["probe"] = shown.hash
        if not self.writes:
            return
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            trial = self.log_dir / f".{RUN}-{os.getpid()}"
            trial.touch()
            trial.unlink(missing_ok=True)
        except OSError as error:
            raise InvalidInput(f"log_dir={str(self.log_dir)!r} is not writable: {error.strerror}.") from error

    def leave(self, member: object) -> None:
        """A callback has ended or retired: the others' epochs go on without it, and nothing it said is lost."""
        self._members = [m for m in self._members if m is not member]
        try:
            with self._shared():
                if self._finished or (self._notes and self._ending):
                    self._complete()
                if self._writer is not None:
                    self._writer.flush()
        finally:
            if self.over:
                self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._members = []
        key = self.log_dir, id(self.fit)
        if _open.get(key) is self:
            del _open[key]
        with contextlib.suppress(Exception):
            self._write_stops()
        writer, self._writer = self._writer, None
        claim, self._claim = self._claim, None
        try:
            if writer is not None:
                writer.close()
        finally:
            if claim is not None:
                claim.release()

    @property
    def over(self) -> bool:
        """Whether the last callback has left."""
        return not self._members

    def begin(self, epoch: int) -> None:
        """An epoch begins; the first one decides which run is written."""
        if not self.begun:
            with self._shared():
                self._open_file(epoch)
            self.begun = True
        if epoch != self._epoch:
            self._epoch = self._latest = epoch
            self._finished, self._logs, self._rate, self._ending = [], {}, float("nan"), False
            self._figures = {}

    def _open_file(self, epoch: int) -> None:
        if not self.writes:
            return
        directory, self._claim = self._choose(epoch)
        self._writer, self.directory = Writer(directory, start=epoch), directory
        self._latest = epoch
        if self._shown is not None and (self.past is None or self.past.probe is None):
            self._writer.write([self._shown])
            self._writer.flush()
        self._write_stops()

    def _choose(self, epoch: int) -> tuple[Path, Claim]:
        """Continue the newest run, or begin one: never write over epochs that somebody may still want to see, nor into
        a run that is being written."""
        runs = run_directories(self.log_dir)
        newest = runs[-1] if runs else self.log_dir / RUN
        if epoch > 0 and len(self._preferred) == 1 and self._preferred[0] in runs:
            newest = self._preferred[0]
        claim = Claim.of(newest)
        if claim is None:
            return self._fresh(newest, f"{newest.name} is being written by another training: this one is {{}}.")
        past = Log(FileStore(newest))
        if not past.epochs:
            if epoch and any(newest.iterdir()):
                self._note_missing(epoch)
            return newest, claim
        then, why = past.constants, ""
        if epoch == 0:
            why = f"{newest.name} holds {len(past.epochs)} epochs of an earlier training: this one is {{}}."
        elif changed := sorted(
            key for key, value in self._constants.items() if key in then and _differs(past, key, value)
        ):
            why = (
                f"The {' and the '.join(changed)} changed since {newest.name}: training goes on from epoch {epoch} as"
                f" {{}}, and the burn-in starts again."
            )
        if why:
            claim.release()
            return self._fresh(newest, why)
        self.past, self._resumed = past.before(epoch), epoch
        self._note_missing(epoch)
        return newest, claim

    def _note_missing(self, epoch: int) -> None:
        """Say which epochs before `epoch` a continued training does not have: it was saved before they were recorded."""
        known = self.past.epochs if self.past is not None else []
        missing = missing_epochs([*known, epoch]) if known else list(range(epoch))
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            self.note(
                f"{in_words(missing).capitalize()} {verb} not in this record: the training goes on from epoch {epoch}. Nothing"
                f" is lost where a callback that saves the model stands behind those of keras_xai."
            )

    def _fresh(self, newest: Path, why: str) -> tuple[Path, Claim]:
        """A new run directory. Another process may want the same at the same moment: who claims it first has it."""
        number = int(newest.name.removeprefix(RUN).removeprefix("-") or 1)
        while True:
            number += 1
            directory = self.log_dir / f"{RUN}-{number}"
            if (claim := Claim.of(directory)) is not None:
                if not any(directory.iterdir()):
                    self.note(why.format(directory.name))
                    return directory, claim
                claim.release()

    def record(self, figures: Mapping[str, float]) -> None:
        """Figures for this epoch's record."""
        self._figures |= figures

    def note(self, text: str) -> None:
        """A sentence for this epoch's record."""
        if text not in self._notes:
            self._notes.append(text)

    def stop(self, part: str, reason: str) -> None:
        """Record for good that a part of the watch ended before the training did; at once, as far as the file can be
        written."""
        if any(stop.part == part for stop in self._stops):
            return
        self._stops.append(Stop(self._latest, part, reason))
        with contextlib.suppress(Exception):  # the fault that ended it may be that of the file
            self._write_stops()

    def _write_stops(self) -> None:
        if self._writer is None or not self._stops:
            return
        self._writer.write(self._stops)
        self._writer.flush()
        self._stops = []

    def last_words(self) -> None:
        """Say in a file of its own what could not be said before: the disk may have room again.

        Raises:
            OSError: it has not.
        """
        stops, self._stops = self._stops, []
        if not stops or self.directory is None or not self.directory.is_dir():
            return
        writer = Writer(self.directory, start=self._latest + 1)
        try:
            writer.write(stops)
        finally:
            writer.close()

    def write(self, records: Iterable[Record]) -> None:
        """Append records to the file."""
        if not self.begun:
            raise RuntimeError("a record before the first epoch began")
        if self._writer is not None:
            self._writer.write(records)
        else:
            deque(records, maxlen=0)  # not the chief: the work is done all the same, replicas compute in step

    def learning_rate(self, read: Callable[[], float]) -> float:
        """This epoch's learning rate, as the first of our callbacks saw it: what is scored is what is recorded, also
        where another callback between ours changes the rate. Asked for when the epoch ends."""
        self._ending = True
        if math.isnan(self._rate):
            self._rate = read()
        return self._rate

    def finish(self, member: object, name: str, spent: Spent, logs: Mapping[str, Any]) -> None:
        """One callback has finished the epoch, at this cost; the last one's call writes the record."""
        self._finished.append(member)
        self.charge(name, spent)
        self._logs = logs
        with self._shared():
            self._complete()

    def charge(self, name: str, spent: Spent) -> None:
        """Seconds that a callback took, not yet told."""
        self._costs[name] = self._costs.get(name, 0.0) + spent.seconds
        self._once[name] = self._once.get(name, 0.0) + spent.once

    def settle(self) -> None:
        """Enter what the end of the training took, which no epoch's record tells."""
        self.ledger.enter(clock() - self._began, self._costs, self._once, more=True)
        self._began, self._costs, self._once = clock(), {}, {}

    @contextlib.contextmanager
    def _shared(self) -> Iterator[None]:
        """A fault in what all callbacks share ends the session for all of them."""
        try:
            yield
        except Exception as fault:
            if self.lost is None:
                self.lost = fault
                self.ended_with = tuple(type(m).__name__ for m in self._members)
            raise

    def _complete(self) -> None:
        """Write the epoch's record once nobody who is still here has something to add, and flush."""
        waiting = [m for m in self._members if not any(m is f for f in self._finished)]
        if waiting or self._epoch is None or not self.begun or self.lost is not None:
            return
        now = clock()
        seconds, self._began = now - self._began, now
        self.ledger.enter(seconds, self._costs, self._once)
        cheaper = {getattr(m, "name", ""): getattr(m, "cheaper", "") for m in self._members}
        if notice := self.ledger.notice(cheaper):
            self.note(notice)
            logger.warning("%s", notice)
        record = Epoch(
            epoch=self._epoch,
            wall_time=time.time(),
            seconds=seconds,
            cost_seconds=sum(self._costs.values()),
            learning_rate=self._rate,
            logs=scalars({**self._logs, **self._figures}),
            costs=dict(self._costs),
            once_seconds=sum(self._once.values()),
            notes=tuple(self._notes),
            resumed=self._epoch == self._resumed,
        )
        self._epoch, self._notes, self._finished, self._costs, self._once = None, [], [], {}, {}
        if self._writer is not None:
            self._writer.write([record])
            self._writer.flush()


def _differs(past: Log, key: str, value: Any) -> bool:
    """Whether a constant is another one than in the run that would be continued."""
    then = past.constants[key]
    if not isinstance(value, Placed):
        return bool(then != value)
    return not value.continues(then, past.variable_sizes if key == "variables" else ())


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """The entries of Keras' `logs` that are single numbers."""
    found = {}
    for key, value in logs.items():
        try:
            array = np.asarray(value)
        except Exception:  # whatever others put there, it is not a number
            continue
        if array.size == 1 and (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            found[str(key)] = float(array.reshape(()))
    return found
