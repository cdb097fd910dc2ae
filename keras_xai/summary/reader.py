"""Records out of event files, or out of TensorBoard's data provider: one face for both, no framework needed."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto import event_pb2

from keras_xai.events import with_events
from keras_xai.printed import printable
from keras_xai.probe import Probe
from keras_xai.records import (
    SOURCES,
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
    Source,
    Stop,
    missing_epochs,
)
from keras_xai.summary import mappings, metadata
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.event_files import events
from keras_xai.summary.metadata import PLUGIN
from keras_xai.summary.plugin_data_pb2 import PluginData

A = TypeVar("A")
T = TypeVar("T")
Row = tuple[int, Callable[[], Any]]  # a step, and what reads its content: an array, or a list of bytes


class Series(Protocol):
    """What one tag says: its constants, and a content for each step."""

    @property
    def constants(self) -> bytes: ...

    @property
    def rows(self) -> Sequence[Row]:
        """Every step."""

    @property
    def last(self) -> Row | None:
        """The one written last."""


class Place(Protocol):
    """Where something is read from."""

    place: str  # what a warning calls it
    passed_over: dict[str, str]  # what could not be read, by tag, in words; of the files themselves under ""


class Store(Place, Protocol):
    """Where the series of one run come from."""

    def series(self) -> dict[str, Series]:
        """By tag."""


def pass_over(store: Place, tag: str, why: str) -> None:
    """Note what is not read of a run; the first time that something of a tag is not, say it."""
    if tag not in store.passed_over:
        warnings.warn(printable(f"{store.place}: {why}"), stacklevel=3)
    store.passed_over[tag] = why


@dataclass
class Kept:
    """A series that is in memory."""

    constants: bytes
    rows: list[Row] = field(default_factory=list)

    @property
    def last(self) -> Row | None:
        return self.rows[-1] if self.rows else None


class FileStore:
    """The event files of one directory, what is whole of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.place = str(self.directory)
        self.passed_over: dict[str, str] = {}

    def series(self) -> dict[str, Series]:
        kept: dict[str, Kept] = {}
        damage: list[str] = []
        paths = self._paths(damage)
        if len(paths) > 1:  # a run of one empty file says itself that there is nothing
            damage += [f"{path.name} is empty: what it held is lost" for path in paths if _is_empty(path)]
        for path in paths:
            for event in events(path, damage):
                if event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START:
                    _purge(kept, event.step)
                for value in event.summary.value if event.HasField("summary") else ():
                    plugin = value.metadata.plugin_data
                    if value.tag not in kept:
                        if plugin.plugin_name != PLUGIN:
                            continue
                        kept[value.tag] = Kept(plugin.content)
                    read = functools.partial(metadata.content_of, value.tensor)
                    kept[value.tag].rows.append((int(event.step), read))
        if damage:
            pass_over(self, "", "; ".join(damage))
        return dict(kept)

    def _paths(self, damage: list[str]) -> list[Path]:
        """In the order in which they were begun. Plain files alone: to open a pipe would wait for ever."""
        try:
            return sorted(path for path in self.directory.iterdir() if "tfevents" in path.name and path.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            damage.append(f"the directory cannot be read: {error.strerror}")
            return []


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:  # which is said where it is opened
        return False


def _purge(kept: dict[str, Kept], start: int) -> None:
    """TensorBoard's rule: what a restarted file repeats, earlier files never said."""
    for series in kept.values():
        series.rows = [row for row in series.rows if row[0] < start]


# The tags that a verdict rests upon.
_JUDGED = (metadata.EPOCH, metadata.GRADIENTS, metadata.IMPORTANCE, metadata.ALERT, metadata.STOP)


class Log:
    """The records of one run, decoded when asked for and kept.

    A value that is foreign, damaged or from a newer version is passed over with one warning; what is whole is read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limit: float = math.inf

    @property
    def passed_over(self) -> dict[str, str]:
        """What could not be read of what was read so far, by tag, in words; of the files themselves under ""."""
        return dict(self._store.passed_over)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Of these what a verdict on the run would rest upon: epochs, alerts, importance and gradients."""
        return tuple(why for tag, why in self.passed_over.items() if not tag or tag.startswith(_JUDGED))

    def before(self, epoch: int) -> Log:
        """The same run, up to but without `epoch`."""
        log = type(self)(self._store)
        log._limit = epoch
        return log

    @functools.cached_property
    def _series(self) -> dict[str, list[Series]]:
        """The parts of each series in their order, by its tag."""
        parts: dict[str, dict[int, Series]] = {}
        for tag, series in self._store.series().items():
            whole, number = metadata.series_of(tag)
            parts.setdefault(whole, {})[number] = series
            if whole.startswith(metadata.ALERT) and whole.removeprefix(metadata.ALERT) not in SOURCES:
                pass_over(
                    self._store, whole, f"{whole} is passed over: alerts of a kind that this version does not know"
                )
        return {tag: [numbered[k] for k in sorted(numbered)] for tag, numbered in parts.items()}

    @functools.cached_property
    def epochs(self) -> list[int]:
        """The epochs that were written, sorted."""
        return sorted({record.epoch for record in self.history})

    @functools.cached_property
    def history(self) -> list[Epoch]:
        """One `Epoch` an epoch."""
        return self._decoded(metadata.EPOCH, _nothing, lambda step, _, content: metadata.decode_epoch(step, content))

    @functools.cached_property
    def probe(self) -> Probe | None:
        """The samples of the gallery with their labels and names, None where none were written."""
        found = self._decoded(
            metadata.PROBE, metadata.AboutProbe.of, lambda _, about, content: metadata.decode_probe(about, content)
        )
        return found[-1] if found else None

    @functools.cached_property
    def probe_described(self) -> Probe | None:
        """The same without the values of its samples, which are not read."""
        return self._about(metadata.PROBE, lambda data: metadata.AboutProbe.of(data).probe())

    @functools.cached_property
    def weight_gradients(self) -> list[Gradients]:
        """One `Gradients` a scheduled epoch."""
        missing = dict(
            self._decoded(metadata.MISSING, _nothing, lambda step, _, content: metadata.decode_missing(step, content))
        )
        return self._decoded(
            metadata.GRADIENTS,
            metadata.AboutGradients.of,
            lambda step, about, table: metadata.decode_gradients(step, about, table, missing.get(step, "")),
        )

    @functools.cached_property
    def flags(self) -> tuple[tuple[str, str, int], ...]:
        """The gradient flags that stand at the last record, which alone is read."""
        last = next((part.last for part in reversed(self._series.get(metadata.GRADIENTS, [])) if part.last), None)
        about = self._about(metadata.GRADIENTS, metadata.AboutGradients.of)
        if last is None or about is None:
            return ()
        records = self._each(
            metadata.GRADIENTS, [last], lambda step, table: metadata.decode_gradients(step, about, table)
        )
        return records[0].flags if records else ()

    @functools.cached_property
    def alerts(self) -> list[Alert]:
        """In order of their epochs, a cause before its effect; those of one cause share `event` and verdict."""
        found: list[Alert] = []
        for source in reversed(SOURCES):
            tag = metadata.ALERT + source
            found += self._decoded(tag, functools.partial(metadata.about_alerts, source=source), metadata.decode_alert)
        return with_events(found)

    @functools.cached_property
    def stops(self) -> list[Stop]:
        """The parts of the watch that ended before the training did, in the order of their epochs."""
        stops: list[Stop] = []
        for tag in sorted(tag for tag in self._series if tag.startswith(metadata.STOP)):
            about = functools.partial(metadata.about_stop, part=tag.removeprefix(metadata.STOP))
            stops += self._decoded(tag, about, metadata.decode_stop)
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

    def shares(self, source: Source) -> list[Shares]:
        """The updates of one source: "clean", "live" or "data"."""
        about = functools.partial(metadata.AboutShares.of, source=source)
        return self._decoded(metadata.IMPORTANCE + source, about, metadata.decode_shares)

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
        records = self._decoded(metadata.MAPPINGS, metadata.about_mappings, mappings.decode)
        return self._alike(metadata.MAPPINGS, records, mappings.shape)

    @functools.cached_property
    def samples(self) -> Samples | None:
        """What became of each probe sample over those epochs; None where nothing was recorded."""
        return Samples.of(self.mappings)

    @functools.cached_property
    def methods(self) -> tuple[str, ...]:
        """The attribution methods that were written, in the order of their tags."""
        tags = (tag for tag in self._series if tag.startswith(metadata.ATTRIBUTIONS))
        return tuple(sorted(filter(None, (tag.removeprefix(metadata.ATTRIBUTIONS) for tag in tags))))

    def outputs(self, method: str) -> Outputs | None:
        """Targets, predictions, scores and outputs of the gallery over epochs; reads no map."""
        tag = metadata.OUTPUTS + method
        about = self._about(tag, metadata.AboutOutputs.of)
        tables = self._decoded(tag, metadata.AboutOutputs.of, metadata.decode_outputs)
        rows = self._alike(tag, tables, lambda row: len(row[1]))
        if about is None or not rows:
            return None
        width = min(table.shape[1] for _, table in rows)
        cube = np.stack([table[:, :width] for _, table in rows])
        # What is not there for every sample of every epoch is in none: a run may have been continued by a later version.
        measured = about.quadrature and width > 5 + about.r2
        fits = about.r2 and width > 5
        end = width - measured
        task, link = about.read_as(end - 5 - fits)
        target = cube[:, :, 0].astype(np.int64)
        if about.task is None and task == "binary":
            target = np.ones_like(target)  # an older version explained class 1, and called it 0
        return Outputs(
            method=method,
            epochs=np.asarray([step for step, _ in rows]),
            target=target,
            prediction=cube[:, :, 1],
            score=cube[:, :, 2],
            baseline_score=cube[:, :, 3],
            completeness_error=cube[:, :, 4] if about.complete else None,
            outputs=cube[:, :, 5 : end - fits],
            space=about.space,
            r2=cube[:, :, end - 1] if fits else None,
            quadrature_error=cube[:, :, -1] if measured else None,
            task=task,
            link=link,
        )

    def attribution_epochs(self, method: str) -> list[int]:
        """The epochs at which a method was written."""
        parts = self._series.get(metadata.ATTRIBUTIONS + method, [])
        return sorted({step for part in parts for step, _ in part.rows if 0 <= step < self._limit})

    def attribution(self, method: str, epoch: int) -> Attribution | None:
        """One method at one epoch; reads only that epoch's maps. Images are (B, H, W), their signed channel sum."""
        found = self._attributions(method, lambda step: step == epoch)
        return found[-1] if found else None

    def attributions(self, method: str) -> list[Attribution]:
        """One method at every epoch."""
        return self._attributions(method, lambda step: True)

    def _attributions(self, method: str, wanted: Callable[[int], bool]) -> list[Attribution]:
        tag, table = metadata.ATTRIBUTIONS + method, self.outputs(method)
        if table is None:
            return []
        places, rows, stored = {int(e): k for k, e in enumerate(table.epochs)}, table.target.shape[1], self._stored
        if stored is not None and rows > stored:
            pass_over(self._store, tag, f"{tag} is passed over: maps of {rows} samples, the probe has {stored}")
            return []

        def decode(step: int, inputs: metadata.Inputs, blobs: Any) -> tuple[int, Any]:
            epoch, values = metadata.decode_attribution(step, inputs, blobs)
            if step in places and metadata.samples_of(values) != rows:
                raise Unreadable(f"maps of {metadata.samples_of(values)} samples, outputs of {rows}")
            return epoch, values

        found = []
        for step, values in self._decoded(tag, metadata.inputs_of, decode, wanted):
            if step not in places:
                continue
            k = places[step]
            baseline, said = table.baseline_score[k], table.prediction[k]
            whole = table.task in ("binary", "classes", "labels") and _are_whole(said)
            found.append(
                Attribution(
                    method=method,
                    values=values,
                    target=table.target[k],
                    score=table.score[k],
                    baseline_score=None if np.isnan(baseline).all() else baseline,
                    prediction=said.astype(np.int64) if whole else said,
                    completeness_error=None if table.completeness_error is None else table.completeness_error[k],
                    space=table.space,
                    outputs=table.outputs[k],
                    epoch=step,
                    kind="" if self.probe is None else self.probe.kind,
                    r2=None if table.r2 is None else table.r2[k],
                    task=table.task,
                    link=table.link,
                    quadrature_error=None if table.quadrature_error is None else table.quadrature_error[k],
                )
            )
        return found

    @property
    def _stored(self) -> int | None:
        """How many samples of the gallery were written, None where none was."""
        return None if self.probe is None or self.probe.x is None else self.probe.size

    @functools.cached_property
    def resumed(self) -> list[int]:
        """The epochs with which an interrupted training went on."""
        return [record.epoch for record in self.history if record.resumed]

    @functools.cached_property
    def variable_sizes(self) -> tuple[int, ...]:
        """How many entries each variable has whose gradients were recorded; empty where that is not known."""
        return self._about(metadata.GRADIENTS, lambda data: metadata.AboutGradients.of(data).sizes) or ()

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
            if (names := self._about(tag, lambda data: tuple(data.names))) is not None:
                found[name] = names
        if updates := self.shares("clean")[-1:]:
            found |= {"method": updates[0].method, "limit": updates[0].limit}
        if updates := self.shares("live")[-1:]:
            found |= {"live method": updates[0].method, "limit": updates[0].limit}
        return found

    # From tags to records.

    def _about(self, tag: str, make: Callable[[PluginData], A]) -> A | None:
        """What all records of a series have in common. None where there is no such series, or where that is not readable,
        which is said."""
        if tag not in self._series:
            return None
        try:
            for part in self._series[tag]:
                data = metadata.constants(part.constants)
                if not metadata.continues(data):
                    return make(data)
            raise Unreadable("the part with its names is missing")
        except Unreadable as error:
            pass_over(self._store, tag, f"{tag} is passed over: {error}")
            return None

    def _decoded(
        self,
        tag: str,
        make: Callable[[PluginData], A],
        decode: Callable[[int, A, Any], T],
        wanted: Callable[[int], bool] = lambda step: True,
    ) -> list[T]:
        """The records of a series in the order of their steps; of several at one step the last one written stands."""
        about = self._about(tag, make)
        if about is None:
            return []
        rows = [row for part in self._series[tag] for row in part.rows]
        latest = {step: read for step, read in rows if step < self._limit and wanted(step)}
        return self._each(tag, sorted(latest.items()), lambda step, content: decode(step, about, content))

    def _each(self, tag: str, rows: Sequence[Row], decode: Callable[[int, Any], T]) -> list[T]:
        """The records that can be read."""
        records, failed = [], []
        for step, read in rows:
            try:
                records.append(decode(step, read()))
            except Exception as error:  # `Unreadable`, and what else bytes can do: it costs this step alone
                failed.append(f"epoch {step} ({error or type(error).__name__})")
        if failed:
            many = f"{len(failed)} of {len(rows)} steps are" if len(rows) > 1 else "it is"
            pass_over(self._store, tag, f"{tag}: {many} damaged and passed over: {failed[0]}")
        return records

    def _alike(self, tag: str, records: list[T], shape: Callable[[T], Hashable]) -> list[T]:
        """The records of the last one's shape: those of another one do not go into one array over epochs."""
        kept = [record for record in records if shape(record) == shape(records[-1])]
        if len(kept) < len(records):
            other = f"{len(records) - len(kept)} of {len(records)} steps have another shape than the last"
            pass_over(self._store, tag, f"{tag}: {other} and are passed over")
        return kept


def _nothing(data: PluginData) -> bool:
    """Of tags whose constants say nothing but the version."""
    return True


def _are_whole(numbers: NDArray[Any]) -> bool:
    """Whether all of them are whole, as classes are; NaN is not."""
    whole = np.isfinite(numbers) & (numbers == np.round(numbers)) & (np.abs(numbers) < 2**31)
    return bool(whole.all())


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
        method=updates[0].method,
    )
