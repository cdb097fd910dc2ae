"""`Concepts` on the wire: a JSON string with names and counts, then the arrays that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_xai.concept_records import EFFECT_UNITS, Concepts
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/concepts"
# Limits against forged files: viewers draw a line or a row for each.
MAX_CONCEPTS, MAX_LAYERS, MAX_QUESTIONS = 1 << 7, 1 << 9, 1 << 7
MAX_ROWS = 1 << 31
_CUBES = ("effect", "error", "share", "p")


def encode(record: Concepts) -> Iterator[Value]:
    """Encode an update."""
    arrays = {name: np.asarray(getattr(record, name), np.float32) for name in ("readability", *_CUBES)}
    body = {
        "arrays": list(arrays),
        "names": record.names,
        "layers": record.layers,
        "questions": record.questions,
        "rows": record.rows,
        "examples": record.examples,
        "floor": record.floor,
        "draws": record.draws,
        "unit": record.unit,
    }
    data = plugin_data(PluginData.CONCEPTS, options={"digest": record.digest})
    yield TAG, data, [json_of(body), *map(pack, arrays.values())]


def digest_of(data: PluginData) -> str:
    """Return the digest of the concepts, which all records of a run have in common."""
    return checks.text(checks.entry(options(data), "digest"))


def decode(epoch: int, digest: str, blobs: Any) -> Concepts:
    """Decode an update."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    keys = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(keys, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    names, layers, questions = (
        checks.unique(checks.several(checks.entry(body, name), checks.text))
        for name in ("names", "layers", "questions")
    )
    counts = len(names), len(layers), len(questions)
    for count, limit in zip(counts, (MAX_CONCEPTS, MAX_LAYERS, MAX_QUESTIONS), strict=True):
        if not 0 < count <= limit:
            raise Unreadable(f"expected 1 to {limit} names, got {count:,}")
    rows = checks.several(checks.entry(body, "rows"), lambda value: checks.whole(value, 0, MAX_ROWS), counts[2])
    cubes = {name: checks.floats(checks.entry(arrays, name), counts) for name in _CUBES}
    if np.isinf(cubes["effect"]).any() or not (cubes["error"] >= 0)[np.isfinite(cubes["effect"])].all():
        raise Unreadable("expected finite effects with errors of 0 or more, or NaN")
    return Concepts(
        epoch=checks.epoch(epoch),
        names=names,
        layers=layers,
        questions=questions,
        rows=rows,
        examples=checks.several(checks.entry(body, "examples"), _sizes, counts[0]),
        readability=_shares(checks.entry(arrays, "readability"), counts[:2]),
        effect=cubes["effect"],
        error=cubes["error"],
        share=_shares(cubes["share"], counts),
        p=_shares(cubes["p"], counts),
        floor=checks.amount(checks.entry(body, "floor")),
        draws=checks.whole(checks.entry(body, "draws"), 1, MAX_ROWS),
        unit=checks.word(checks.entry(body, "unit"), EFFECT_UNITS),
        digest=digest,
    )


def _sizes(value: Any) -> tuple[int, int]:
    examples, counter_examples = checks.several(value, lambda count: checks.whole(count, 1, MAX_ROWS), 2)
    return examples, counter_examples


def _shares(array: Any, shape: tuple[int, ...]) -> Any:
    """Return numbers from 0 to 1, or NaN."""
    values = checks.floats(array, shape)
    finite = values[~np.isnan(values)]
    if (finite < 0).any() or (finite > 1).any():
        raise Unreadable("expected shares from 0 to 1, or NaN")
    return values
