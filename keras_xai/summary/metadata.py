"""Record <-> TensorBoard summary: the only file that knows the wire.

An event of ours holds tagged tensors. What never changes for a tag stands in its `PluginData`, which TensorBoard keeps
from the tag's first event; what changes each epoch is the tensor:

| tag | kind | tensor |
|---|---|---|
| keras_xai/probe | PROBE | blobs, one a gallery sample: a map (below); for several inputs, input after input |
| keras_xai/epoch | EPOCH | one JSON string |
| keras_xai/weight_gradients | GRADIENTS | float32 [V, statistics + flags + steps + bins] |
| keras_xai/weight_gradients/missing | GRADIENTS_NOTE | one string |
| keras_xai/attributions/<method> | ATTRIBUTION | blobs, one a gallery sample: a map |
| keras_xai/outputs/<method> | OUTPUTS | float32 [B, 5 + K]: target, prediction, score, baseline, error, outputs; R² last if any |
| keras_xai/importance/<source> | IMPORTANCE | float32 [F + 2, 2]: share and direction; then the score; then the digest |
| keras_xai/alert/<source> | ALERT | one JSON string |
| keras_xai/stop/<part> | STOP | one JSON string: why it ended before the training did |
| keras_xai/mappings | MAPPINGS | blobs: one JSON string with the single numbers, then a map for each array that it names |

A *map* is one array in one blob: `KXA1`, dtype (0 float32, 1 uint8 between lo and hi, 2 int32, 3 float16), rank, two bytes
unused, lo and hi as float32, the dimensions as uint32, then the values, zlib; everything little-endian. Images are
uint8: 8 bits and one range a sample are enough for eyes; tables, series and tokens are float32.

Strings are rank-1 tensors: the data server drops scalars of strings.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from keras_xai.probe import Probe
from keras_xai.records import (
    FLAGS,
    STATISTICS,
    Alert,
    Attribution,
    Decision,
    Epoch,
    Features,
    Gradients,
    Mappings,
    Result,
    Shares,
    Stop,
    Surrogate,
)
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
Value = tuple[str, PluginData, Any]  # tag, constants, list of bytes (blobs or strings) or float32 array

_HEADER = struct.Struct("<4sBBxxff")
_DTYPES = (np.dtype("<f4"), np.dtype("u1"), np.dtype("<i4"), np.dtype("<f2"))


class Unreadable(ValueError):
    """Bytes that are not what this version writes: foreign, newer or damaged."""


# Arrays and texts.


def pack(array: NDArray[Any], *, eight_bits: bool = False) -> bytes:
    """One array as a blob. With `eight_bits` the values are rounded to 255 steps between their minimum and maximum."""
    array = np.asarray(array)
    low, high = 0.0, 0.0
    if np.issubdtype(array.dtype, np.integer) and not eight_bits:
        code, values = 2, array.astype(_DTYPES[2])
    elif eight_bits:
        finite = array[np.isfinite(array)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        scaled = (np.nan_to_num(array, nan=low, posinf=high, neginf=low).astype(np.float64) - low) / (
            (high - low) or 1.0
        )
        code, values = 1, np.round(255 * scaled).astype(np.uint8)
    elif array.dtype == np.float16:
        code, values = 3, array.astype(_DTYPES[3])
    else:
        code, values = 0, array.astype(_DTYPES[0])
    shape = struct.pack(f"<{values.ndim}I", *values.shape)
    level = 0 if code == 3 else 1  # half floats hardly shrink, and would take longer than all else of a record
    return _HEADER.pack(b"KXA1", code, values.ndim, low, high) + shape + zlib.compress(values.tobytes(), level)


SIDE_BY_SIDE = 1 << 18  # bytes of one epoch's maps from which on threads pay; zlib lets go of the interpreter
_INFLATERS = ThreadPoolExecutor(4, "keras_xai unpack")  # they begin when there is something to do


def unpack(blob: bytes) -> NDArray[Any]:
    """The array of a blob: float32, int32 or float16.

    Raises:
        Unreadable: not a blob of ours, or damaged.
    """
    try:
        magic, code, rank, low, high = _HEADER.unpack_from(blob)
        if magic != b"KXA1":
            raise Unreadable(f"expected the bytes KXA1, got {bytes(magic)!r}")
        dtype = _DTYPES[code]
        shape = struct.unpack_from(f"<{rank}I", blob, _HEADER.size)
        size = math.prod(shape) * dtype.itemsize
        inflate = zlib.decompressobj()
        content = inflate.decompress(blob[_HEADER.size + 4 * rank :], size + 1)  # a forged header cannot ask for more
        if len(content) != size:
            raise Unreadable(f"expected {size} bytes for shape {shape}, got {len(content)}")
    except (struct.error, zlib.error, IndexError, OverflowError) as error:
        raise Unreadable(str(error)) from error
    values = np.frombuffer(content, dtype).reshape(shape)
    if code == 1:
        floats = values.astype(np.float32)
        floats *= np.float32((high - low) / 255)
        floats += np.float32(low)
        return floats
    return values


def _json(value: Any) -> bytes:
    """JSON as every reader takes it: NaN is null, an infinity is a string."""

    def plain(v: Any) -> Any:
        if isinstance(v, Mapping):
            return {str(k): plain(x) for k, x in v.items()}
        if isinstance(v, (list, tuple, np.ndarray)):
            return [plain(x) for x in v]
        if isinstance(v, (float, np.floating)):
            return float(v) if math.isfinite(v) else None if math.isnan(v) else str(float(v))
        return v.item() if isinstance(v, np.generic) else v

    return json.dumps(plain(value), ensure_ascii=False).encode()


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _data(
    kind: int, *, names: Sequence[str] = (), options: Mapping[str, Any] | None = None, **fields: Any
) -> PluginData:
    data = PluginData(schema_version=SCHEMA, kind=kind, names=list(map(str, names)), **fields)
    if options:
        data.options = _json(options).decode()
    return data


def masked_crc(data: bytes) -> bytes:
    """The check sum of a record: CRC-32C, rotated and offset, since the CRC of a CRC would be weak."""
    crc = int(google_crc32c.value(data))
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


# Records to values.


def step(record: Record) -> int:
    """The step an event carries: the record's epoch."""
    return 0 if isinstance(record, Probe) else int(record.epoch or 0)


def encode(record: Record) -> Iterator[Value]:
    """A record as the tagged values of one event."""
    if isinstance(record, Epoch):
        body = {k: getattr(record, k) for k in Epoch.__dataclass_fields__ if k != "epoch"}
        yield EPOCH, _data(PluginData.EPOCH), [_json(body)]
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
        body = {k: getattr(record, k) for k in Alert.__dataclass_fields__ if k not in ("epoch", "source")}
        yield ALERT + record.source, _data(PluginData.ALERT, method=record.source), [_json(body)]
    elif isinstance(record, Mappings):
        yield _encode_mappings(record)
    elif isinstance(record, Stop):
        yield STOP + record.part, _data(PluginData.STOP, method=record.part), [_json({"reason": record.reason})]
    elif isinstance(record, Probe):
        yield _encode_probe(record)
    else:
        raise TypeError(f"no wire form for {type(record).__name__}")


def _encode_gradients(record: Gradients) -> Iterator[Value]:
    since = np.full((len(record.names), len(FLAGS)), np.nan)
    for name, kind, epoch in record.flags:
        since[record.names.index(name), FLAGS.index(kind)] = epoch
    columns = [np.stack([record.statistics[s] for s in STATISTICS], 1), since]
    columns += [np.full((len(record.names), 1), record.steps), record.histogram]
    about = {"sizes": list(record.sizes), "thresholds": dict(record.thresholds)}
    data = _data(PluginData.GRADIENTS, names=record.names, bin_edges=record.bin_edges.tolist(), options=about)
    yield GRADIENTS, data, np.concatenate(columns, 1).astype(np.float32)
    if record.missing:
        yield MISSING, _data(PluginData.GRADIENTS_NOTE), [record.missing.encode()]


def _encode_attribution(record: Attribution) -> Iterator[Value]:
    values = record.values
    parts = (
        list(values.values()) if isinstance(values, Mapping) else list(values) if isinstance(values, list) else [values]
    )
    size = len(parts[0])
    blobs = [pack(part[b], eight_bits=record.kind == "image") for b in range(size) for part in parts]
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
    options = {
        "space": record.space,
        "complete": record.completeness_error is not None,
        "r2": record.r2 is not None,
    }
    yield OUTPUTS + record.method, _data(PluginData.OUTPUTS, method=record.method, options=options), table


# The columns of a mappings record that have one number a layer: of its features, then of its decision.
_OF_LAYERS = (
    ("width", "mean", "std", "saturation", "dead", "spread", "participation", "cka_previous", "cka_first")
    + ("scale", "captured"),
    ("readability", "standard_error", "own_decision"),
)
_OF_RESULT = ("accuracy", "confidence_gap", "ece", "ece_floor", "held_out_accuracy")


def _encode_mappings(record: Mappings) -> Value:
    features, decision, result = record.features, record.decision, record.result
    parts = zip((features, decision), _OF_LAYERS, strict=True)
    arrays = {
        "layers": np.stack([np.asarray(getattr(part, c), np.float32) for part, names in parts for c in names], 1),
        "cka_layers": features.cka_layers,
        "coordinates": features.coordinates,
        "read_as": decision.read_as,
        "logits": result.logits,
        "prediction": result.prediction,
        "sure": np.stack([result.confidence, result.certainty], 1),
    }
    if result.columns is not None:
        arrays["columns"] = result.columns
    for key in ("correct", "label", "held_out"):
        if (each := getattr(result, key)) is not None:
            arrays[key] = each.astype(np.int32) if each.dtype == bool else each
    for name, surrogate in decision.surrogates.items():
        arrays[f"surrogate {name}"] = surrogate.coefficients
    body = {
        "arrays": list(arrays),
        "chance": decision.chance,
        **{name: getattr(result, name) for name in _OF_RESULT},
        "surrogates": {
            name: {"agreement": s.agreement, "r2": s.r2, "classes": s.classes}
            for name, s in decision.surrogates.items()
        },
        "flags": record.flags,
        "notes": record.notes,
    }
    about = {
        "target": decision.target,
        "answer": result.answer,
        "classes": result.classes,
        "features": next((s.features for s in decision.surrogates.values()), ()),
        "thresholds": dict(record.thresholds),
    }
    blobs = [_json(body), *map(pack, arrays.values())]
    return MAPPINGS, _data(PluginData.MAPPINGS, names=features.layers, options=about), blobs


def _encode_probe(record: Probe) -> Value:
    numbers = record.x is not None and all(part.dtype.kind in "fiub" for part in record.inputs)
    stored = numbers and record.store == "inputs"  # strings have no map
    blobs = []
    if stored:
        parts = record.inputs
        blobs = [pack(part[b], eight_bits=record.kind == "image") for b in range(record.size) for part in parts]
    return PROBE, _data(PluginData.PROBE, names=record.feature_names or (), options=record.description()), blobs


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
        blobs = data.kind in (PluginData.PROBE, PluginData.ATTRIBUTION, PluginData.MAPPINGS)
        summary.metadata.data_class = summary_pb2.DATA_CLASS_BLOB_SEQUENCE if blobs else summary_pb2.DATA_CLASS_TENSOR
        summary.metadata.plugin_data.plugin_name = PLUGIN
        summary.metadata.plugin_data.content = data.SerializeToString()
    return summary


# Values to records.


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
    try:
        found = json.loads(data.options or "{}")
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if not isinstance(found, dict):
        raise Unreadable("options are not an object")
    return found


def _body(content: Any) -> dict[str, Any]:
    try:
        body = json.loads(bytes(content[0]))
    except (ValueError, IndexError, TypeError) as error:
        raise Unreadable(str(error)) from error
    if not isinstance(body, dict):
        raise Unreadable("expected a JSON object")
    return body


def decode_epoch(epoch: int, content: Any) -> Epoch:
    body = _body(content)
    try:
        return Epoch(
            epoch=epoch,
            wall_time=_number(body["wall_time"]),
            seconds=_number(body["seconds"]),
            cost_seconds=_number(body["cost_seconds"]),
            learning_rate=_number(body["learning_rate"]),
            logs={k: _number(v) for k, v in body["logs"].items()},
            costs={k: _number(v) for k, v in body.get("costs", {}).items()},
            notes=tuple(map(str, body.get("notes", ()))),
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise Unreadable(f"epoch {epoch}: {error!r}") from error


def decode_alert(epoch: int, data: PluginData, content: Any) -> Alert:
    body = _body(content)
    try:
        return Alert(
            epoch=epoch,
            source=data.method,
            verdict=body["verdict"],
            learning_rate_rising=bool(body["learning_rate_rising"]),
            features=tuple((str(n), _number(b), _number(a), int(d), _number(z)) for n, b, a, d, z in body["features"]),
            score=_number(body.get("score")),
            limit=_number(body.get("limit")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"alert at epoch {epoch}: {error!r}") from error


def decode_stop(epoch: int, data: PluginData, content: Any) -> Stop:
    body = _body(content)
    if not isinstance(body.get("reason"), str):
        raise Unreadable(f"stop at epoch {epoch}: expected a reason in words")
    return Stop(epoch, data.method, body["reason"])


def decode_gradients(epoch: int, data: PluginData, table: NDArray[Any], missing: str = "") -> Gradients:
    names, edges = tuple(data.names), np.asarray(data.bin_edges, np.float32)
    bins, s, f = max(0, len(edges) - 1), len(STATISTICS), len(FLAGS)
    _expect(table, (len(names), s + f + 1 + bins))
    since, about = table[:, s : s + f], options(data)
    try:
        sizes = tuple(int(n) for n in about.get("sizes", ()))
        thresholds = {str(k): _number(v) for k, v in about.get("thresholds", {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise Unreadable(f"gradients: {error!r}") from error
    flags = ((names[v], FLAGS[k], int(since[v, k])) for v, k in np.argwhere(np.isfinite(since)))
    return Gradients(
        epoch=epoch,
        names=names,
        statistics={name: table[:, k] for k, name in enumerate(STATISTICS)},
        histogram=table[:, s + f + 1 :],
        bin_edges=edges,
        steps=int(table[0, s + f]) if len(names) else 0,
        flags=tuple(flags),
        missing=missing,
        sizes=sizes,
        thresholds=thresholds,
    )


def decode_shares(epoch: int, data: PluginData, table: NDArray[Any]) -> Shares:
    _expect(table, (len(data.names) + 2, 2))
    about, digest = options(data), table[-1]
    return Shares(
        epoch=epoch,
        source=data.method,
        names=tuple(data.names),
        share=table[:-2, 0],
        score=float(table[-2, 0]),
        limit=data.limit,
        direction=table[:-2, 1].astype(np.int8),
        burn_in=_whole(about.get("burn_in", 8)),
        method=str(about.get("attribution", "")),
        digest=(int(digest[0]), int(digest[1])) if np.isfinite(digest).all() else None,
    )


def decode_mappings(epoch: int, data: PluginData, blobs: Sequence[bytes]) -> Mappings:
    body, about, layers = _body(blobs), options(data), tuple(data.names)
    try:
        arrays = {str(name): unpack(bytes(b)) for name, b in zip(body["arrays"], blobs[1:], strict=True)}
        return _mappings(epoch, layers, arrays, body, about)
    except (KeyError, AttributeError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise Unreadable(f"mappings at epoch {epoch}: {error!r}") from error


def _mappings(
    epoch: int, layers: tuple[str, ...], arrays: dict[str, Any], body: dict[str, Any], about: dict[str, Any]
) -> Mappings:
    of_features, of_decision = _OF_LAYERS
    table, size = arrays["layers"], len(arrays["sure"])
    _expect(table, (len(layers), len(of_features) + len(of_decision)))
    _expect(arrays["cka_layers"], (len(layers), len(layers)))
    column = dict(zip((*of_features, *of_decision), table.T, strict=True))
    coordinates, read_as = arrays["coordinates"], arrays["read_as"]
    if coordinates.shape[:2] != (len(layers), size) or coordinates.ndim != 3 or read_as.shape != (len(layers), size):
        raise Unreadable(f"coordinates {coordinates.shape} of {len(layers)} layers and {size} samples")
    if any(len(arrays[name]) != size for name in ("logits", "prediction")):
        raise Unreadable(f"expected {size} samples")
    surrogates = {
        str(name): Surrogate(
            features=tuple(map(str, about["features"])),
            classes=tuple(map(int, told["classes"])),
            coefficients=arrays[f"surrogate {name}"],
            agreement=_number(told["agreement"]),
            r2=_number(told["r2"]),
        )
        for name, told in body["surrogates"].items()
    }
    return Mappings(
        epoch=epoch,
        features=Features(
            layers,
            **{name: column[name] for name in of_features} | {"width": column["width"].astype(np.int64)},
            cka_layers=arrays["cka_layers"],
            coordinates=coordinates,
        ),
        decision=Decision(
            target=about["target"],
            **{name: column[name] for name in of_decision},
            chance=_number(body["chance"]),
            read_as=read_as,
            surrogates=surrogates,
        ),
        result=Result(
            answer=about["answer"],
            classes=_whole(about["classes"]),
            logits=arrays["logits"],
            prediction=arrays["prediction"],
            confidence=arrays["sure"][:, 0],
            certainty=arrays["sure"][:, 1],
            columns=arrays.get("columns"),
            label=arrays.get("label"),
            correct=arrays["correct"].astype(bool) if "correct" in arrays else None,
            held_out=arrays["held_out"].astype(bool) if "held_out" in arrays else None,
            **{name: _number(body[name]) for name in _OF_RESULT},
        ),
        flags=_flags(body["flags"]),
        notes=_flags(body["notes"]),
        thresholds={str(k): _number(v) for k, v in about["thresholds"].items()},
    )


def _flags(told: Any) -> tuple[tuple[str, str, int], ...]:
    return tuple((str(name), str(kind), int(since)) for name, kind, since in told)


def decode_values(data: PluginData, blobs: Sequence[bytes]) -> Any:
    """The maps of one epoch: an array, or a list or dict of arrays where the model takes several inputs."""
    inputs = options(data).get("inputs", 1)
    count = len(inputs) if isinstance(inputs, list) else int(inputs)
    if count < 1 or len(blobs) % count:
        raise Unreadable(f"{len(blobs)} maps for {count} inputs")
    large = sum(map(len, blobs)) > SIDE_BY_SIDE
    maps = list((_INFLATERS.map if large else map)(unpack, map(bytes, blobs)))
    try:
        parts = [np.stack(maps[k::count]) if maps else np.zeros((0,), np.float32) for k in range(count)]
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if isinstance(inputs, list):
        return dict(zip(inputs, parts, strict=True))
    return parts if count > 1 else parts[0]


def decode_probe(data: PluginData, blobs: Sequence[bytes]) -> Probe:
    description = options(data)
    values = (
        decode_values(_data(PluginData.PROBE, options={"inputs": description.get("inputs", 1)}), blobs)
        if blobs
        else None
    )
    try:
        return Probe.from_description(values, tuple(data.names) or None, description)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"probe: {error!r}") from error


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise Unreadable(f"expected a whole number, got {value!r}")
    return value


def _expect(table: NDArray[Any], shape: tuple[int, ...]) -> None:
    if not isinstance(table, np.ndarray) or table.shape != shape or not np.issubdtype(table.dtype, np.floating):
        raise Unreadable(f"expected numbers of shape {shape}, got {getattr(table, 'shape', type(table).__name__)}")
