"""Formats of the answers to the browser: strict JSON, or a JSON header followed by raw arrays. `static/core/api.js` reads it."""

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
ALIGNMENT = 4  # bytes: a browser looks at the arrays where they lie


def plain(value: Any) -> Any:
    """Return anything of ours as what JSON knows; a number that is not finite is null."""
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
    """An array in 255 steps from `low` to `high`, which are one a row of its first axis: a quarter of the bytes."""

    values: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def quantized(values: NDArray[Any]) -> Quantized:
    """Return maps as steps. Exact for what was written so: the ends of the scale are among the values."""
    flat = np.asarray(values, np.float32).reshape(len(values), -1)
    low = high = np.zeros(len(flat), np.float32)
    if flat.size:
        low, high = flat.min(1), flat.max(1)
    scale = LEVELS / np.where(high > low, high - low, 1)
    steps = flat - low[:, None]  # in place from here on: an epoch of large maps is millions of values
    steps *= scale[:, None]
    np.rint(steps, out=steps)
    return Quantized(steps.astype(np.uint8).reshape(np.shape(values)), low, high)


def means(maps: Quantized, step: int) -> Quantized:
    """Return (B, ⌈h/step⌉, ⌈w/step⌉) means of step × step values each, of fewer at the right and lower edge."""
    sums, sides = maps.values, maps.values.shape
    for axis in (1, 2):  # rows first: whole rows are added in one go
        before = (slice(None),) * axis
        parts = [sums[(*before, slice(k, None, step))] for k in range(min(step, sides[axis]))]
        sums = parts[0].astype(np.uint32)
        for part in parts[1:]:
            sums[(*before, slice(part.shape[axis]))] += part
    height, width = (np.minimum(step, side - np.arange(0, side, step)) for side in sides[1:])
    unit = ((maps.high - maps.low) / LEVELS)[:, None, None]
    return quantized(maps.low[:, None, None] + unit * sums / np.outer(height, width))


def framed(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any] | Quantized]) -> bytes:
    """Return `uint32 length | JSON header | arrays`, each array at a multiple of four bytes from the header's end.

    The header lists them under `arrays`: name, dtype ("float32", "int32" or "uint8"), shape, offset; and for `Quantized`,
    whose bytes stand for floats, the ends of their scales: low, high.
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
    """Return how an array travels: little-endian."""
    if values.dtype == np.uint8:
        return np.dtype("u1")
    return np.dtype("<i4" if np.issubdtype(values.dtype, np.integer) else "<f4")
