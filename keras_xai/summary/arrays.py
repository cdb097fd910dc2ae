"""Arrays as blobs, called *maps*, and back; images in 8 bits. Reading one never takes much more memory than its bytes justify.

A map is `KXA1`, dtype (0 float32, 1 uint8 between lo and hi, 2 int32, 3 float16), rank, two bytes unused, lo and hi as
float32, the dimensions as uint32, then the values, compressed by zlib; everything little-endian.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.summary.checks import MAX_RANK, Unreadable, sides

_HEADER = struct.Struct("<4sBBxxff")
_DTYPES = (np.dtype("<f4"), np.dtype("u1"), np.dtype("<i4"), np.dtype("<f2"))


def pack(array: NDArray[Any], *, eight_bits: bool = False) -> bytes:
    """Return one array as a blob.

    Args:
        array: of any shape; written as int32, float16 or float32, whichever holds its dtype.
        eight_bits: round the values to 255 steps between their minimum and maximum.
    """
    array = np.asarray(array)
    low, high = 0.0, 0.0
    if np.issubdtype(array.dtype, np.integer) and not eight_bits:
        code, values = 2, array.astype(_DTYPES[2])
    elif eight_bits:
        finite = array[np.isfinite(array)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        finite_array = np.nan_to_num(array, nan=low, posinf=high, neginf=low).astype(np.float64)
        scaled = (finite_array - low) / ((high - low) or 1.0)
        code, values = 1, np.round(255 * scaled).astype(np.uint8)
    elif array.dtype == np.float16:
        code, values = 3, array.astype(_DTYPES[3])
    else:
        code, values = 0, array.astype(_DTYPES[0])
    shape = struct.pack(f"<{values.ndim}I", *values.shape)
    # Float16 hardly shrinks, and compressing it would take longer than the rest of a record.
    level = 0 if code == 3 else 1
    return _HEADER.pack(b"KXA1", code, values.ndim, low, high) + shape + zlib.compress(values.tobytes(), level)


# Bytes of a record's maps above which they are inflated by threads (zlib releases the GIL); below, threads cost more time.
PARALLEL_ABOVE = 1 << 18
_INFLATERS = ThreadPoolExecutor(4, "keras_xai unpack")  # its threads start at the first use
# The arrays of one record may take 256 MiB, or 16 bytes for each byte of the record, whichever is more.
MAX_BYTES, MAX_EXPANSION = 1 << 28, 16
_MAX_SCALE = 1e37  # for lo and hi, so that their difference is a finite float32


@dataclass(frozen=True)
class _Head:
    """The header of a blob, from which the size of its array is known before anything is inflated."""

    code: int
    shape: tuple[int, ...]
    low: float
    high: float
    begin: int  # of the values, in the blob

    @classmethod
    def of(cls, blob: bytes) -> _Head:
        try:
            magic, code, rank, low, high = _HEADER.unpack_from(blob)
            if magic != b"KXA1" or code >= len(_DTYPES) or rank > MAX_RANK:
                raise Unreadable(f"expected an array of ours, got the bytes {bytes(blob[:8])!r}")
            shape = struct.unpack_from(f"<{rank}I", blob, _HEADER.size)
        except struct.error as error:
            raise Unreadable(f"expected an array of ours: {error}") from error
        if code == 1 and not -_MAX_SCALE < low <= high < _MAX_SCALE:
            raise Unreadable(f"expected the ends of a scale, got {low:g} and {high:g}")
        return cls(code, sides(shape), low, high, _HEADER.size + 4 * rank)

    @property
    def stored(self) -> int:
        """The bytes of the inflated values."""
        return math.prod(self.shape) * _DTYPES[self.code].itemsize

    @property
    def array_bytes(self) -> int:
        """The bytes of the array; 8-bit values become float32."""
        return self.stored * (4 if self.code == 1 else 1)


def unpack(blob: bytes) -> NDArray[Any]:
    """Return the array of a blob: float32, int32 or float16.

    Raises:
        Unreadable: not a map, a damaged one, or an array that is too large for so few bytes.
    """
    return unpacked([blob])[0]


def unpacked(blobs: Sequence[bytes]) -> list[NDArray[Any]]:
    """Return the arrays of the blobs of one record; nothing is inflated where they would take too much memory together.

    Raises:
        Unreadable: as for `unpack`.
    """
    heads, size = [_Head.of(blob) for blob in blobs], sum(map(len, blobs))
    array_bytes = sum(head.array_bytes for head in heads)
    if array_bytes > max(MAX_BYTES, MAX_EXPANSION * size):
        raise Unreadable(f"{size:,} bytes ask for {array_bytes:,}: a record is made into {MAX_BYTES >> 20} MiB at most")
    inflate = map if size <= PARALLEL_ABOVE else _INFLATERS.map
    return list(inflate(_inflated, blobs, heads))


def _inflated(blob: bytes, head: _Head) -> NDArray[Any]:
    try:
        content = zlib.decompressobj().decompress(memoryview(blob)[head.begin :], head.stored + 1)
    except zlib.error as error:
        raise Unreadable(str(error)) from error
    if len(content) != head.stored:
        raise Unreadable(f"expected {head.stored} bytes for shape {head.shape}, got {len(content)}")
    values = np.frombuffer(content, _DTYPES[head.code]).reshape(head.shape)
    if head.code == 1:
        floats = values.astype(np.float32)
        floats *= np.float32((head.high - head.low) / 255)
        floats += np.float32(head.low)
        return floats
    return values
