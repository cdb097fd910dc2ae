"""Event files, written so that what is flushed can be read whatever happens next.

TensorFlow's own writer is slow where blobs are large and imports TensorFlow; this one frames TensorBoard's protocol
buffers itself (length, masked CRC-32C, data, masked CRC-32C) and checks a megabyte in a tenth of a millisecond.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2

from keras_xai.summary.metadata import Record, encode, masked_crc, step, value


class Writer:
    """One event file in `directory`, from the epoch `start` on.

    The file opens with `SessionLog.START`: readers then drop what earlier files said of `start` and later epochs, so
    that a resumed run replaces the epochs it repeats.

    Raises:
        OSError: the directory or the file cannot be made or written.
    """

    def __init__(self, directory: Path, start: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / _name(directory)
        self._file = open(self.path, "xb")  # noqa: SIM115 - closed by close(), or when the writer is gone
        self._finalizer = weakref.finalize(self, self._file.close)
        self._seen: set[str] = set()
        self._append(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._append(event_pb2.Event(wall_time=time.time(), step=start, session_log=begin))
        self.flush()

    def write(self, records: Iterable[Record], epoch: int | None = None) -> None:
        """Append each record as one event at its own epoch, or at `epoch`."""
        for record in records:
            values = []
            for tag, data, content in encode(record):
                values.append(value(tag, data, content, first=tag not in self._seen))
                self._seen.add(tag)
            at = step(record) if epoch is None else epoch
            self._append(event_pb2.Event(wall_time=time.time(), step=at, summary=summary_pb2.Summary(value=values)))

    def flush(self) -> None:
        """Hand everything to the operating system: from here on it survives the process."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close. Idempotent."""
        self._finalizer()

    def _append(self, event: event_pb2.Event) -> None:
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        self._file.write(length + masked_crc(length) + data + masked_crc(data))


def _name(directory: Path) -> str:
    """A name that sorts after every event file there: readers take files in the order of their names."""
    taken = [int(m.group(1)) for p in directory.iterdir() if (m := re.match(r"events\.out\.tfevents\.(\d+)", p.name))]
    second = max([int(time.time()), *(t + 1 for t in taken)])
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    return f"events.out.tfevents.{second:010d}.{host}.{os.getpid()}"
