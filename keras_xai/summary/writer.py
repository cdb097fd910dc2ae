"""Event files, written so that what is flushed can be read whatever happens next.

TensorFlow's own writer is slow where blobs are large and imports TensorFlow; this one frames TensorBoard's protocol
buffers itself (length, masked CRC-32C, data, masked CRC-32C) and checks a megabyte in a tenth of a millisecond.
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
from collections.abc import Iterable
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2

from keras_xai.summary.event_files import framed
from keras_xai.summary.metadata import Record, continuing, encode, part_of, step, value


class Writer:
    """One event file in `directory`, from the epoch `start` on.

    The file opens with `SessionLog.START`: readers then drop what earlier files said of `start` and later epochs, so
    that a resumed run replaces the epochs it repeats.

    What is written waits in memory and goes to the file as a whole with `flush`: nothing lies in a buffer that a forked
    process would write a second time. Where a flush fails, the file is cut back to what was whole. So is it where somebody
    else removed the file or cut it short: what came behind a hole could not be read.

    Raises:
        OSError: the directory or the file cannot be made or written.
    """

    def __init__(self, directory: Path, start: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / _name(directory)
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by close(), or when the writer is gone
        self._finalizer = weakref.finalize(self, self._file.close)
        self._size = 0  # bytes that are whole
        self._waiting: list[bytes] = []
        self._seen: set[str] = set()
        self._append([event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")])
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._append([event_pb2.Event(wall_time=time.time(), step=start, session_log=begin)])
        self.flush()

    def write(self, records: Iterable[Record]) -> None:
        """Append each record as one event at its own epoch. All of them, or none where one fails."""
        if self._file.closed:
            raise ValueError(f"{self.path} is closed")
        events, fresh = [], set[str]()
        for record in records:
            encoded, values = list(encode(record)), []
            at = step(record)
            for series, data, content in encoded:
                known, tag = self._seen | fresh, part_of(series, data, at, content)
                about = continuing(data) if series in known else data
                values.append(value(tag, about, content, first=tag not in known))
                fresh |= {series, tag}
            events.append(event_pb2.Event(wall_time=time.time(), step=at, summary=summary_pb2.Summary(value=values)))
        self._append(events)
        self._seen |= fresh  # not before: a tag's constants stand in its first event

    def flush(self) -> None:
        """Hand everything to the operating system: from here on it survives the process.

        Raises:
            OSError: the disk is full, the file was removed or cut. It then ends with what was whole, and takes no more.
        """
        if self._file.closed:
            return
        data = memoryview(b"".join(self._waiting))
        self._waiting = []
        try:
            now = os.fstat(self._file.fileno())
            if not now.st_nlink:  # a write would succeed, and be lost
                raise FileNotFoundError(errno.ENOENT, "The event file was removed", str(self.path))
            if stat.S_ISREG(now.st_mode) and now.st_size < self._size:  # a write would succeed, behind a hole
                raise OSError(errno.EIO, "The event file was cut short by somebody else", str(self.path))
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError as fault:
            self._give_up()
            raise type(fault)(fault.errno, fault.strerror, str(self.path)) from fault
        self._size += len(data)

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
        """Close the file; one that never held anything is taken away, since an empty file means that something was lost."""
        self._finalizer()
        if not self._size:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _append(self, events: Iterable[event_pb2.Event]) -> None:
        self._waiting += [framed(event.SerializeToString()) for event in events]

    def _give_up(self) -> None:
        """Half a frame at the end would hide whatever came after it; so nothing does."""
        try:
            whole = min(self._size, os.fstat(self._file.fileno()).st_size)
            os.ftruncate(self._file.fileno(), whole)
        except OSError:
            pass  # the disk has gone altogether; the fault that brought us here is raised by `flush`
        finally:
            self._end()


def _name(directory: Path) -> str:
    """A name that sorts after every event file there: readers take files in the order of their names."""
    taken = [int(m.group(1)) for p in directory.iterdir() if (m := re.match(r"events\.out\.tfevents\.(\d+)", p.name))]
    second = max([int(time.time()), *(t + 1 for t in taken)])
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    return f"events.out.tfevents.{second:010d}.{host}.{os.getpid()}"
