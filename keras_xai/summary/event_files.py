"""The frames of an event file: events are written in them, and those that are whole are read.

TensorBoard's own readers import TensorFlow, or compute check sums in pure Python, which takes seconds instead of milliseconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

MAX_EVENT_BYTES = 1 << 29  # longer events are neither written nor read
_PIECE_BYTES = 1 << 24  # read at once while a check sum is computed
_HEAD = struct.Struct("<QI")  # length of the data, its check sum
_FOOT_BYTES = 4  # the data's check sum


def masked_crc(data: bytes) -> bytes:
    """Return the check sum of a frame as it is written: CRC-32C, rotated and offset, since the CRC of a CRC would be weak."""
    return masked(int(google_crc32c.value(data)))


def masked(crc: int) -> bytes:
    """Return a CRC-32C as it is written: rotated, offset, little-endian."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    """Return the data of one event in a frame, as it is written.

    Raises:
        ValueError: more bytes than are read back.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise ValueError(
            f"a record of {len(data) >> 20} MiB: one of {MAX_EVENT_BYTES >> 20} MiB at most can be read back"
        )
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def events(path: Path, damage: list[str]) -> Iterator[event_pb2.Event]:
    """Yield the events of one file, up to its end or to a frame that is still being written.

    A damaged event is passed over. Where the length of a frame is damaged, the next one cannot be found, and reading ends.

    Args:
        path: of the file.
        damage: to which a sentence is added for whatever is passed over.
    """
    try:
        with open(path, "rb") as file:
            yield from _events(file, path.name, damage)
    except OSError as error:
        damage.append(f"{path.name} cannot be read: {error.strerror}")


def _events(file: BinaryIO, name: str, damage: list[str]) -> Iterator[event_pb2.Event]:
    damaged, size = 0, os.fstat(file.fileno()).st_size
    left = size
    while left >= _HEAD.size:
        length, check = _HEAD.unpack(file.read(_HEAD.size))
        if struct.pack("<I", check) != masked_crc(struct.pack("<Q", length)):
            damage.append(f"{name} is damaged at byte {size - left}, what follows is passed over")
            break
        left -= _HEAD.size + length + _FOOT_BYTES
        if left < 0:  # still being written, or cut
            break
        if length > MAX_EVENT_BYTES:
            damage.append(f"a record of {length >> 20:,} MiB in {name} is longer than any of ours and passed over")
            file.seek(length + _FOOT_BYTES, os.SEEK_CUR)
            continue
        data = _checked(file, length)
        if data is None:
            damaged += 1
            continue
        try:
            yield event_pb2.Event.FromString(data)
        except DecodeError:  # a whole frame, but not an event: foreign, so passed over
            damaged += 1
    if damaged:
        damage.append(f"{damaged} damaged record{'s' * (damaged > 1)} of {name} passed over")


def _checked(file: BinaryIO, length: int) -> bytes | None:
    """Return the data of the frame at the file's position, None where its check sum does not fit.

    Of long data the check sum is computed first, piece by piece: a sparse file could claim more than fits into memory.
    """
    if length > _PIECE_BYTES:
        crc, begin = 0, file.tell()
        for k in range(0, length, _PIECE_BYTES):
            crc = google_crc32c.extend(crc, file.read(min(_PIECE_BYTES, length - k)))
        if file.read(_FOOT_BYTES) != masked(crc):
            return None
        file.seek(begin)
    data = file.read(length)
    return data if file.read(_FOOT_BYTES) == masked_crc(data) else None
