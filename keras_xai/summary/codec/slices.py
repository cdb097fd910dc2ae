"""`Slices` on the wire: blobs under a tag for each group of figures, since one callback measures the one and another the other.

Each is a JSON string, which names the arrays behind it. Accuracies are there in every record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import SliceGaps, SliceImportance, SliceReadout, Slices, SliceValue
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/slices/"  # and the group
ACCURACY, IMPORTANCE, GAPS, READOUT = (TAG + group for group in ("accuracy", "importance", "gaps", "readout"))
# Limits against forged files: viewers draw a line or a row for each.
MAX_VALUES, MAX_NAMES = 1 << 11, 1 << 9  # values of all slices; features or layers
MAX_ROWS = 1 << 31


def encode(record: Slices) -> Iterator[Value]:
    """Encode a record: a value for each group of figures that was measured."""
    values = {"values": [list(value) for value in record.values], "size": record.size}
    body = {"accuracy": record.overall_accuracy, "confidence": record.overall_confidence}
    yield _value(ACCURACY, body, {"figures": np.stack([record.accuracy, record.confidence], 1)}, constants=values)
    importance, gaps, readout = record.importance, record.gaps, record.readout
    if importance is not None:
        arrays = {"share": importance.share, "overall": importance.overall}
        yield _value(IMPORTANCE, {}, arrays, importance.features)
    if gaps is not None:
        yield _value(GAPS, {"features": gaps.features}, {"z": gaps.z})
    if readout is not None:
        names = ("readability", "standard_error", "chance")
        yield _value(READOUT, {}, {name: getattr(readout, name) for name in names}, readout.layers)


def _value(
    tag: str,
    body: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    names: tuple[str, ...] = (),
    constants: Mapping[str, Any] | None = None,
) -> Value:
    data = plugin_data(PluginData.SLICES, names=names, options=constants)
    blobs = [pack(np.asarray(array, np.float32)) for array in arrays.values()]
    return tag, data, [json_of({"arrays": list(arrays), **body}), *blobs]


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all records of a run have in common: the values of all slices."""

    values: tuple[SliceValue, ...]
    size: int

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        constants = options(data)
        size = checks.whole(checks.entry(constants, "size"), 1, MAX_ROWS)
        values = checks.several(checks.entry(constants, "values"), _slice_value)
        if not 0 < len(values) <= MAX_VALUES:
            raise Unreadable(f"expected {MAX_VALUES:,} values at most, got {len(values):,}")
        checks.unique(f"{value.slice}\0{value.value}" for value in values)
        if any(value.rows > size for value in values):
            raise Unreadable(f"expected values of at most {size} rows")
        return cls(values, size)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the slices."""
        return tuple(dict.fromkeys(value.slice for value in self.values))


@dataclass(frozen=True, eq=False)
class GroupConstants:
    """Constants of another group of figures: its features or layers, and the values of slices that it must be of."""

    names: tuple[str, ...]
    slices: Constants

    @classmethod
    def of(cls, data: PluginData, slices: Constants) -> GroupConstants:
        if len(data.names) > MAX_NAMES:
            raise Unreadable(f"expected {MAX_NAMES} names at most, got {len(data.names):,}")
        return cls(tuple(data.names), slices)


def _slice_value(entry: Any) -> SliceValue:
    name, value, rows = checks.several(entry, lambda part: part, 3)
    return SliceValue(checks.text(name), checks.text(value), checks.whole(rows, 0, MAX_ROWS))


def decode(epoch: int, constants: Constants, blobs: Any) -> Slices:
    """Decode the accuracies of a record."""
    body, arrays = _parsed(blobs, "figures")
    figures = checks.shares(arrays["figures"], (len(constants.values), 2))
    return Slices(
        epoch=checks.epoch(epoch),
        values=constants.values,
        size=constants.size,
        accuracy=figures[:, 0],
        confidence=figures[:, 1],
        overall_accuracy=_share(checks.entry(body, "accuracy")),
        overall_confidence=_share(checks.entry(body, "confidence")),
    )


def decode_importance(epoch: int, constants: GroupConstants, blobs: Any) -> tuple[int, SliceImportance]:
    """Decode the importance of a record, with its epoch."""
    _, arrays = _parsed(blobs, "share", "overall")
    count = len(constants.names)
    if not count:
        raise Unreadable("expected the names of features")
    share = checks.shares(arrays["share"], (len(constants.slices.values), count))
    return checks.epoch(epoch), SliceImportance(constants.names, share, checks.shares(arrays["overall"], (count,)))


def decode_gaps(epoch: int, constants: GroupConstants, blobs: Any) -> tuple[int, SliceGaps]:
    """Decode the gaps of a record, with its epoch."""
    body, arrays = _parsed(blobs, "z")
    count = len(constants.slices.values)
    features = checks.several(checks.entry(body, "features"), checks.text, count)
    z = checks.floats(arrays["z"], (count,))
    if (z < 0).any() or np.isinf(z).any():
        raise Unreadable("expected z of 0 or more, or NaN")
    return checks.epoch(epoch), SliceGaps(features, z)


def decode_readout(epoch: int, constants: GroupConstants, blobs: Any) -> tuple[int, SliceReadout]:
    """Decode the readout of a record, with its epoch."""
    _, arrays = _parsed(blobs, "readability", "standard_error", "chance")
    layers, slices = checks.unique(constants.names), constants.slices.names
    if not layers:
        raise Unreadable("expected the names of layers")
    shape = len(layers), len(slices)
    readout = SliceReadout(
        layers=layers,
        slices=slices,
        readability=checks.shares(arrays["readability"], shape),
        standard_error=checks.shares(arrays["standard_error"], shape),
        chance=checks.shares(arrays["chance"], shape[1:]),
    )
    return checks.epoch(epoch), readout


def joined(
    records: Sequence[Slices],
    importance: Sequence[tuple[int, SliceImportance]],
    gaps: Sequence[tuple[int, SliceGaps]],
    readouts: Sequence[tuple[int, SliceReadout]],
) -> list[Slices]:
    """Return records of accuracies with the figures of the other groups, by their updates."""
    importance_of, gaps_of, readout_of = dict(importance), dict(gaps), dict(readouts)
    whole = []
    for record in records:
        update = record.update
        whole.append(
            dataclasses.replace(
                record, importance=importance_of.get(update), gaps=gaps_of.get(update), readout=readout_of.get(update)
            )
        )
    return whole


def _parsed(blobs: Any, *names: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the JSON object of a value, and the arrays of these names."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    written = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(written, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    return body, {name: checks.entry(arrays, name) for name in names}


def _share(value: Any) -> float:
    """Return a number from 0 to 1, or NaN."""
    share = checks.number(value)
    if share < -1e-3 or share > 1 + 1e-3:
        raise Unreadable(f"expected a number from 0 to 1, got {share:g}")
    return share
