"""Records out of event files, or out of TensorBoard's data provider: one face for both, no framework needed."""

from __future__ import annotations

import functools
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2, types_pb2
from tensorboard.util import tensor_util

from keras_xai.probe import Probe
from keras_xai.records import (
    Alert,
    Attribution,
    Epoch,
    Gradients,
    Importance,
    Mappings,
    Note,
    Outputs,
    Samples,
    Shares,
    Stop,
    missing_epochs,
)
from keras_xai.summary import metadata
from keras_xai.summary.metadata import PLUGIN, Unreadable, masked_crc

EVERYTHING = 1_000_000_000  # `downsample` is mandatory on reads; the hint TensorBoard offers would lose epochs
T = TypeVar("T")


@dataclass
class Series:
    """What one tag says: its constants, and a content for each step."""

    content: bytes
    steps: list[int] = field(default_factory=list)
    read: list[Callable[[], Any]] = field(default_factory=list)  # an array, or a list of bytes


class Store(Protocol):
    """Where the series of one run come from."""

    def series(self) -> dict[str, Series]:
        """By tag."""


class FileStore:
    """The event files of one directory, what is whole of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def series(self) -> dict[str, Series]:
        found: dict[str, Series] = {}
        here = self.directory.iterdir() if self.directory.is_dir() else ()
        paths = sorted(p for p in here if "tfevents" in p.name and p.is_file())  # to open a pipe would wait for ever
        damage: list[str] = []
        for path in paths:
            for event in _events(path, damage):
                if event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START:
                    _purge(found, event.step)
                for value in event.summary.value if event.HasField("summary") else ():
                    plugin = value.metadata.plugin_data
                    if value.tag not in found:
                        if plugin.plugin_name != PLUGIN:
                            continue
                        found[value.tag] = Series(plugin.content)
                    series = found[value.tag]
                    series.steps.append(int(event.step))
                    series.read.append(functools.partial(_tensor, value.tensor))
        if damage:
            warnings.warn(f"{self.directory}: {'; '.join(damage)}", stacklevel=2)
        return found


class ProviderStore:
    """One run of TensorBoard's data provider; nothing is read before it is asked for."""

    # More threads only wait for each other; these begin when there is something to do.
    _pool = ThreadPoolExecutor(4, "keras_xai")

    def __init__(self, provider: Any, context: Any, experiment_id: str, run: str) -> None:
        self._provider, self._context, self._experiment, self._run = provider, context, experiment_id, run

    def series(self) -> dict[str, Series]:
        ask = {"ctx": self._context, "experiment_id": self._experiment, "plugin_name": PLUGIN}
        here = {"run_tag_filter": _filter(self._run)}
        found: dict[str, Series] = {}
        tensors = self._provider.list_tensors(**ask, **here).get(self._run, {})
        for tag, summary in tensors.items():
            # One read a tag brings every step at once.
            data = functools.cache(functools.partial(self._read_tensors, tag))
            found[tag] = _Lazy(summary.plugin_content, data)
        blobs = self._provider.list_blob_sequences(**ask, **here).get(self._run, {})
        for tag, summary in blobs.items():
            sequences = functools.cache(functools.partial(self._read_blobs, tag))
            found[tag] = _Lazy(summary.plugin_content, sequences)
        return found

    def _read_tensors(self, tag: str) -> list[tuple[int, Callable[[], Any]]]:
        try:
            rows = self._provider.read_tensors(
                self._context,
                experiment_id=self._experiment,
                plugin_name=PLUGIN,
                downsample=EVERYTHING,
                run_tag_filter=_filter(self._run, tag),
            )
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # A damaged tensor that the data server passed on; TensorBoard decodes all of a tag or nothing.
            warnings.warn(f"{tag} is passed over: {error}", stacklevel=2)
            return []
        return [(int(d.step), functools.partial(_plain, d.numpy)) for d in rows.get(self._run, {}).get(tag, ())]

    def _read_blobs(self, tag: str) -> list[tuple[int, Callable[[], Any]]]:
        rows = self._provider.read_blob_sequences(
            self._context,
            experiment_id=self._experiment,
            plugin_name=PLUGIN,
            downsample=EVERYTHING,
            run_tag_filter=_filter(self._run, tag),
        )
        sequences = rows.get(self._run, {}).get(tag, ())
        return [(int(d.step), functools.partial(self._fetch, [v.blob_key for v in d.values])) for d in sequences]

    def _fetch(self, keys: Sequence[str]) -> list[bytes]:
        # Side by side: one call a blob, and TensorBoard's fast loader is another process.
        return list(self._pool.map(lambda key: bytes(self._provider.read_blob(self._context, blob_key=key)), keys))


class _Lazy(Series):
    """A series whose steps are read on first use."""

    def __init__(self, content: bytes, rows: Callable[[], list[tuple[int, Callable[[], Any]]]]) -> None:
        self.content = content
        self._rows = rows

    @property
    def steps(self) -> list[int]:  # type: ignore[override]
        return [step for step, _ in self._rows()]

    @property
    def read(self) -> list[Callable[[], Any]]:  # type: ignore[override]
        return [read for _, read in self._rows()]


def display_name(run: str) -> str:
    """The user's name of a run directory: "run1/keras_xai" is "run1", "keras_xai" is ".", later runs keep their own."""
    parts = [p for p in re.split(r"[/\\]", run) if p not in ("", ".")]
    if parts and parts[-1] == PLUGIN:
        parts = parts[:-1]
    return "/".join(parts) or "."


class Log:
    """The records of one run, decoded when asked for and kept.

    A value that is foreign, damaged or from a newer version is passed over with one warning; what is whole is read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limit: float = math.inf

    def before(self, epoch: int) -> Log:
        """The same run, up to but without `epoch`."""
        log = type(self)(self._store)
        log._limit = epoch
        return log

    @functools.cached_property
    def _series(self) -> dict[str, Series]:
        return self._store.series()

    @functools.cached_property
    def epochs(self) -> list[int]:
        """The epochs that were written, sorted."""
        return sorted({record.epoch for record in self.history})

    @functools.cached_property
    def history(self) -> list[Epoch]:
        """One `Epoch` an epoch."""
        return self._decoded(metadata.EPOCH, lambda step, _, content: metadata.decode_epoch(step, content))

    @functools.cached_property
    def probe(self) -> Probe | None:
        """The samples of the gallery with their labels and names, None where none were written."""
        found = self._decoded(metadata.PROBE, lambda _, data, content: metadata.decode_probe(data, content))
        return found[-1] if found else None

    @functools.cached_property
    def weight_gradients(self) -> list[Gradients]:
        """One `Gradients` a scheduled epoch."""
        missing = dict(
            self._decoded(metadata.MISSING, lambda step, _, content: (step, bytes(content[0]).decode(errors="replace")))
        )
        return self._decoded(
            metadata.GRADIENTS,
            lambda step, data, table: metadata.decode_gradients(step, data, table, missing.get(step, "")),
        )

    @functools.cached_property
    def alerts(self) -> list[Alert]:
        """In order of their epochs; at the same epoch the live rows speak first: a cause before its effect."""
        found: list[Alert] = []
        for source in ("data", "live", "clean"):
            found += self._decoded(metadata.ALERT + source, metadata.decode_alert)
        return sorted(found, key=lambda alert: alert.epoch)

    @functools.cached_property
    def stops(self) -> list[Stop]:
        """The parts of the watch that ended before the training did, in the order of their epochs."""
        tags = sorted(tag for tag in self._series if tag.startswith(metadata.STOP))
        stops = [stop for tag in tags for stop in self._decoded(tag, metadata.decode_stop)]
        return sorted(stops, key=lambda stop: stop.epoch)

    @functools.cached_property
    def missing_epochs(self) -> list[int]:
        """The epochs between the first and the last that were not recorded."""
        return missing_epochs(self.epochs)

    @functools.cached_property
    def notes(self) -> list[Note]:
        """What the parts of the watch had to say in words, why one stopped among them; in the order of their epochs."""
        said = [Note(record.epoch, text) for record in self.history for text in record.notes]
        said += [Note(stop.epoch, stop.reason, stop.part, stopped=True) for stop in self.stops]
        return sorted(said, key=lambda note: note.epoch)

    def shares(self, source: str) -> list[Shares]:
        """The updates of one source: "clean", "live" or "data"."""
        return self._decoded(metadata.IMPORTANCE + source, metadata.decode_shares)

    @functools.cached_property
    def importance(self) -> Importance | None:
        """Of the fixed probe, over epochs."""
        return _stacked(self.shares("clean"))

    @functools.cached_property
    def importance_live(self) -> Importance | None:
        """Of the live rows, over epochs."""
        return _stacked(self.shares("live"))

    @functools.cached_property
    def data_score(self) -> Importance | None:
        """How the live rows themselves moved, over epochs."""
        return _stacked(self.shares("data"))

    @functools.cached_property
    def mappings(self) -> list[Mappings]:
        """One `Mappings` a scheduled epoch: data → features → decision → result."""
        return self._decoded(metadata.MAPPINGS, metadata.decode_mappings)

    @functools.cached_property
    def samples(self) -> Samples | None:
        """What became of each probe sample over those epochs; None where nothing was recorded."""
        return Samples.of(self.mappings)

    @functools.cached_property
    def methods(self) -> tuple[str, ...]:
        """The attribution methods that were written, in the order of their tags."""
        return tuple(
            sorted(t.removeprefix(metadata.ATTRIBUTIONS) for t in self._series if t.startswith(metadata.ATTRIBUTIONS))
        )

    def outputs(self, method: str) -> Outputs | None:
        """Targets, predictions, scores and outputs of the gallery over epochs; reads no map."""
        tag = metadata.OUTPUTS + method
        rows = self._decoded(tag, lambda step, data, table: (step, _table(table), metadata.options(data)))
        if not rows:
            return None
        about, height = rows[-1][2], rows[-1][1].shape[0]
        rows = [row for row in rows if row[1].shape[0] == height]
        width = min(table.shape[1] for _, table, _ in rows)
        cube = np.stack([table[:, :width] for _, table, _ in rows])
        fits = bool(about.get("r2")) and width > 5
        return Outputs(
            method=method,
            epochs=np.asarray([step for step, *_ in rows]),
            target=np.clip(np.nan_to_num(cube[:, :, 0]), -1, 2**31).astype(np.int64),
            prediction=cube[:, :, 1],
            score=cube[:, :, 2],
            baseline_score=cube[:, :, 3],
            completeness_error=cube[:, :, 4] if about.get("complete") else None,
            outputs=cube[:, :, 5:-1] if fits else cube[:, :, 5:],
            space=about.get("space", "raw"),
            r2=cube[:, :, -1] if fits else None,
        )

    def attribution_epochs(self, method: str) -> list[int]:
        """The epochs at which a method was written."""
        series = self._series.get(metadata.ATTRIBUTIONS + method)
        return sorted({s for s in series.steps if s < self._limit}) if series else []

    def attribution(self, method: str, epoch: int) -> Attribution | None:
        """One method at one epoch; reads only that epoch's maps. Images are (B, H, W), their signed channel sum."""
        found = self._attributions(method, lambda step: step == epoch)
        return found[-1] if found else None

    def attributions(self, method: str) -> list[Attribution]:
        """One method at every epoch."""
        return self._attributions(method, lambda step: True)

    def _attributions(self, method: str, wanted: Callable[[int], bool]) -> list[Attribution]:
        tag, table = metadata.ATTRIBUTIONS + method, self.outputs(method)
        maps = self._decoded(tag, lambda step, data, blobs: (step, metadata.decode_values(data, blobs)), wanted)
        rows = {} if table is None else {int(e): k for k, e in enumerate(table.epochs)}
        found = []
        for step, values in maps:
            if table is None or step not in rows:
                continue
            k = rows[step]
            baseline = table.baseline_score[k]
            classes = np.clip(np.nan_to_num(np.round(table.prediction[k])), -1, 2**31)
            whole = bool(np.equal(table.prediction[k], classes).all()) and table.space != "raw"
            found.append(
                Attribution(
                    method=method,
                    values=values,
                    target=table.target[k],
                    score=table.score[k],
                    baseline_score=None if np.isnan(baseline).all() else baseline,
                    prediction=table.prediction[k].astype(np.int64) if whole else table.prediction[k],
                    completeness_error=None if table.completeness_error is None else table.completeness_error[k],
                    space=table.space,
                    outputs=table.outputs[k],
                    epoch=step,
                    kind="" if self.probe is None else self.probe.kind,
                    r2=None if table.r2 is None else table.r2[k],
                )
            )
        return found

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """What must not change for the run to be continued, by the name a user would give it."""
        found: dict[str, Any] = {}
        if self.probe is not None:
            found["probe"] = self.probe.hash
        for tag, name in (
            (metadata.GRADIENTS, "variables"),
            (metadata.IMPORTANCE + "clean", "features"),
            (metadata.MAPPINGS, "layers"),
        ):
            if tag in self._series:
                try:
                    found[name] = tuple(metadata.constants(self._series[tag].content).names)
                except Unreadable:
                    continue
        for source, name in (("clean", "method"), ("live", "live method")):
            if updates := self.shares(source)[-1:]:
                found |= {name: updates[0].method, "limit": updates[0].limit}
        return found

    def _decoded(
        self, tag: str, decode: Callable[[int, Any, Any], T], wanted: Callable[[int], bool] = lambda step: True
    ) -> list[T]:
        series = self._series.get(tag)
        if series is None:
            return []
        try:
            data = metadata.constants(series.content)
        except Unreadable as error:
            warnings.warn(f"{tag} is passed over: {error}", stacklevel=3)
            return []
        # One record a step: the last one written stands.
        latest = {
            step: read
            for step, read in zip(series.steps, series.read, strict=True)
            if step < self._limit and wanted(step)
        }
        found, failed = [], []
        for step in sorted(latest):
            try:
                found.append(decode(step, data, latest[step]()))
            except Exception as error:  # the data server passes damaged values on, and those can be anything
                failed.append(f"epoch {step} ({error})")
        if failed:
            warnings.warn(
                f"{tag}: {len(failed)} of {len(latest)} steps are damaged and passed over: {failed[0]}", stacklevel=3
            )
        return found


def _stacked(updates: Sequence[Shares]) -> Importance | None:
    if not updates:
        return None
    return Importance(
        epochs=np.asarray([u.epoch for u in updates]),
        names=updates[0].names,
        share=np.stack([u.share for u in updates]),
        score=np.asarray([u.score for u in updates], np.float64),
        limit=updates[0].limit,
        burn_in=updates[0].burn_in,
    )


def _table(table: Any) -> NDArray[Any]:
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] < 5:
        raise Unreadable(f"expected a table of outputs, got {getattr(table, 'shape', type(table).__name__)}")
    return table


def _plain(array: Any) -> Any:
    """TensorBoard gives strings as an object array."""
    array = np.asarray(array)
    return (
        [bytes(b) if isinstance(b, bytes) else str(b).encode() for b in array.ravel()]
        if array.dtype.kind in "OSU"
        else array
    )


def _tensor(tensor: Any) -> Any:
    if tensor.dtype == types_pb2.DT_STRING:
        return list(tensor.string_val)
    try:
        return tensor_util.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise Unreadable(str(error)) from error


def _filter(run: str, tag: str | None = None) -> Any:
    from tensorboard.data.provider import RunTagFilter

    return RunTagFilter(runs=[run], tags=None if tag is None else [tag])


def _purge(found: dict[str, Series], start: int) -> None:
    """TensorBoard's rule: what a restarted file repeats, earlier files never said."""
    for series in found.values():
        kept = [k for k, step in enumerate(series.steps) if step < start]
        series.steps = [series.steps[k] for k in kept]
        series.read = [series.read[k] for k in kept]


def _events(path: Path, damage: list[str]) -> Iterator[event_pb2.Event]:
    """The events of one file up to a frame that is not whole. A damaged one is passed over, and said in `damage`; where
    even its length is damaged nothing behind it can be found.

    TensorBoard's own readers import TensorFlow, or check sums in pure Python: seconds for what takes milliseconds.
    """
    damaged = 0
    with open(path, "rb") as file:
        size = left = path.stat().st_size
        while left >= 16:
            length, check = struct.unpack("<QI", file.read(12))
            if struct.pack("<I", check) != masked_crc(struct.pack("<Q", length)):
                damage.append(f"{path.name} is damaged at byte {size - left}, what follows is passed over")
                break
            left -= length + 16
            if left < 0:  # still being written, or cut
                break
            data = file.read(length)
            if file.read(4) != masked_crc(data):
                damaged += 1
                continue
            try:
                event = event_pb2.Event.FromString(data)
            except DecodeError:  # a whole frame, but not an event: foreign, so passed over
                continue
            yield event
    if damaged:
        damage.append(f"{damaged} damaged record{'s' * (damaged > 1)} of {path.name} passed over")


def directories(root: Path) -> Iterable[tuple[str, Path]]:
    """(display name, directory) of every run below `root`, or of `root` itself where it is one."""
    if re.fullmatch(rf"{PLUGIN}(-\d+)?", root.name) and any("tfevents" in p.name for p in root.iterdir()):
        yield ".", root
        return
    for path in sorted(p for p in root.rglob(f"{PLUGIN}*") if p.is_dir() and re.fullmatch(rf"{PLUGIN}(-\d+)?", p.name)):
        if any("tfevents" in p.name for p in path.iterdir()):
            yield display_name(str(path.relative_to(root))), path
