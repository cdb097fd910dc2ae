"""The events of one file: whole frames, read in pieces, none longer than a record may be.

TensorBoard's own readers import TensorFlow, or check sums in pure Python: seconds for what takes milliseconds.
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

LONGEST = 1 << 29  # bytes of one event: neither written nor read beyond
_PIECE = 1 << 24
_HEAD = struct.Struct("<QI")  # length, its check sum
_FOOT = 4  # bytes of the data's check sum


def masked_crc(data: bytes) -> bytes:
    """Return the check sum of a record: CRC-32C, rotated and offset, since the CRC of a CRC would be weak."""
    return masked(int(google_crc32c.value(data)))


def masked(crc: int) -> bytes:
    """Return a CRC-32C as it stands in a file."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    """The data of one event as it stands in a file.

    Raises:
        ValueError: longer than what is read back.
    """
    if len(data) > LONGEST:
        raise ValueError(f"a record of {len(data) >> 20} MiB: one of {LONGEST >> 20} MiB at most can be read back")
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def events(path: Path, damage: list[str]) -> Iterator[event_pb2.Event]:
    """The events of one file up to a frame that is not whole. A damaged one is passed over, and said in `damage`; where
    even its length is damaged, or nothing but zeros, nothing behind it can be found."""
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
        left -= _HEAD.size + length + _FOOT
        if left < 0:  # still being written, or cut
            break
        if length > LONGEST:
            damage.append(f"a record of {length >> 20:,} MiB in {name} is longer than any of ours and passed over")
            file.seek(length + _FOOT, os.SEEK_CUR)
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
    """The data of the frame that begins here, None where its check sum is another one. A long one is kept only when that is
    known: a file of holes is not taken into memory."""
    if length > _PIECE:
        crc, begin = 0, file.tell()
        for k in range(0, length, _PIECE):
            crc = google_crc32c.extend(crc, file.read(min(_PIECE, length - k)))
        if file.read(_FOOT) != masked(crc):
            return None
        file.seek(begin)
    data = file.read(length)
    return data if file.read(_FOOT) == masked_crc(data) else None
