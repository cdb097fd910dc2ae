"""Records out of event files, or out of TensorBoard's data provider: one face for both, no framework needed."""

from __future__ import annotations

import functools
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2, types_pb2
from tensorboard.util import tensor_util

from keras_xai.probe import Probe
from keras_xai.records import Alert, Attribution, Epoch, Gradients, Importance, Outputs, Shares
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
    """The event files of one directory, up to what is whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def series(self) -> dict[str, Series]:
        found: dict[str, Series] = {}
        paths = sorted(p for p in self.directory.iterdir() if "tfevents" in p.name) if self.directory.is_dir() else []
        for path in paths:
            for event in _events(path):
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
        return found


class ProviderStore:
    """One run of TensorBoard's data provider; nothing is read before it is asked for."""

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
        rows = self._provider.read_tensors(
            self._context,
            experiment_id=self._experiment,
            plugin_name=PLUGIN,
            downsample=EVERYTHING,
            run_tag_filter=_filter(self._run, tag),
        )
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
        return [bytes(self._provider.read_blob(self._context, blob_key=key)) for key in keys]


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


def provider_runs(provider: Any, context: Any, experiment_id: str) -> dict[str, str]:
    """TensorBoard's runs that are ours, by the name the user gave them: "run1" for "run1/keras_xai"."""
    ask = {"ctx": context, "experiment_id": experiment_id, "plugin_name": PLUGIN}
    names = {*provider.list_tensors(**ask), *provider.list_blob_sequences(**ask)}
    return {display_name(name): name for name in sorted(names)}


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
    def methods(self) -> tuple[str, ...]:
        """The attribution methods that were written, in the order of their tags."""
        return tuple(
            sorted(t.removeprefix(metadata.ATTRIBUTIONS) for t in self._series if t.startswith(metadata.ATTRIBUTIONS))
        )

    def outputs(self, method: str) -> Outputs | None:
        """Targets, predictions, scores and outputs of the gallery over epochs; reads no map."""
        tag = metadata.OUTPUTS + method
        rows = self._decoded(tag, lambda step, _, table: (step, _table(table)))
        if not rows:
            return None
        data = metadata.constants(self._series[tag].content)
        about, width = metadata.options(data), min(table.shape[1] for _, table in rows)
        cube = np.stack([table[:, :width] for _, table in rows])
        return Outputs(
            method=method,
            epochs=np.asarray([step for step, _ in rows]),
            target=np.nan_to_num(cube[:, :, 0]).astype(np.int64),
            prediction=cube[:, :, 1],
            score=cube[:, :, 2],
            baseline_score=cube[:, :, 3],
            completeness_error=cube[:, :, 4] if about.get("complete") else None,
            outputs=cube[:, :, 5:],
            space=about.get("space", "raw"),
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
            whole = bool(np.equal(table.prediction[k], np.round(table.prediction[k])).all()) and table.space != "raw"
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
                )
            )
        return found

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """What must not change for the run to be continued, by the name a user would give it."""
        found: dict[str, Any] = {}
        if self.probe is not None:
            found["probe"] = self.probe.hash
        for tag, name in ((metadata.GRADIENTS, "variables"), (metadata.IMPORTANCE + "clean", "features")):
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
            except Unreadable as error:
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


def _events(path: Path) -> Iterator[event_pb2.Event]:
    """The events of one file up to the first frame that is damaged or not whole.

    TensorBoard's own readers import TensorFlow, or check sums in pure Python: seconds for what takes milliseconds.
    """
    with open(path, "rb") as file:
        left = path.stat().st_size
        while left >= 16:
            length, check = struct.unpack("<QI", file.read(12))
            left -= length + 16
            if left < 0:
                return
            data = file.read(length)
            if struct.pack("<I", check) != masked_crc(struct.pack("<Q", length)) or file.read(4) != masked_crc(data):
                return
            try:
                event = event_pb2.Event.FromString(data)
            except DecodeError:  # a whole frame, but not an event: foreign, so passed over
                continue
            yield event


def directories(root: Path) -> Iterable[tuple[str, Path]]:
    """(display name, directory) of every run below `root`, or of `root` itself where it is one."""
    if re.fullmatch(rf"{PLUGIN}(-\d+)?", root.name) and any("tfevents" in p.name for p in root.iterdir()):
        yield ".", root
        return
    for path in sorted(p for p in root.rglob(f"{PLUGIN}*") if p.is_dir() and re.fullmatch(rf"{PLUGIN}(-\d+)?", p.name)):
        if any("tfevents" in p.name for p in path.iterdir()):
            yield display_name(str(path.relative_to(root))), path
