"""`ChosenRows` and `StoredSamples` on the wire: what a gallery shows beside its fixed samples.

Attributions of chosen rows stand under tags of their own, in the form of those of the fixed gallery, but with another number of
rows at each update.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe
from keras_xai.probe.gallery import CHANGING_RULES
from keras_xai.records import ChosenRows, Part, StoredSamples
from keras_xai.spatial import SPATIAL_KINDS
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec import attribution
from keras_xai.summary.codec.inputs import Inputs, count_of, decode_values, inputs_in
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value
from keras_xai.tree import leaves, like

TAG = f"{PLUGIN_NAME}/gallery/rows"
TAG_OF_SAMPLES = f"{PLUGIN_NAME}/gallery/samples/"  # and the part: of one update each part is one record
CHOSEN = f"{PLUGIN_NAME}/gallery"  # the beginning of the tags of an attribution of chosen rows
MAX_ROWS = 1 << 31


def encode(record: ChosenRows) -> Iterator[Value]:
    """Encode the rows, the losses of all rows, and the attributions of the rows where there are some."""
    data = plugin_data(PluginData.CHOSEN_ROWS, options={"rule": record.rule})
    yield TAG, data, [json_of({"rows": record.rows}), pack(np.asarray(record.loss, np.float32))]
    if not len(record.rows):
        return
    for values in record.attributions.values():
        for tag, constants, content in attribution.encode(values):
            yield tag.replace(PLUGIN_NAME, CHOSEN, 1), constants, content


def tags_of(method: str) -> tuple[str, str]:
    """Return the tags of the maps and of the outputs of a method for chosen rows."""
    maps, outputs = (tag.replace(PLUGIN_NAME, CHOSEN, 1) for tag in attribution.tags_of(method))
    return maps, outputs


def rule_of(data: PluginData) -> str:
    """Return the rule by which the rows of a run were chosen."""
    return checks.word(checks.entry(options(data), "rule"), CHANGING_RULES)


def decode(epoch: int, rule: str, blobs: Any) -> ChosenRows:
    """Decode the rows of an update, and the losses."""
    if not isinstance(blobs, list) or len(blobs) != 2:
        raise Unreadable("expected a JSON object and an array")
    (loss,) = unpacked([bytes(blobs[1])])
    loss = checks.floats(loss, (None,))
    return ChosenRows(checks.epoch(epoch), rule, _rows(checks.parsed(bytes(blobs[0])), len(loss)), loss)


def _rows(body: Mapping[str, Any], size: int = MAX_ROWS) -> NDArray[np.int64]:
    rows = checks.several(checks.entry(body, "rows"), lambda row: checks.whole(row, 0, size))
    if len(set(rows)) < len(rows):
        raise Unreadable("expected each row once")
    return np.asarray(rows, np.int64)


def encode_samples(record: StoredSamples) -> Iterator[Value]:
    """Encode samples of a probe, row after row."""
    arrays = leaves(record.x)
    constants: dict[str, Any] = {"inputs": list(record.x) if isinstance(record.x, Mapping) else len(arrays)}
    if any(record.words):
        constants["texts"] = record.words
    is_spatial = record.kind in SPATIAL_KINDS
    blobs = []
    for row in range(len(record.rows)):
        blobs += [pack(array[row], eight_bits=is_spatial and array.ndim > 2) for array in arrays]
    body: dict[str, Any] = {"rows": record.rows}
    for name in ("y", "classes"):
        labels = getattr(record, name)
        body[name] = None if labels is None else labels.tolist()
    yield (
        TAG_OF_SAMPLES + record.part,
        plugin_data(PluginData.STORED_SAMPLES, options=constants),
        [json_of(body), *blobs],
    )


@dataclass(frozen=True, eq=False)
class SampleConstants:
    """Constants of the stored samples: the model's inputs, and the texts that their numbers stand for."""

    inputs: Inputs
    words: tuple[tuple[str, ...] | None, ...]

    @classmethod
    def of(cls, data: PluginData) -> SampleConstants:
        constants = options(data)
        inputs, texts = inputs_in(constants), constants.get("texts")
        if texts is None:
            return cls(inputs, ())

        def of_input(words: Any) -> tuple[str, ...] | None:
            return None if words is None else checks.several(words, checks.text)

        return cls(inputs, checks.several(texts, of_input, count_of(inputs)))


def decode_samples(epoch: int, constants: SampleConstants, blobs: Any, part: Part) -> StoredSamples:
    """Decode the samples that were written with an update."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    rows = _rows(body)
    values = decode_values(constants.inputs, blobs[1:])
    arrays = leaves(values)
    for array, words in zip(arrays, constants.words or (None,) * len(arrays), strict=True):
        if len(array) != len(rows):
            raise Unreadable(f"expected samples of {len(rows)} rows, got {len(array)}")
        if not np.isfinite(array).all():
            raise Unreadable("expected finite samples")
        if words is not None and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= len(words)):
            raise Unreadable(f"expected numbers of {len(words)} words")
    labels, classes = body.get("y"), body.get("classes")
    if labels is not None:
        labels = _labels(labels, len(rows))
    if classes is not None:
        numbers = checks.several(classes, lambda number: checks.whole(number, 0, MAX_ROWS), len(rows))
        classes = np.asarray(numbers, np.int64)
    return StoredSamples(checks.epoch(epoch), part, rows, values, labels, classes, constants.words)


def _labels(labels: Any, size: int) -> NDArray[Any]:
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise Unreadable(f"labels: {error}") from error
    if array.dtype.kind not in "if" or array.shape[:1] != (size,) or not np.isfinite(array).all():
        raise Unreadable(f"expected labels of {size} samples, got {array.dtype} of shape {array.shape}")
    return array


def joined(records: list[StoredSamples]) -> StoredSamples | None:
    """Return the samples of all updates as one record; None where there are none.

    Records of another shape than the last are left out: the run may have been continued by a later version.
    """
    if not records:
        return None
    last = records[-1]
    fitting = [record for record in records if _shapes(record) == _shapes(last)]
    rows = np.concatenate([record.rows for record in fitting])
    _, first = np.unique(rows, return_index=True)

    def stacked(parts: list[Any]) -> Any:
        return None if any(part is None for part in parts) else np.concatenate(parts)[first]

    parts_by_input = zip(*(leaves(record.x) for record in fitting), strict=True)
    arrays = [stacked(list(parts)) for parts in parts_by_input]
    labels = [record.y for record in fitting]
    has_one_shape = len({None if y is None else y.shape[1:] for y in labels}) == 1
    return dataclasses.replace(
        last,
        rows=rows[first],
        x=like(last.x, arrays),
        y=stacked(labels) if has_one_shape else None,
        classes=stacked([record.classes for record in fitting]),
    )


def _shapes(record: StoredSamples) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in leaves(record.x)]


def probe_of(described: Probe, stored: StoredSamples, places: Sequence[int]) -> Probe:
    """Return stored samples as rows of the probe that they are of.

    Args:
        described: the gallery, with or without its values.
        stored: samples of the same probe.
        places: which of them, by their place.
    """
    index = np.asarray(places, np.int64)
    arrays = [array[index] for array in leaves(stored.x)]
    for k, words in enumerate(stored.words):
        if words is not None:
            arrays[k] = np.asarray(words, object)[arrays[k]]
    labels = None if stored.y is None else stored.y[index]
    classes = None if stored.classes is None else stored.classes[index].astype(np.int64)
    return described.with_samples(like(stored.x, arrays), stored.rows[index].astype(np.int64), labels, classes)
