"""`TrainingRows` on the wire: a JSON string, then the arrays that it names.

Probabilities are float16: about 30 bytes a row in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.digests import joined
from keras_xai.row_records import ROW_TASKS, TrainingRows
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/training_rows"
SHARES = ("probability", "variability", "early_probability", "last_probability", "correctness")  # 0 to 1, as float16
LOSSES = ("loss", "last_loss")  # and the label, as float32
COUNTS = {"visits": 0, "forgetting": -1, "read_as": -1}  # and the lowest number of each
MAX_NUMBER = 1 << 31


def encode(record: TrainingRows) -> Iterator[Value]:
    """Encode the table."""
    body = {
        "task": record.task,
        "has_numbers": record.has_numbers,
        "unmatched": record.unmatched,
        "missing": record.missing,
    }
    arrays: dict[str, NDArray[Any]] = {"digest": _halves(record.digest), "label": np.asarray(record.label, np.float32)}
    arrays |= {name: np.asarray(getattr(record, name), np.float16) for name in SHARES}
    arrays |= {name: np.asarray(getattr(record, name), np.float32) for name in LOSSES}
    arrays |= {name: np.asarray(getattr(record, name), np.int32) for name in COUNTS}
    yield (
        TAG,
        plugin_data(PluginData.TRAINING_ROWS),
        [json_of({"arrays": list(arrays), **body}), *map(pack, arrays.values())],
    )


def decode(epoch: int, constants: tuple[()], blobs: Any) -> TrainingRows:
    """Decode the table."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    names = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(names, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    halves = checks.wholes(checks.entry(arrays, "digest"), (None, 2), -MAX_NUMBER, MAX_NUMBER)
    shape = (len(halves),)
    columns: dict[str, Any] = {
        name: checks.shares(checks.entry(arrays, name), shape).astype(np.float32) for name in SHARES
    }
    columns |= {name: checks.floats(checks.entry(arrays, name), shape) for name in ("label", *LOSSES)}
    columns |= {
        name: checks.wholes(checks.entry(arrays, name), shape, lowest, MAX_NUMBER) for name, lowest in COUNTS.items()
    }
    return TrainingRows(
        epoch=checks.epoch(epoch),
        task=checks.word(checks.entry(body, "task"), ROW_TASKS),
        digest=joined(halves.astype(np.int32)),
        has_numbers=checks.flag(checks.entry(body, "has_numbers")),
        unmatched=checks.whole(checks.entry(body, "unmatched")),
        missing=checks.text(checks.entry(body, "missing")),
        **columns,
    )


def _halves(digest: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.stack([(digest >> 32).astype(np.int32), (digest & 0xFFFFFFFF).astype(np.uint32).view(np.int32)], 1)
