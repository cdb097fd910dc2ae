"""The protocol of a store, which has the series of one run, and the store of the event files in a directory."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tensorboard.compat.proto import event_pb2, tensor_pb2

from keras_xai.printed import printable
from keras_xai.summary.event_files import events
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tensors import Content, content_of

Row = tuple[int, Callable[[], Any]]  # a step, and a function that reads its content: an array, or a list of bytes


class Series(Protocol):
    """The content of one tag: its constants, and a content for each step."""

    @property
    def constants(self) -> bytes: ...

    @property
    def rows(self) -> Sequence[Row]:
        """Every step."""

    @property
    def last(self) -> Row | None:
        """The one written last."""


class Place(Protocol):
    """A source of records."""

    place: str  # its name in warnings
    passed_over: dict[str, str]  # by tag, why it could not be read; "" is the key of the files themselves


class Store(Place, Protocol):
    """The source of the series of one run."""

    def series(self) -> dict[str, Series]:
        """Return them by tag."""


def pass_over(store: Place, tag: str, why: str) -> None:
    """Note that a tag of a run, or some of its steps, cannot be read, and why; warn the first time for each tag."""
    if tag not in store.passed_over:
        warnings.warn(printable(f"{store.place}: {why}"), stacklevel=3)
    store.passed_over[tag] = why


@dataclass
class SeriesInMemory:
    """A series whose steps are all known; their contents are decoded on use."""

    constants: bytes
    rows: list[Row] = field(default_factory=list)

    @property
    def last(self) -> Row | None:
        return self.rows[-1] if self.rows else None


class FileStore:
    """A `Store` of the event files in one directory; damaged events are passed over."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.place = str(self.directory)
        self.passed_over: dict[str, str] = {}

    def series(self) -> dict[str, Series]:
        by_tag: dict[str, SeriesInMemory] = {}
        damage: list[str] = []
        paths = self._paths(damage)
        if len(paths) > 1:  # a single empty file is a run without records: nothing is lost
            damage += [f"{path.name} is empty: what it held is lost" for path in paths if _is_empty(path)]
        for path in paths:
            for event in events(path, damage):
                if event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START:
                    _purge(by_tag, event.step)
                for value in event.summary.value if event.HasField("summary") else ():
                    plugin = value.metadata.plugin_data
                    if value.tag not in by_tag:
                        if plugin.plugin_name != PLUGIN_NAME:
                            continue
                        by_tag[value.tag] = SeriesInMemory(plugin.content)
                    # The message would keep the memory of its whole event: of short records five times their bytes.
                    read = functools.partial(_content, value.tensor.SerializeToString())
                    by_tag[value.tag].rows.append((int(event.step), read))
        if damage:
            pass_over(self, "", "; ".join(damage))
        return dict(by_tag)

    def _paths(self, damage: list[str]) -> list[Path]:
        """Return the event files, the oldest first; plain files only, since opening a pipe would block."""
        try:
            return sorted(path for path in self.directory.iterdir() if "tfevents" in path.name and path.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            damage.append(f"the directory cannot be read: {error.strerror}")
            return []


def _content(tensor: bytes) -> Content:
    return content_of(tensor_pb2.TensorProto.FromString(tensor))


def _is_empty(path: Path) -> bool:
    try:
        return not path.stat().st_size
    except OSError:  # reported when the file is opened
        return False


def _purge(by_tag: dict[str, SeriesInMemory], start: int) -> None:
    """Drop the steps from `start` on, which a later file replaces, as TensorBoard does."""
    for series in by_tag.values():
        series.rows = [row for row in series.rows if row[0] < start]
