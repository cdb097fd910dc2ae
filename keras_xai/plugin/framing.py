"""The formats of answers to the browser: strict JSON, or a JSON header and raw arrays, which `static/core/api.js` reads."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 255  # steps between the ends of a scale
ALIGNMENT = 4  # bytes; the browser's typed arrays are views of the answer, and must begin at a multiple of these


def plain(value: Any) -> Any:
    """Return dataclasses, mappings, sequences, arrays and numbers as JSON values; a number that is not finite is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def dumps(value: Any) -> str:
    """Return strict JSON."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Quantized:
    """Maps in 8 bits, which are a quarter of the bytes: 255 steps from `low` to `high` of each map."""

    values: NDArray[np.uint8]  # (B, ...)
    low: NDArray[np.float32]  # (B)
    high: NDArray[np.float32]  # (B)


def quantized(values: NDArray[Any]) -> Quantized:
    """Return maps (B, ...) in 8 bits; exact for maps that were read from 8 bits, since their ends are among the values."""
    flat = np.asarray(values, np.float32).reshape(len(values), -1)
    low = high = np.zeros(len(flat), np.float32)
    if flat.size:
        low, high = flat.min(1), flat.max(1)
    scale = LEVELS / np.where(high > low, high - low, 1)
    # Changed in place below, to save memory: the maps of an epoch may be millions of values.
    steps = flat - low[:, None]
    steps *= scale[:, None]
    np.rint(steps, out=steps)
    return Quantized(steps.astype(np.uint8).reshape(np.shape(values)), low, high)


def means(maps: Quantized, step: int) -> Quantized:
    """Return means over cells of step × step values, and of fewer at the right and lower edge.

    Args:
        maps: (B, h, w).
        step: side of a cell.

    Returns:
        (B, ⌈h/step⌉, ⌈w/step⌉), each map with a scale of its own.
    """
    sums, sides = maps.values, maps.values.shape
    for axis in (1, 2):  # rows first, since whole rows are contiguous in memory
        leading_axes = (slice(None),) * axis
        every_step = [sums[(*leading_axes, slice(k, None, step))] for k in range(min(step, sides[axis]))]
        sums = every_step[0].astype(np.uint32)
        for values in every_step[1:]:
            sums[(*leading_axes, slice(values.shape[axis]))] += values
    height, width = (np.minimum(step, side - np.arange(0, side, step)) for side in sides[1:])
    unit = ((maps.high - maps.low) / LEVELS)[:, None, None]
    return quantized(maps.low[:, None, None] + unit * sums / np.outer(height, width))


def framed(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any] | Quantized]) -> bytes:
    """Return `uint32 length of the header | JSON header | arrays`, each array at a multiple of four bytes from the header's end.

    The header lists them under `arrays`: name, dtype ("float32", "int32" or "uint8"), shape, offset; and for `Quantized` the
    ends of the scales, low and high (B).
    """
    parts, entries, offset = [], [], 0
    for name, array in arrays.items():
        values = array.values if isinstance(array, Quantized) else array
        dtype = _dtype(values)
        entry = {"name": name, "dtype": dtype.name, "shape": list(values.shape), "offset": offset}
        if isinstance(array, Quantized):
            entry |= {"low": array.low, "high": array.high}
        entries.append(entry)
        content = np.ascontiguousarray(values, dtype).tobytes()
        padding = bytes(-len(content) % ALIGNMENT)
        parts.append(content + padding)
        offset += len(content) + len(padding)
    head = dumps({**header, "arrays": entries}).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    return struct.pack("<I", len(head)) + head + b"".join(parts)


def _dtype(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the little-endian dtype in which an array is sent."""
    if values.dtype == np.uint8:
        return np.dtype("u1")
    return np.dtype("<i4" if np.issubdtype(values.dtype, np.integer) else "<f4")
