"""One fit, one log directory: the run directory, the writer and the `Epoch` record that its callbacks share."""

from __future__ import annotations

import math
import os
import re
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.records import Epoch
from keras_xai.summary.metadata import Record
from keras_xai.summary.reader import FileStore, Log
from keras_xai.summary.writer import Writer

RUN = "keras_xai"

# A session lives as long as its callbacks: an aborted fit leaves no file open once they are gone.
_open: weakref.WeakValueDictionary[Path, Session] = weakref.WeakValueDictionary()


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
    one writer, opened when the first epoch begins (only then is its number known) and closed when the last leaves.
    """

    def __init__(self, log_dir: Path, fit: object) -> None:
        self.log_dir = log_dir
        self.fit = fit
        self.past: Log | None = None
        self._members: list[object] = []
        self._constants: dict[str, Any] = {}
        self._shown: Probe | None = None
        self._writer: Writer | None = None
        self._notes: list[str] = []
        self._epoch: int | None = None  # the epoch whose record is still to be written
        self._began = 0.0
        self._finished: list[object] = []
        self._costs: dict[str, float] = {}
        self._logs: Mapping[str, Any] = {}
        self._rate = float("nan")

    @classmethod
    def of(cls, log_dir: Path, fit: object) -> Session:
        """The session of this fit. Keras gives one `params` object to all callbacks of a fit: that is its identity.
        A session left open by an aborted fit is closed here."""
        session = _open.get(log_dir)
        if session is None or session.fit is not fit:
            if session is not None:
                session.close()
            session = _open[log_dir] = cls(log_dir, fit)
        return session

    def join(self, member: object, constants: Mapping[str, Any], shown: Probe | None) -> None:
        """Take part. `constants` must not change when a run is continued; of the probes that are `shown` the one with
        most samples is written, once."""
        if not any(m is member for m in self._members):
            self._members.append(member)
        self._constants |= constants
        if shown is not None and (self._shown is None or shown.size > self._shown.size):
            self._shown = shown
            self._constants["probe"] = shown.hash
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            trial = self.log_dir / f".{RUN}-{os.getpid()}"
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise InvalidInput(f"log_dir={str(self.log_dir)!r} is not writable: {error.strerror}.") from error

    def leave(self, member: object) -> None:
        """A callback has ended or retired: the others' epochs go on without it, and nothing it said is lost."""
        self._members = [m for m in self._members if m is not member]
        if self._finished or self._notes:
            self._complete()
        if not self._members:
            self.close()
        elif self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._members = []
        if _open.get(self.log_dir) is self:
            del _open[self.log_dir]
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def begin(self, epoch: int) -> None:
        """An epoch begins; the first one decides which run is written."""
        if self._writer is None:
            self._writer = Writer(self._choose(epoch), start=epoch)
            if self._shown is not None and (self.past is None or self.past.probe is None):
                self._writer.write([self._shown])
                self._writer.flush()
        if epoch != self._epoch:
            self._epoch, self._began = epoch, time.perf_counter()
            self._finished, self._costs, self._logs, self._rate = [], {}, {}, float("nan")

    def _choose(self, epoch: int) -> Path:
        """Continue the newest run, or begin one: never write over epochs that somebody may still want to see."""
        runs = run_directories(self.log_dir)
        if not runs:
            return self.log_dir / RUN
        newest = runs[-1]
        fresh = self.log_dir / f"{RUN}-{int(newest.name.removeprefix(RUN).removeprefix('-') or 1) + 1}"
        past = Log(FileStore(newest))
        if not past.epochs:
            return newest
        if epoch == 0:
            self.note(
                f"{newest.name} holds {len(past.epochs)} epochs of an earlier training: this one is {fresh.name}."
            )
            return fresh
        then = past.constants
        if changed := sorted(key for key, value in self._constants.items() if key in then and then[key] != value):
            self.note(
                f"The {' and the '.join(changed)} changed since {newest.name}: training goes on from epoch {epoch} as"
                f" {fresh.name}, and the burn-in starts again."
            )
            return fresh
        self.past = past.before(epoch)
        return newest

    def note(self, text: str) -> None:
        """A sentence for this epoch's record."""
        if text not in self._notes:
            self._notes.append(text)

    def write(self, records: Iterable[Record]) -> None:
        """Append records to the file."""
        if self._writer is None:
            raise RuntimeError("a record before the first epoch began")
        self._writer.write(records)

    def learning_rate(self, read: Callable[[], float]) -> float:
        """This epoch's learning rate, as the first of our callbacks saw it: what is scored is what is recorded, also
        where another callback between ours changes the rate."""
        if math.isnan(self._rate):
            self._rate = read()
        return self._rate

    def finish(self, member: object, name: str, seconds: float, logs: Mapping[str, Any]) -> None:
        """One callback has finished the epoch, at a cost of `seconds`; the last one's call writes the record."""
        self._finished.append(member)
        self._costs[name] = self._costs.get(name, 0.0) + seconds
        self._logs = logs
        self._complete()

    def _complete(self) -> None:
        """Write the epoch's record once nobody who is still here has something to add, and flush."""
        waiting = [m for m in self._members if not any(m is f for f in self._finished)]
        if waiting or self._epoch is None or self._writer is None:
            return
        record = Epoch(
            epoch=self._epoch,
            wall_time=time.time(),
            seconds=time.perf_counter() - self._began,
            cost_seconds=sum(self._costs.values()),
            learning_rate=self._rate,
            logs=scalars(self._logs),
            costs=dict(self._costs),
            notes=tuple(self._notes),
        )
        self._epoch, self._notes, self._finished = None, [], []
        self._writer.write([record])
        self._writer.flush()


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """The entries of Keras' `logs` that are single numbers."""
    found = {}
    for key, value in logs.items():
        array = np.asarray(value)
        if array.size == 1 and (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            found[str(key)] = float(array.reshape(()))
    return found
