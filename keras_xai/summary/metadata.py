"""Record <-> TensorBoard summary: the only file that knows the wire, with `arrays` and `mappings` for what is in a blob.

An event of ours holds tagged tensors. What never changes for a tag stands in its `PluginData`, which TensorBoard keeps
from the tag's first event; what changes each epoch is the tensor:

| tag | kind | tensor |
|---|---|---|
| keras_xai/probe | PROBE | blobs, one a gallery sample: a map (below); for several inputs, input after input |
| keras_xai/epoch | EPOCH | one JSON string |
| keras_xai/weight_gradients | GRADIENTS | float32 [V, statistics + flags + steps + bins] |
| keras_xai/weight_gradients/missing | GRADIENTS_NOTE | one string |
| keras_xai/attributions/<method> | ATTRIBUTION | blobs, one a gallery sample: a map |
| keras_xai/outputs/<method> | OUTPUTS | float32 [B, 5 + K]: target, prediction, score, baseline, error, outputs; R²; quadrature |
| keras_xai/importance/<source> | IMPORTANCE | float32 [F + 2, 2]: share and direction; then the score; then the digest |
| keras_xai/alert/<source> | ALERT | one JSON string |
| keras_xai/stop/<part> | STOP | one JSON string: why it ended before the training did |
| keras_xai/mappings | MAPPINGS | blobs: one JSON string with the single numbers, then a map for each array that it names |

What would be more than 32 MiB of one tag goes on under `<tag>/part-1`, `<tag>/part-2` and so on, whose constants are those of
the first.

A *map* is one array in one blob, see `arrays`. Images are uint8: 8 bits and one range a sample are enough for eyes; tables,
series and tokens are float32.

Strings are rank-1 tensors: the data server drops scalars of strings.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from keras_xai.probe import KINDS, Probe
from keras_xai.records import (
    FLAGS,
    LINKS,
    SPACES,
    STATISTICS,
    TASKS,
    VERDICTS,
    Alert,
    Attribution,
    Changed,
    Digest,
    Epoch,
    FeatureMove,
    Flag,
    Gradients,
    Link,
    Mappings,
    Shares,
    Source,
    Space,
    Stop,
    TaskKind,
)
from keras_xai.summary import checks, mappings
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData

PLUGIN = "keras_xai"
SCHEMA = 1
PROBE = f"{PLUGIN}/probe"
EPOCH = f"{PLUGIN}/epoch"
GRADIENTS = f"{PLUGIN}/weight_gradients"
MISSING = f"{PLUGIN}/weight_gradients/missing"
ATTRIBUTIONS = f"{PLUGIN}/attributions/"
OUTPUTS = f"{PLUGIN}/outputs/"
IMPORTANCE = f"{PLUGIN}/importance/"
ALERT = f"{PLUGIN}/alert/"
MAPPINGS = f"{PLUGIN}/mappings"
STOP = f"{PLUGIN}/stop/"

Record = Epoch | Gradients | Attribution | Shares | Alert | Mappings | Probe | Stop
Content = list[bytes] | NDArray[Any]  # blobs or strings, or float32
Value = tuple[str, PluginData, Any]  # tag, constants, content


# Constants, parts and check sums.


PART = (
    1 << 25
)  # bytes of one tag: TensorBoard's data server answers with all of a tag at once, and with 256 MiB at most
_KEY = 256  # bytes that the key of one blob takes in such an answer
_BLOBS = (PluginData.PROBE, PluginData.ATTRIBUTION, PluginData.MAPPINGS)
_PARTS = re.compile(r"(.+)/part-([1-9]\d{0,8})", re.DOTALL)


def part_of(tag: str, data: PluginData, epoch: int, content: Content) -> str:
    """The tag under which a value is written: of a long series each part has one of its own, "…/part-3".

    Which one depends on the epoch and the size alone, so that a training that is resumed goes on where it was. A part
    holds a power of two of epochs: contents of about one size share it.
    """
    size = _KEY * len(content) if data.kind in _BLOBS else _bytes_of(content)
    number = epoch >> (max(1, PART // max(1, size)).bit_length() - 1)
    return f"{tag}/part-{number}" if number else tag


def _bytes_of(content: Content) -> int:
    return sum(map(len, content)) if isinstance(content, list) else int(content.nbytes)


def series_of(tag: str) -> tuple[str, int]:
    """The tag of the whole series, and the number of the part."""
    match = _PARTS.fullmatch(tag)
    return (match.group(1), int(match.group(2))) if match else (tag, 0)


def continuing(data: PluginData) -> PluginData:
    """The constants of a later part, which are those of the first: names are not repeated with each."""
    return _data(data.kind, method=data.method, options={"continues": True})


def continues(data: PluginData) -> bool:
    """Whether the constants stand with an earlier part."""
    return options(data).get("continues") is True


def _data(
    kind: int, *, names: Sequence[str] = (), options: Mapping[str, Any] | None = None, **fields: Any
) -> PluginData:
    data = PluginData(schema_version=SCHEMA, kind=kind, names=list(map(str, names)), **fields)
    if options:
        data.options = json_of(options).decode()
    return data


def masked_crc(data: bytes) -> bytes:
    """The check sum of a record: CRC-32C, rotated and offset, since the CRC of a CRC would be weak."""
    return masked(int(google_crc32c.value(data)))


def masked(crc: int) -> bytes:
    """A CRC-32C as it stands in a file."""
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


# Records to values.


def step(record: Record) -> int:
    """The step an event carries: the record's epoch."""
    return 0 if isinstance(record, Probe) else int(record.epoch or 0)


def encode(record: Record) -> Iterator[Value]:
    """A record as the tagged values of one event.

    Raises:
        ValueError: a record with a step of the optimizer whose wire form, a table of numbers, has no room for it.
    """
    if isinstance(record, (Gradients, Attribution, Shares)) and record.step is not None:
        raise ValueError(f"step={record.step}: the table of a {type(record).__name__} has no room for a step")
    if isinstance(record, Epoch):
        yield EPOCH, _data(PluginData.EPOCH), [json_of(_body(record))]
    elif isinstance(record, Gradients):
        yield from _encode_gradients(record)
    elif isinstance(record, Attribution):
        yield from _encode_attribution(record)
    elif isinstance(record, Shares):
        direction = np.zeros(len(record.names)) if record.direction is None else record.direction
        table = np.stack([record.share, direction], 1)
        # float32 holds whole numbers of 24 bits exactly
        digest = (np.nan, np.nan) if record.digest is None else record.digest
        table = np.concatenate([table, [[record.score, 0.0], digest]]).astype(np.float32)
        about = {"burn_in": record.burn_in, "attribution": record.method}
        data = _data(PluginData.IMPORTANCE, names=record.names, method=record.source, limit=record.limit, options=about)
        yield IMPORTANCE + record.source, data, table
    elif isinstance(record, Alert):
        yield ALERT + record.source, _data(PluginData.ALERT, method=record.source), [json_of(_body(record, "source"))]
    elif isinstance(record, Mappings):
        about, blobs = mappings.encode(record)
        yield MAPPINGS, _data(PluginData.MAPPINGS, names=record.features.layers, options=about), blobs
    elif isinstance(record, Stop):
        yield STOP + record.part, _data(PluginData.STOP, method=record.part), [json_of(_body(record, "part"))]
    elif isinstance(record, Probe):
        yield _encode_probe(record)
    else:
        raise TypeError(f"no wire form for {type(record).__name__}")


def _body(record: Epoch | Alert | Stop, *in_tag: str) -> dict[str, Any]:
    """Return the fields of a record that its JSON holds: all but the epoch, which the event has, and what its tag says."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__ if name not in ("epoch", *in_tag)}
    if fields["step"] is None:
        del fields["step"]
    return fields


def _encode_gradients(record: Gradients) -> Iterator[Value]:
    since = np.full((len(record.names), len(FLAGS)), np.nan)
    for flag in record.flags:
        since[record.names.index(flag.name), FLAGS.index(flag.kind)] = flag.since
    columns = [np.stack([record.statistics[s] for s in STATISTICS], 1), since]
    columns += [np.full((len(record.names), 1), record.steps), record.histogram]
    about = {"sizes": list(record.sizes), "thresholds": dict(record.thresholds)}
    data = _data(PluginData.GRADIENTS, names=record.names, bin_edges=record.bin_edges.tolist(), options=about)
    yield GRADIENTS, data, np.concatenate(columns, 1).astype(np.float32)
    if record.missing:
        yield MISSING, _data(PluginData.GRADIENTS_NOTE), [record.missing.encode()]


def _encode_attribution(record: Attribution) -> Iterator[Value]:
    values = record.values
    parts = _parts(values)
    size = len(parts[0])
    image = record.kind == "image"
    blobs = [pack(part[b], eight_bits=image and part.ndim > 2) for b in range(size) for part in parts]
    options: dict[str, Any] = {"inputs": list(values) if isinstance(values, Mapping) else len(parts)}
    yield ATTRIBUTIONS + record.method, _data(PluginData.ATTRIBUTION, method=record.method, options=options), blobs

    nan = np.full(size, np.nan)
    prediction = np.asarray(record.prediction, np.float64).reshape(size, -1)[:, 0]
    columns = [
        np.asarray(record.target, np.float64).reshape(size),
        prediction,
        record.score,
        nan if record.baseline_score is None else record.baseline_score,
        nan if record.completeness_error is None else record.completeness_error,
    ]
    table = np.stack([np.asarray(c, np.float32) for c in columns], 1)
    if record.outputs is not None:
        table = np.concatenate([table, np.asarray(record.outputs, np.float32).reshape(size, -1)[:, :64]], 1)
    if record.r2 is not None:
        table = np.concatenate([table, np.asarray(record.r2, np.float32).reshape(size, 1)], 1)
    if record.quadrature_error is not None:
        table = np.concatenate([table, np.asarray(record.quadrature_error, np.float32).reshape(size, 1)], 1)
    options = {
        "space": record.space,
        "task": record.task,
        "link": record.link,
        "complete": record.completeness_error is not None,
        "r2": record.r2 is not None,
        "quadrature": record.quadrature_error is not None,
    }
    yield OUTPUTS + record.method, _data(PluginData.OUTPUTS, method=record.method, options=options), table


def _encode_probe(record: Probe) -> Value:
    about, blobs = record.description(), []
    parts = record.inputs if record.x is not None and record.store == "inputs" else []
    numbers = all(part.dtype.kind in "fiub" for part in parts)
    if numbers or (record.is_columns and _letters(parts) <= LETTERS):  # strings alone have no map
        coded = [coded_texts(part) for part in parts]
        if any(words for _, words in coded):
            about["texts"] = [words for _, words in coded]
        image = record.kind == "image"
        blobs = [pack(codes[b], eight_bits=image and codes.ndim > 2) for b in range(record.size) for codes, _ in coded]
    return PROBE, _data(PluginData.PROBE, names=record.feature_names or (), options=about), blobs


LETTERS = 1 << 16  # that the texts in the columns of a gallery may have in all: of longer ones nothing is kept


def coded_texts(part: NDArray[Any]) -> tuple[NDArray[Any], list[str] | None]:
    """Texts as numbers of words in a sorted list; numbers as they are."""
    if part.dtype.kind not in "OUS":
        return part, None
    texts = [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in part.ravel().tolist()]
    words, codes = np.unique(np.asarray(texts, object), return_inverse=True)
    return codes.reshape(part.shape), words.tolist()


def _letters(parts: list[NDArray[Any]]) -> int:
    return sum(sum(map(len, part.ravel().tolist())) for part in parts if part.dtype.kind in "OUS")


def value(tag: str, data: PluginData, content: Any, *, first: bool) -> summary_pb2.Summary.Value:
    """The protocol buffer of one value; its constants travel with the first one of a tag only."""
    if isinstance(content, list):
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=content)
        shape: tuple[int, ...] = (len(content),)
    else:
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT, tensor_content=np.ascontiguousarray(content, "<f4").tobytes()
        )
        shape = content.shape
    tensor.tensor_shape.CopyFrom(
        tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in shape])
    )
    summary = summary_pb2.Summary.Value(tag=tag, tensor=tensor)
    if first:
        in_blobs = data.kind in _BLOBS
        summary.metadata.data_class = (
            summary_pb2.DATA_CLASS_BLOB_SEQUENCE if in_blobs else summary_pb2.DATA_CLASS_TENSOR
        )
        summary.metadata.plugin_data.plugin_name = PLUGIN
        summary.metadata.plugin_data.content = data.SerializeToString()
    return summary


# Values to records. What does not fit is `Unreadable`, here and nowhere else: those who read records need no checks.


def content_of(tensor: Any) -> Content:
    """What a tensor's protocol buffer holds: strings, or float32 as bytes or one by one.

    One number for a large shape is not filled up: what is made is as large as what is there.

    Raises:
        Unreadable: another type, or a shape that its values do not have.
    """
    shape = checks.sides(tuple(int(dim.size) for dim in tensor.tensor_shape.dim))
    if tensor.dtype == types_pb2.DT_STRING:
        count: float = len(tensor.string_val)
    elif tensor.dtype == types_pb2.DT_FLOAT:
        count = len(tensor.tensor_content) / 4 or len(tensor.float_val)
    else:
        raise Unreadable(f"expected floats or strings, got a tensor of type {tensor.dtype}")
    if count != math.prod(shape):
        raise Unreadable(f"expected {math.prod(shape)} values for shape {shape}, got {count:g}")
    if tensor.dtype == types_pb2.DT_STRING:
        return list(tensor.string_val)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").copy().reshape(shape)
    return np.asarray(tensor.float_val, np.float32).reshape(shape)


def constants(content: bytes) -> PluginData:
    """The constants of a tag.

    Raises:
        Unreadable: not ours, or written by a newer version.
    """
    try:
        data = PluginData.FromString(content)
    except DecodeError as error:
        raise Unreadable(str(error)) from error
    if not 1 <= data.schema_version <= SCHEMA:
        raise Unreadable(f"schema version {data.schema_version}; this version reads up to {SCHEMA}")
    return data


def options(data: PluginData) -> dict[str, Any]:
    """The JSON options of a tag."""
    return checks.parsed(data.options or "{}")


def _only(content: Any) -> bytes:
    """The one string that a tensor of text holds."""
    if not isinstance(content, list) or len(content) != 1:
        raise Unreadable(f"expected one string, got {len(content)} values")
    return bytes(content[0])


def decode_epoch(epoch: int, content: Any) -> Epoch:
    body = checks.parsed(_only(content))
    return Epoch(
        epoch=checks.epoch(epoch),
        wall_time=checks.amount(checks.entry(body, "wall_time"), 1e12),
        seconds=checks.amount(checks.entry(body, "seconds"), 1e9),
        cost_seconds=checks.amount(checks.entry(body, "cost_seconds"), 1e9),
        learning_rate=checks.number(checks.entry(body, "learning_rate")),
        logs=checks.numbers(checks.entry(body, "logs")),
        costs={name: checks.amount(cost, 1e9) for name, cost in checks.members(body.get("costs", {})).items()},
        notes=checks.several(body.get("notes", []), checks.text),
        once_seconds=checks.amount(body.get("once_seconds", 0.0), 1e9),
        resumed=checks.flag(body.get("resumed", False)),
        step=_step(body),
    )


def _step(body: Mapping[str, Any]) -> int | None:
    """Return the step of the optimizer that a record belongs to; None where it is that of an epoch's end."""
    return None if body.get("step") is None else checks.whole(body["step"])


def _source(data: PluginData, source: Source) -> Source:
    """The source that a tag is named for, which its constants must name as well."""
    if data.method != source:
        raise Unreadable(f"expected the source {source}, got {data.method!r}")
    return source


def about_alerts(data: PluginData, source: Source) -> Source:
    """What all alerts of a tag have in common."""
    return _source(data, source)


def decode_alert(epoch: int, source: Source, content: Any) -> Alert:
    body = checks.parsed(_only(content))
    return Alert(
        epoch=checks.epoch(epoch),
        source=source,
        verdict=checks.word(checks.entry(body, "verdict"), VERDICTS),
        learning_rate_rising=checks.flag(checks.entry(body, "learning_rate_rising")),
        features=checks.several(checks.entry(body, "features"), _moved),
        score=checks.number(body.get("score")),
        limit=checks.number(body.get("limit")),
        event=None if body.get("event") is None else checks.epoch(body["event"]),
        changed=None if body.get("changed") is None else _changed(body["changed"]),
        step=_step(body),
    )


def _changed(counts: Any) -> Changed:
    """How many of the live rows differ."""
    rows, labels, of = checks.several(counts, lambda count: checks.whole(count, -1), 3)
    if not max(rows, labels) <= of:
        raise Unreadable(f"expected at most {of} rows that differ, got {max(rows, labels)}")
    return Changed(rows, labels, of)


def _moved(feature: Any) -> FeatureMove:
    """One feature of an alert."""
    name, before, after, direction, z = checks.several(feature, lambda entry: entry, 5)
    return FeatureMove(
        name=checks.text(name),
        before=checks.number(before),
        after=checks.number(after),
        direction=checks.whole(direction, -1, 2),
        z=checks.number(z),
    )


def about_stop(data: PluginData, part: str) -> str:
    """The part of the watch that a tag is named for."""
    if not part or data.method != part:
        raise Unreadable(f"expected the part {part!r}, got {data.method!r}")
    return part


def decode_stop(epoch: int, part: str, content: Any) -> Stop:
    body = checks.parsed(_only(content))
    return Stop(checks.epoch(epoch), part, checks.text(checks.entry(body, "reason")), _step(body))


def decode_missing(epoch: int, content: Any) -> tuple[int, str]:
    """Why no gradients were captured at an epoch."""
    return checks.epoch(epoch), _only(content).decode(errors="replace")


@dataclass(frozen=True, eq=False)
class AboutGradients:
    """What all gradients of a run have in common."""

    names: tuple[str, ...]
    edges: NDArray[np.float32]
    sizes: tuple[int, ...]
    thresholds: Mapping[str, float]

    @classmethod
    def of(cls, data: PluginData) -> AboutGradients:
        about, names = options(data), checks.unique(data.names)
        edges = np.asarray(data.bin_edges, np.float32)
        if len(edges) == 1 or not (np.isfinite(edges).all() and (edges > 0).all() and (np.diff(edges) > 0).all()):
            raise Unreadable(f"expected rising edges of bins above 0, got {len(edges)} others")
        sizes = checks.several(about.get("sizes", []), checks.whole)
        if len(sizes) not in (0, len(names)):
            raise Unreadable(f"expected the sizes of {len(names)} variables, got {len(sizes)}")
        return cls(names, edges, sizes, checks.numbers(about.get("thresholds", {})))


def decode_gradients(epoch: int, about: AboutGradients, table: Any, missing: str = "") -> Gradients:
    names, s, f = about.names, len(STATISTICS), len(FLAGS)
    table = checks.floats(table, (len(names), s + f + 1 + max(0, len(about.edges) - 1)))
    epoch, since = checks.epoch(epoch), table[:, s : s + f]
    steps = checks.wholes(table[:, s + f], (len(names),), 0, 2**31)
    histogram = checks.finite(table[:, s + f + 1 :], (len(names), None))
    if (histogram < 0).any():
        raise Unreadable("expected counts in a histogram, got some below 0")
    raised = np.argwhere(~np.isnan(since))
    checks.wholes(since[~np.isnan(since)], (len(raised),), 0, int(np.float32(epoch)) + 1)
    return Gradients(
        epoch=epoch,
        names=names,
        statistics={name: table[:, k] for k, name in enumerate(STATISTICS)},
        histogram=histogram,
        bin_edges=about.edges,
        steps=int(steps[0]) if len(names) else 0,
        flags=tuple(Flag(names[v], FLAGS[k], int(since[v, k])) for v, k in raised),
        missing=missing,
        sizes=about.sizes,
        thresholds=about.thresholds,
    )


@dataclass(frozen=True, eq=False)
class AboutShares:
    """What all updates of one source have in common."""

    source: Source
    names: tuple[str, ...]
    limit: float
    burn_in: int
    method: str

    @classmethod
    def of(cls, data: PluginData, source: Source) -> AboutShares:
        about = options(data)
        if not data.names or not data.limit > 0:
            raise Unreadable(f"expected names and a limit above 0, got {len(data.names)} names and {data.limit:g}")
        burn_in, method = checks.whole(about.get("burn_in", 8)), checks.text(about.get("attribution", ""))
        return cls(_source(data, source), tuple(data.names), data.limit, burn_in, method)


def decode_shares(epoch: int, about: AboutShares, table: Any) -> Shares:
    count = len(about.names)
    table = checks.floats(table, (count + 2, 2))
    # What the data moved by is in units of their usual range, and clipped at three of them.
    share = checks.shares(table[:-2, 0], (count,), 1e3 if about.source == "data" else 1.0)
    score, (first, second) = float(table[-2, 0]), table[-1].tolist()
    if score < 0 or math.isinf(score):
        raise Unreadable(f"expected a score that is finite and not below 0, or NaN, got {score:g}")
    if digest := not (math.isnan(first) and math.isnan(second)):
        checks.wholes(table[-1], (2,), 0, 2**24)
    direction = checks.wholes(table[:-2, 1], (count,), -1, 2)
    return Shares(
        epoch=checks.epoch(epoch),
        source=about.source,
        names=about.names,
        share=share,
        score=score,
        limit=about.limit,
        direction=direction.astype(np.int8),
        burn_in=about.burn_in,
        method=about.method,
        digest=Digest(int(first), int(second)) if digest else None,
    )


@dataclass(frozen=True, eq=False)
class AboutOutputs:
    """What all outputs of one method have in common."""

    space: Space
    complete: bool
    r2: bool
    quadrature: bool
    task: TaskKind | None  # None where an older version wrote it
    link: Link

    @classmethod
    def of(cls, data: PluginData) -> AboutOutputs:
        about = options(data)
        space = checks.word(about.get("space", "raw"), SPACES)
        complete, r2, quadrature = (checks.flag(about.get(name, False)) for name in ("complete", "r2", "quadrature"))
        task = about.get("task")
        link = checks.word(about.get("link", ""), LINKS)
        return cls(space, complete, r2, quadrature, None if task is None else checks.word(task, TASKS), link)

    def read_as(self, width: int) -> tuple[TaskKind, Link]:
        """What outputs of so many columns say; an older version wrote it in their space alone."""
        if self.task is not None:
            return self.task, self.link
        if self.space == "raw":
            return ("number" if width <= 1 else "numbers"), ""
        return ("binary", "sigmoid") if width == 1 else ("classes", "softmax")


def decode_outputs(epoch: int, about: AboutOutputs, table: Any) -> tuple[int, NDArray[Any]]:
    """An epoch, and the table of its outputs as it was written."""
    table = checks.floats(table, (None, None))
    if not len(table) or table.shape[1] < 5 + about.r2 + about.quadrature:
        raise Unreadable(f"expected five columns or more for each sample, got the shape {table.shape}")
    checks.wholes(table[:, 0], (len(table),), -1, 2**31)
    return checks.epoch(epoch), table


Inputs = tuple[str, ...] | int  # the names of a model's inputs, or how many there are


def inputs_of(data: PluginData) -> Inputs:
    """The inputs of the model whose maps a tag holds."""
    return _inputs(options(data))


def _inputs(about: Mapping[str, Any]) -> Inputs:
    inputs = about.get("inputs", 1)
    return checks.unique(checks.several(inputs, checks.text)) if isinstance(inputs, list) else checks.whole(inputs, 1)


def _shapes(about: Mapping[str, Any], first: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Of a sample, an input; of the first one alone where a file knows no more."""
    sides: Callable[[Any], tuple[int, ...]] = lambda shape: checks.several(shape, side)  # noqa: E731
    side: Callable[[Any], int] = lambda value: checks.whole(value, 1, checks.SIDE)  # noqa: E731
    shapes = checks.several(about["shapes"], sides) if "shapes" in about else (first,)
    inputs = _inputs(about)
    count = inputs if isinstance(inputs, int) else len(inputs)
    if "shapes" in about and (len(shapes) != count or shapes[0] != first):
        raise Unreadable(f"expected the shapes of {count} inputs, the first one {first}, got {shapes[: checks.SIDES]}")
    if longest := next((shape for shape in shapes if len(shape) > checks.SIDES), ()):
        raise Unreadable(f"expected the shape of a sample, got {longest[: checks.SIDES]} and more sides")
    return shapes


def decode_values(inputs: Inputs, blobs: Any) -> Any:
    """The maps of one epoch: an array, or a list or dict of arrays where the model takes several inputs."""
    count = inputs if isinstance(inputs, int) else len(inputs)
    if not isinstance(blobs, list) or not blobs or not count or len(blobs) % count:
        raise Unreadable(f"{len(blobs)} maps for {count} inputs")
    maps = unpacked(list(map(bytes, blobs)))
    for k, array in enumerate(maps):
        if array.shape != maps[k % count].shape or not array.size:
            raise Unreadable(f"expected a map of shape {maps[k % count].shape}, got {array.shape}")
    parts = [np.stack(maps[k::count]) for k in range(count)]
    if isinstance(inputs, tuple):
        return dict(zip(inputs, parts, strict=True))
    return parts if count > 1 else parts[0]


def decode_attribution(epoch: int, inputs: Inputs, blobs: Any) -> tuple[int, Any]:
    """An epoch, and the maps of it."""
    values = decode_values(inputs, blobs)
    for part in _parts(values):
        checks.floats(part, (None,) * part.ndim)
    return checks.epoch(epoch), values


def samples_of(values: Any) -> int:
    """How many samples the values of one or several inputs are of."""
    return len(_parts(values)[0])


def _parts(values: Any) -> list[NDArray[Any]]:
    """The values of each input."""
    return list(values.values()) if isinstance(values, Mapping) else values if isinstance(values, list) else [values]


NAMELESS = 1 << 18  # features that a probe may have without a name for each in the file


@dataclass(frozen=True, eq=False)
class AboutProbe:
    """A probe's description, each part of it checked, and the names of its features."""

    names: tuple[str, ...] | None
    inputs: Inputs
    description: Mapping[str, Any]

    @classmethod
    def of(cls, data: PluginData) -> AboutProbe:
        about = options(data)
        size = checks.whole(checks.entry(about, "size"), 0, 2**31)
        shape = checks.several(checks.entry(about, "shape"), lambda side: checks.whole(side, 1, checks.SIDE))
        kind = checks.word(checks.entry(about, "kind"), KINDS)
        shapes, texts = _shapes(about, shape), _words_of(about)
        columns = kind == "table" and len(shapes) > 1 and all(sides in ((), (1,)) for sides in shapes)
        if texts and not (kind == "table" and all(sides in ((), (1,)) for sides in shapes)):
            raise Unreadable("expected words in the columns of a table alone")
        if kind == "image" and all(len(side) < 2 for side in shapes):
            raise Unreadable(f"expected the shape of a sample of kind {kind}, got {shape}")
        words = checks.members(about.get("vocabulary") or {})
        output = about.get("output")
        description = {
            "kind": kind,
            "shape": shape,
            "shapes": shapes,
            "inputs": _inputs(about),
            "texts": texts,
            "size": size,
            "labels": None if about.get("labels") is None else _labels(about["labels"], size),
            "class_names": _texts(about.get("class_names")),
            "output": checks.whole(output, -(2**31)) if isinstance(output, int) else output and checks.text(output),
            "segments": None if about.get("segments") is None else _segments(about["segments"]),
            "groups": _groups(about.get("groups"), len(shapes) if columns else math.prod(shape)),
            "vocabulary": {_token(token): checks.text(name) for token, name in words.items()},
            "store": checks.word(about.get("store", "inputs"), ("inputs", "none")),
            "hash": checks.text(about.get("hash", "")),
        }
        if "classes" in about:  # an older version left it to the labels
            classes = about["classes"]
            description["classes"] = None if classes is None else checks.several(classes, _class, size)
        # Of several inputs each may have a column of the same name.
        names = (tuple(data.names) if len(shapes) > 1 and not columns else checks.unique(data.names)) or None
        expected = {"series": shape[-1:], "image": ()}.get(kind, (math.prod(shape),))
        if names and expected and isinstance(_inputs(about), int) and _inputs(about) == 1 and len(names) != expected[0]:
            raise Unreadable(f"expected the names of {expected[0]} features, got {len(names)}")
        return cls(names, _inputs(about), description)

    def probe(self, values: Any = None) -> Probe:
        """The probe, with the values of its samples or without."""
        probe = Probe.from_description(values, self.names, self.description)
        image = probe.kind == "image"
        if isinstance(probe.groups, np.ndarray) and not (image and probe.groups.shape == probe.pixels):
            raise Unreadable(f"expected segments of the pixels of an image, got the shape {probe.groups.shape}")
        if image and isinstance(probe.groups, dict):
            raise Unreadable("expected segments of an image, got groups of columns")
        if probe.feature_count > max(NAMELESS, len(self.names or ())):
            raise Unreadable(f"{probe.feature_count:,} features without names: {NAMELESS:,} at most can be numbered")
        return probe


def decode_probe(about: AboutProbe, blobs: Any) -> Probe:
    if isinstance(blobs, list) and not blobs:
        return about.probe()
    values, size = decode_values(about.inputs, blobs), about.description["size"]
    parts = _parts(values)
    known = [(size, *shape) for shape in about.description["shapes"]]
    if [part.shape for part in parts[: len(known)]] != known or not all(np.isfinite(part).all() for part in parts):
        raise Unreadable(f"expected finite samples of shape {known[: checks.SIDES]}, got {parts[0].shape}")
    words = about.description["texts"]
    if words:
        read = [_text_of(part, list_of) for part, list_of in zip(parts, words, strict=True)]
        values = (
            dict(zip(values, read, strict=True)) if isinstance(values, dict) else read if len(read) > 1 else read[0]
        )
    return about.probe(values)


def _class(number: Any) -> int:
    return checks.whole(number, 0, 2**31)


def _text_of(codes: NDArray[Any], words: tuple[str, ...] | None) -> NDArray[Any]:
    """The words that numbers stand for; numbers where there are no words."""
    if words is None:
        return codes
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= len(words):
        raise Unreadable(
            f"expected numbers of {len(words)} words, got {codes.dtype} from {codes.min()} to {codes.max()}"
        )
    return np.asarray(words, object)[codes]


def _words_of(about: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, ...]:
    """Of each input the words that its numbers stand for, None where they are numbers; nothing where all are."""
    if about.get("texts") is None:
        return ()
    inputs = _inputs(about)
    return checks.several(about["texts"], _texts, inputs if isinstance(inputs, int) else len(inputs))


def _texts(names: Any) -> tuple[str, ...] | None:
    return None if names is None else checks.several(names, checks.text)


def _labels(labels: Any, size: int) -> NDArray[Any]:
    """Of each sample a class, or numbers."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise Unreadable(f"labels: {error}") from error
    fits = array.dtype.kind in "if" and array.shape[:1] == (size,) and np.isfinite(array).all()
    if not fits or (array.dtype.kind == "i" and not (np.abs(array) < 2**31).all()):
        raise Unreadable(f"expected labels of {size} samples, got {array.dtype} of shape {array.shape}")
    return array


def _segments(rows: Any) -> NDArray[Any]:
    """(H, W) of whole numbers."""
    table = checks.several(rows, lambda row: checks.several(row, lambda side: checks.whole(side, -(2**31), 2**31)))
    if len({len(row) for row in table}) > 1:
        raise Unreadable("expected segments in rows of one length")
    return np.asarray(table, np.int64).reshape(len(table), -1)


def _groups(groups: Any, count: int) -> dict[str, list[int]] | None:
    """The columns of each group."""
    if groups is None:
        return None
    column: Callable[[Any], int] = lambda value: checks.whole(value, 0, count)  # noqa: E731
    return {name: list(checks.several(columns, column)) for name, columns in checks.members(groups).items()}


def _token(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise Unreadable(f"expected the number of a token, got {text[:20]!r}")
    return int(text)


def about_mappings(data: PluginData) -> mappings.AboutMappings:
    """What all mappings of a run have in common."""
    return mappings.AboutMappings.of(data.names, options(data))
