"""Event files, written so that what is flushed can be read whatever happens next.

TensorFlow's own writer is slow for large blobs, and imports TensorFlow. This one frames TensorBoard's protocol buffers itself
(length, masked CRC-32C, data, masked CRC-32C), and computes the check sum of a megabyte in a tenth of a millisecond.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2

from keras_xai.provenance import Provenance
from keras_xai.summary.event_files import framed
from keras_xai.summary.metadata import Record, encode, step
from keras_xai.summary.parts import part_of
from keras_xai.summary.tag_constants import continuing
from keras_xai.summary.tensors import value


class Writer:
    """One event file in `directory`, from the update `start` on.

    The file begins with `SessionLog.START`: readers then drop the records of earlier files from step `start` on, so that a
    resumed run replaces the updates that it repeats.

    Records wait in memory until `flush` writes them at once: there is no file buffer, which a forked process would write a
    second time. Where a flush fails, also because another process removed the file or cut it short, the file is truncated to
    its last whole event and closed: events behind half a frame could not be read.

    Args:
        directory: of the run; made if it is missing.
        start: the first event step: the number of an update, see `keras_xai.updates`.
        past_updates: in a run that counts in steps, how many updates stand in earlier files below `start`; None in a run that
            counts in epochs.
        roll_bytes: from which size on the run goes on in a new file; None for one file.
        on_flush: called after each flush with the file, and the bytes of it that are whole.

    Attributes:
        path: of the file that is being written.

    Raises:
        OSError: the directory or the file cannot be made or written.
    """

    def __init__(
        self,
        directory: Path,
        start: int = 0,
        past_updates: int | None = None,
        *,
        roll_bytes: int | None = None,
        on_flush: Callable[[Path, int], None] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._unflushed: list[bytes] = []
        self._roll_bytes, self._on_flush = roll_bytes, on_flush
        self._open(directory)
        self._tags: set[str] = set()  # whose constants are written
        self._past_updates = past_updates
        self._steps: set[int] = set()  # of the updates in this file, where they are counted
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._append([event_pb2.Event(wall_time=time.time(), step=start, session_log=begin)])
        self.flush()

    def _open(self, directory: Path) -> None:
        """Open a file that begins with the version of its format."""
        self.path = directory / _name(directory)
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by close(), or when the writer is gone
        self._finalizer = weakref.finalize(self, self._file.close)
        self._size = 0  # bytes that are whole
        version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
        self._unflushed.insert(0, framed(version.SerializeToString()))

    def write(self, records: Iterable[Record]) -> None:
        """Append each record as one event at its update; where one cannot be encoded, none of them."""
        if self._file.closed:
            raise ValueError(f"{self.path} is closed")
        events, tags = [], set(self._tags)
        for record in records:
            encoded, values = list(encode(record)), []
            event_step = step(record)
            ordinal = 0 if isinstance(record, Provenance) else self._ordinal(event_step)  # it is no update
            for series, data, content in encoded:
                tag = part_of(series, data, ordinal, content)
                constants = continuing(data) if series in tags else data
                values.append(value(tag, constants, content, first=tag not in tags))
                tags |= {series, tag}
            summary = summary_pb2.Summary(value=values)
            events.append(event_pb2.Event(wall_time=time.time(), step=event_step, summary=summary))
        self._append(events)
        self._tags = tags  # not before: a tag's constants stand in its first event

    def _ordinal(self, event_step: int) -> int:
        """Return how many updates of the run come before the one at a step."""
        if self._past_updates is None or not event_step:  # before the first step there is no update
            return event_step
        self._steps.add(event_step)
        return self._past_updates + len(self._steps) - 1

    def flush(self) -> None:
        """Hand all records to the operating system, with which they survive the process.

        Raises:
            OSError: the disk is full, or the file was removed or cut; it is truncated to its last whole event and closed.
        """
        if self._file.closed:
            return
        if self._roll_bytes is not None and self._size >= self._roll_bytes and self._unflushed:
            self._finalizer()
            self._open(self.path.parent)
        data = memoryview(b"".join(self._unflushed))
        self._unflushed = []
        try:
            status = os.fstat(self._file.fileno())
            if not status.st_nlink:  # a write would succeed, and be lost
                raise FileNotFoundError(errno.ENOENT, "The event file was removed", str(self.path))
            if stat.S_ISREG(status.st_mode) and status.st_size < self._size:  # a write would succeed, behind a hole
                raise OSError(errno.EIO, "The event file was cut short by somebody else", str(self.path))
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError as fault:
            self._give_up()
            raise type(fault)(fault.errno, fault.strerror, str(self.path)) from fault
        self._size += len(data)
        if self._on_flush is not None:
            self._on_flush(self.path, self._size)

    def close(self) -> None:
        """Flush and close. Idempotent.

        Raises:
            OSError: as `flush` does; the file is closed all the same.
        """
        try:
            self.flush()
        finally:
            self._end()

    def _end(self) -> None:
        """Close the file, and delete one that is empty: an empty file would mean that records were lost."""
        self._finalizer()
        if not self._size:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _append(self, events: Iterable[event_pb2.Event]) -> None:
        self._unflushed += [framed(event.SerializeToString()) for event in events]

    def _give_up(self) -> None:
        """Truncate the file to its last whole event, and close it."""
        try:
            whole = min(self._size, os.fstat(self._file.fileno()).st_size)
            os.ftruncate(self._file.fileno(), whole)
        except OSError:
            pass  # the disk is gone; `flush` raises the first fault
        finally:
            self._end()


def _name(directory: Path) -> str:
    """Return a file name that sorts after every event file of the directory: readers read files in the order of names."""
    second = int(time.time())
    for path in directory.iterdir():
        match = re.match(r"events\.out\.tfevents\.(\d+)", path.name)
        if match:
            second = max(second, int(match.group(1)) + 1)
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    return f"events.out.tfevents.{second:010d}.{host}.{os.getpid()}"
