"""Runs of every kind of record, written whole or with values forged, their check sums right; and all that reads them."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2

from keras_xai.analysis.attributions import arrays_of, thumbnails
from keras_xai.analysis.clusters import clusters_of_class
from keras_xai.analysis.gradients import gradient_health
from keras_xai.analysis.overview import summary
from keras_xai.figures import FIGURES, PANELS, Look, options_of
from keras_xai.figures.options import accepted
from keras_xai.judgement import judge
from keras_xai.plugin import payload
from keras_xai.plugin.framing import dumps
from keras_xai.plugin.prediction_payload import predictions
from keras_xai.probe import Probe
from keras_xai.records import STATISTICS, Alert, Attribution, Carrier, Epoch, FeatureMove, Gradients, Reliance, Shares
from keras_xai.run import Run
from keras_xai.summary import codec
from keras_xai.summary.arrays import pack, unpack
from keras_xai.summary.event_files import framed
from keras_xai.summary.metadata import encode, step, value
from keras_xai.summary.plugin_data_pb2 import PluginData
from tests.mapping.mapping_records import mappings_of
from tests.summary.prediction_records import predictions_of_kind
from tests.summary.slice_records import slices_of

EPOCHS = 5
VARIABLES = ("model/dense/kernel", "model/dense/bias", "model/head/kernel")
KINDS = ("table", "image", "segments", "groups", "tokens", "series", "several", "columns", "unstored", "numbers")
LABELS = np.array([0, 1, 2, 0])


@dataclasses.dataclass
class Value:
    """One tagged value of an event, before it is written."""

    step: int
    tag: str
    data: PluginData
    content: Any
    plain: Callable[[Any], None] = lambda tensor: None  # what is done to the protocol buffer at the end


# Whole runs.


def probe_of(kind: str) -> Probe:
    """Four samples."""
    r = np.random.default_rng(0)
    images, rows = r.random((4, 6, 5, 1), "f4"), r.random((4, 3), "f4")
    builders: dict[str, Callable[[], Probe]] = {
        "table": lambda: Probe(rows, LABELS, feature_names=["a", "b", "c"], class_names=["x", "y", "z"]),
        "image": lambda: Probe(images, LABELS, class_names=["x", "y", "z"]),
        "segments": lambda: Probe(images, LABELS, groups=r.integers(0, 3, (6, 5))),
        "groups": lambda: Probe(rows, LABELS, groups={"g": [0, 1], "h": [2]}),
        "tokens": lambda: Probe(r.integers(0, 3, (4, 5)), LABELS, kind="tokens", vocabulary=["", "good", "bad"]),
        "series": lambda: Probe(r.random((4, 7, 2), "f4"), LABELS, kind="series"),
        "several": lambda: Probe({"picture": images, "row": rows}, LABELS),
        "columns": lambda: Probe({"a": rows[:, 0], "b": rows[:, 1:2], "c": np.array(list("xyxz"), object)}, LABELS),
        "unstored": lambda: Probe(rows, LABELS, store="none"),
        "numbers": lambda: Probe(rows, rows[:, 0]),
    }
    return builders[kind]()


def epoch_of(epoch: int, probe: Probe, kind: str) -> Iterator[Any]:
    """Every record that a training could write at an epoch; quiet, and long enough to be watched."""
    r = np.random.default_rng(epoch)
    image = probe.kind == "image"
    maps = [r.normal(size=a.shape[:-1] if image and a.ndim == 4 else a.shape).astype("f4") for a in probe.inputs]
    values = dict(zip(probe.x, maps, strict=True)) if isinstance(probe.x, dict) else maps[0]
    columns, space = (1, "raw") if kind == "numbers" else (3, "logit")
    statistics = {name: r.random(3).astype("f4") for name in STATISTICS}
    edges = 2.0 ** np.arange(-3, 2, dtype="f4")
    yield Gradients(epoch, VARIABLES, statistics, r.integers(0, 9, (3, 4)).astype("f4"), edges, 3, sizes=(8, 2, 4))
    for method, more in (("saliency", None), ("lime", r.random(4).astype("f4"))):
        score, outputs = r.random(4).astype("f4"), r.random((4, columns)).astype("f4")
        yield Attribution(
            method, values, LABELS, score, more, LABELS, more, space, outputs, epoch, probe.kind, r2=more
        )  # fmt: skip
    count = len(probe.features)
    for source in ("clean", "live", "data"):
        score = 1.0 if epoch > 2 else float("nan")
        yield Shares(epoch, source, probe.features, np.full(count, 1 / count, "f4"), score, 6.0, None, 2, "saliency")
    shares = [np.linspace(-0.2, 0.4, count), np.linspace(0.1, 0.2, count)]
    unsigned = np.full(count, 1 / count)
    yield Reliance(
        epoch,
        probe.features,
        np.arange(count),
        np.ones(count),
        shares[0] - shares[1],
        *shares,
        *[unsigned] * 4,
        2,
        8,
        4,
    )
    yield mappings_of(epoch, 6)
    yield slices_of(epoch)
    yield predictions_of(epoch, kind)
    logs = {"loss": 1 / (1 + epoch), "val_accuracy": 0.5}
    yield Epoch(epoch, 1.7e9 + epoch, 1.0, 0.1, 1e-3, logs, {"importance_drift": 0.1}, ("a note",) if epoch else ())


def predictions_of(epoch: int, kind: str) -> Any:
    """Predictions of every kind of output, of one kind of probe each: with rows, and with counts alone."""
    outputs = {"numbers": "number", "groups": "labels", "several": "sigmoid", "series": "numbers"}
    return predictions_of_kind(outputs.get(kind, "softmax"), epoch, store="none" if kind == "unstored" else "inputs")


def values_of(kind: str = "table", *, alert: bool = False) -> list[Value]:
    """A run as the values of its events, in the order in which they are written."""
    probe = probe_of(kind)
    records: list[Any] = [probe]
    for epoch in range(EPOCHS):
        records += epoch_of(epoch, probe, kind)
    if alert:
        moved = (FeatureMove(probe.features[0], 0.1, 0.5, 1, 9.0),)
        records += [Alert(3, source, verdict, False, moved, 9.0, 6.0) for source, verdict in ALERTS.items()]
        rows = (Carrier(probe.features[0], 7, 1.0, 0.5, 2.0),)
        for source, verdict in (("gap", "training-only shortcut"), ("gap", "rows differ"), ("rule", "rule broken")):
            records.append(Alert(2, source, verdict, False, moved, 9.0, 4.25, rows=rows, sentence="so it is"))
    return [Value(step(r), tag, data, content) for r in records for tag, data, content in encode(r)]


ALERTS = {"clean": "reliance moved", "live": "reliance moved", "data": "data changed"}


def write(directory: Path, values: Iterable[Value]) -> Path:
    """An event file of the values, each in an event of its own; the constants travel with the first of a tag."""
    start = event_pb2.Event(wall_time=1.7e9, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    tags: set[str] = set()  # whose constants are written
    frames = [framed(start.SerializeToString())]
    for entry in values:
        encoded = value(entry.tag, entry.data, entry.content, first=entry.tag not in tags)
        entry.plain(encoded.tensor)
        tags.add(entry.tag)
        wall_time = 1.7e9 + max(0, min(entry.step, 10**6))
        event = event_pb2.Event(wall_time=wall_time, step=entry.step, summary=summary_pb2.Summary(value=[encoded]))
        frames.append(framed(event.SerializeToString()))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "events.out.tfevents.1700000000.host.1"
    path.write_bytes(b"".join(frames))
    return path


# Changes of one value.

Change = Callable[[Value], None]


def at(number: int) -> Change:
    """Another step."""

    def change(entry: Value) -> None:
        entry.step = number

    return change


def about(**entries: Any) -> Change:
    """Entries of the tag's options; `...` takes one away."""

    def change(entry: Value) -> None:
        entry.data = PluginData.FromString(entry.data.SerializeToString())
        entry.data.options = text_of({**json.loads(entry.data.options or "{}"), **entries})

    return change


def constants(**fields: Any) -> Change:
    """Fields of the tag's constants."""

    def change(entry: Value) -> None:
        entry.data = PluginData.FromString(entry.data.SerializeToString())
        for name, content in fields.items():
            if isinstance(content, list):
                entry.data.ClearField(name)
                getattr(entry.data, name).extend(content)
            else:
                setattr(entry.data, name, content)

    return change


def body(**entries: Any) -> Change:
    """Entries of the JSON object that a value is, or begins with; `...` takes one away."""

    def change(entry: Value) -> None:
        entry.content = [text_of({**json.loads(entry.content[0]), **entries}).encode(), *entry.content[1:]]

    return change


def text_of(entries: dict[str, Any]) -> str:
    return json.dumps({name: content for name, content in entries.items() if content is not ...})


def content(new: Any) -> Change:
    """Something else altogether."""

    def change(entry: Value) -> None:
        entry.content = new

    return change


def table(edit: Callable[[Any], Any]) -> Change:
    """Other numbers: `edit` changes a copy of them, or returns others."""

    def change(entry: Value) -> None:
        numbers = np.array(entry.content)
        edited = edit(numbers)
        entry.content = np.asarray(numbers if edited is None else edited, "f4")

    return change


def maps(edit: Callable[[Any], Any], at: int = 0) -> Change:
    """Another array in one blob."""

    def change(entry: Value) -> None:
        entry.content = [pack(edit(unpack(blob))) if k == at else blob for k, blob in enumerate(entry.content)]

    return change


def array(name: str, edit: Callable[[Any], Any]) -> Change:
    """Another array under a name in a record of mappings."""

    def change(entry: Value) -> None:
        place = 1 + json.loads(entry.content[0])["arrays"].index(name)
        maps(edit, place)(entry)

    return change


def tensor(**fields: Any) -> Change:
    """Fields of the protocol buffer, which are set as they are: `dims` are the sides of its shape."""

    def change(entry: Value) -> None:
        def plain(tensor: Any) -> None:
            for k, side in enumerate(fields.get("dims", ())):
                tensor.tensor_shape.dim[k].size = side
            if "dtype" in fields:
                tensor.dtype = fields["dtype"]
            if "float_val" in fields:
                tensor.tensor_content = b""
                tensor.float_val.extend(fields["float_val"])

        entry.plain = plain

    return change


def raw(code: int, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0, behind: bytes = b"") -> bytes:
    """A blob whose head says anything."""
    head = struct.pack("<4sBBxxff", b"KXA1", code, len(shape), low, high)
    return head + struct.pack(f"<{len(shape)}I", *shape) + behind


# What stands in no file of ours, for any entry of an object and any number of a table.
NASTY: list[Any] = [
    *(None, True, False, 0, -1, 7, 2**31, 2**63, 10**30, 10**400, 0.5, 1e308, -1e308, float("nan"), "inf", "-inf"),
    *("", "x", "\x00", "\ud800", "\x1b[2J\n::error::", "label", "value", "raw", "image", "tokens", "live", "9" * 5000),
    *([], {}, [[]], [1, 2, 3], ["a", "a"], {"a": 1}, [[1, 2], [3]], [None], list(range(50))),
]
NUMBERS = (0, 1, -1, 2, -5, 0.5, 1e-30, 1e30, 3e38, -3e38, np.nan, np.inf, -np.inf, 300, 2**24, 2**31)
STEPS = (-1, 0, 1, 3, 7, 10**6, 10**9 - 1, 10**9, 2**53, 2**62, -(2**62))


def disturbed(tree: Any, chance: random.Random) -> Any:
    """A JSON value with one change somewhere in it."""
    if isinstance(tree, dict) and tree and chance.random() < 0.85:
        name, draw = chance.choice([*tree]), chance.random()
        if draw < 0.1:
            return {key: entry for key, entry in tree.items() if key != name}
        return {**tree, name if draw < 0.95 else "\ud800": disturbed(tree[name], chance)}
    if isinstance(tree, list) and tree and chance.random() < 0.7:
        place, draw = chance.randrange(len(tree)), chance.random()
        if draw < 0.3:
            return tree[:place] if draw < 0.15 else [*tree, tree[place]]
        return [*tree[:place], disturbed(tree[place], chance), *tree[place + 1 :]]
    return chance.choice(NASTY)


def shaken(numbers: Any, chance: random.Random) -> Any:
    """An array with other numbers, or of another shape."""
    numbers, draw = np.array(numbers), chance.random()
    if draw < 0.6 and numbers.size:
        numbers.flat[chance.randrange(numbers.size)] = np.float64(chance.choice(NUMBERS)).astype(numbers.dtype)
        return numbers
    if draw < 0.8 and numbers.ndim:
        side = chance.randrange(numbers.ndim)
        return np.concatenate([numbers] * 2, side) if draw < 0.7 else np.delete(numbers, slice(0, 1), side)
    return chance.choice(
        [numbers.ravel(), numbers[None], numbers.T, np.atleast_1d(numbers)[..., :0], np.full_like(numbers, 7)]
    )


def forge(entry: Value, chance: random.Random) -> None:
    """Change something of a value: its step, its constants, what it holds."""
    kind = chance.random()
    if kind < 0.1:
        at(chance.choice(STEPS))(entry)
    elif kind < 0.35 and entry.data.options:
        constants(options=json.dumps(disturbed(json.loads(entry.data.options), chance)))(entry)
    elif kind < 0.45:
        names = [*entry.data.names]
        constants(names=chance.choice([[], names[:-1], names + names[:1], ["\x1b[2J", *names[1:]]]))(entry)
    elif not isinstance(entry.content, list):
        entry.content = shaken(entry.content, chance).astype("f4")
    elif entry.content:
        place = chance.randrange(len(entry.content))
        blob = entry.content[place]
        if blob.startswith(b"{"):
            blob = json.dumps(disturbed(json.loads(blob), chance)).encode()
        elif blob.startswith(b"KXA1"):
            blob = pack(shaken(unpack(blob), chance), eight_bits=chance.random() < 0.1)
        entry.content = [*entry.content[:place], blob, *entry.content[place + 1 :]]


# All that reads a run.


def read(run: Run) -> dict[str, str]:
    """Everything that a run says; what was passed over of it, by tag."""
    whole = (run.epochs, run.history, run.probe, run.weight_gradients, run.flags, run.alerts, run.mappings)
    assert all(len(record.accuracy) == len(record.values) for record in run.slices)
    more = (run.importance, run.importance_live, run.data_score, run.samples, run.constants, repr(run), run.gap)
    methods = [(run.outputs(m), run.attributions(m), run.attribution_updates(m)) for m in run.methods]
    assert (len(whole), len(more), len(methods)) == (7, 7, len(run.methods))
    assert run.probe is None or len(run.probe.features) == run.probe.feature_count
    confusions = [record.result.confusion for record in run.mappings]
    assert len(confusions) == len(run.mappings)
    assert run.predictions is None or len(run.predictions.loss) == len(run.predictions.updates)
    "".join(map(str, run.alerts)).encode()
    return run.passed_over


def everything(name: str, run: Run) -> dict[str, str]:
    """Read, draw, judge and serve all of a run; what was passed over of it, by tag."""
    read(run)
    for method in run.methods:
        payload.outputs(run, method)
        for record in run.attributions(method)[:2]:
            payload.attribution(record, 2)
            clusters_of_class(run, record, 0)
            [thumbnails(part) for part in arrays_of(record) if part.ndim == 3]
    for draw in FIGURES.values():
        at = {"epoch": 2} if "epoch" in options_of(draw) else {}
        dumps(draw(run, **at)).encode()
    for panel in PANELS.values():
        dumps(
            panel(run, Look(), **accepted(panel, {"epoch": 2, "sample": 1, "by": "layers", "method": "lime"}))
        ).encode()
    answers = [
        payload.card(name, run),
        payload.whole(name, run),
        dataclasses.asdict(summary(run, 2)),
        gradient_health(run),
    ]
    dumps(answers).encode()
    if run.probe is not None:
        payload.inputs(run.probe)
    payload.mapping(run)
    predictions(run, 2)
    assert judge(run).status in (0, 1, 2)
    return run.passed_over


TAGS = {
    "probe": codec.probe.TAG,
    "epoch": codec.epoch.TAG,
    "gradients": codec.gradients.TAG,
    "maps": codec.attribution.TAG + "saliency",
    "outputs": codec.attribution.TAG_OF_OUTPUTS + "saliency",
    "shares": codec.importance.TAG + "clean",
    "moves": codec.importance.TAG + "data",
    "alert": codec.alert.TAG + "clean",
    "gap": codec.alert.TAG + "gap",
    "rows differ": codec.alert.TAG + "gap/rows_differ",
    "rule": codec.alert.TAG + "rule",
    "reliance": codec.reliance.TAG,
    "mappings": codec.mappings.TAG,
    "predictions": codec.predictions.TAG,
    "slices": codec.slices.ACCURACY,
    "slice importance": codec.slices.IMPORTANCE,
    "slice gaps": codec.slices.GAPS,
    "slice readout": codec.slices.READOUT,
}
