"""The series of one run out of TensorBoard's data provider, read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_xai.summary.checks import Unreadable
from keras_xai.summary.store import Row, Series, pass_over
from keras_xai.summary.tag_constants import PLUGIN
from keras_xai.summary.tensors import Content, content_of

EVERYTHING = 1_000_000_000  # `downsample` is mandatory on reads; the hint TensorBoard offers would lose epochs
BLOBS = 1 << 16  # of one step: one a sample and input of the model
ANSWER = 1 << 27  # bytes of one answer where all of a series was too much for one
Sized = tuple[int, Callable[[], Any], int]  # a row, and the bytes that it takes in an answer
Read = Callable[[int], list[Row]]  # so many steps of a series, evenly likely ones and the last


class Protos(Protocol):
    """The tensors of the event files themselves, where they can be had."""

    blobs_too: bool

    def read(self, experiment_id: str, run: str, tag: str, most: int) -> list[tuple[int, Any]]:
        """A step and its protocol buffer, `most` of them, the last among them."""


class Reads:
    """What is asked of TensorBoard's data provider about one run.

    Args:
        provider: of TensorBoard.
        context: of the request.
        experiment_id: of the request.
        run: its name there.
        protos: what is asked instead of the provider, which makes arrays of whatever size a tensor names.
    """

    # More threads only wait for each other; these begin when there is something to do.
    _pool = ThreadPoolExecutor(4, "keras_xai")

    def __init__(self, provider: Any, context: Any, experiment_id: str, run: str, protos: Protos | None = None) -> None:
        self._provider, self._context, self._experiment, self._run = provider, context, experiment_id, run
        self._protos = protos
        self.place = run
        self.passed_over: dict[str, str] = {}

    def tensors(self, tag: str, most: int) -> list[Row]:
        """So many steps of a series of tensors."""
        try:
            return self._rows(self._tensors if self._protos is None else self._files, tag, most)
        except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
            # A damaged tensor that the data server passed on; TensorBoard decodes all of a tag or nothing.
            pass_over(self, tag, f"{tag} is passed over: {error or type(error).__name__}")
            return []

    def blobs(self, tag: str, longest: int, most: int) -> list[Row]:
        """So many steps of a series of blobs, `longest` of them at one step, which are read one by one when they are needed."""
        if self._protos is not None and self._protos.blobs_too:
            return self._rows(self._files, tag, most)
        if longest > BLOBS:
            pass_over(self, tag, f"{tag} is passed over: {longest:,} blobs of one step, more than {BLOBS:,}")
            return []
        return self._rows(self._sequences, tag, most)

    def _rows(self, ask: Callable[[str, int], list[Sized]], tag: str, most: int) -> list[Row]:
        """What is asked for; of a series that is longer than one answer may be as many steps as go into one."""
        try:
            rows = ask(tag, most)
        except Exception as error:
            if most == 1 or not is_too_long(error):
                raise
            size = max((size for _, _, size in ask(tag, 1)), default=1)
            rows = ask(tag, max(1, ANSWER // max(1, size)))
            shown = f"{len(rows)} of its steps, the last and others at random, are shown; kx.load reads all of them"
            pass_over(self, tag, f"{tag} is too long for one answer of TensorBoard's data server: {shown}")
        return [(step, read) for step, read, _ in rows]

    def _asked(self, tag: str, most: int) -> dict[str, Any]:
        from tensorboard.data.provider import RunTagFilter

        about = {"experiment_id": self._experiment, "plugin_name": PLUGIN, "downsample": most}
        return about | {"run_tag_filter": RunTagFilter(runs=[self._run], tags=[tag])}

    def _files(self, tag: str, most: int) -> list[Sized]:
        assert self._protos is not None
        steps = self._protos.read(self._experiment, self._run, tag, most)
        return [(step, functools.partial(content_of, tensor), tensor.ByteSize()) for step, tensor in steps]

    def _tensors(self, tag: str, most: int) -> list[Sized]:
        rows = self._provider.read_tensors(self._context, **self._asked(tag, most))
        steps = rows.get(self._run, {}).get(tag, ())
        return [(int(d.step), functools.partial(_plain, d.numpy), _bytes_of(d.numpy)) for d in steps]

    def _sequences(self, tag: str, most: int) -> list[Sized]:
        rows = self._provider.read_blob_sequences(self._context, **self._asked(tag, most))
        steps = [(int(d.step), [v.blob_key for v in d.values]) for d in rows.get(self._run, {}).get(tag, ())]
        return [(step, functools.partial(self._fetch, keys), sum(map(len, keys))) for step, keys in steps]

    def _fetch(self, keys: Sequence[str]) -> list[bytes]:
        # Side by side: one call a blob, and TensorBoard's fast loader is another process.
        return list(self._pool.map(lambda key: bytes(self._provider.read_blob(self._context, blob_key=key)), keys))


class ProviderStore:
    """One run of TensorBoard's data provider; nothing is read before it is asked for.

    Args:
        reads: of this run.
        tensors: what `list_tensors` says of it, by tag.
        blobs: what `list_blob_sequences` does.
        before: the same run as it was when it was listed last: series that did not grow are not read again.
    """

    def __init__(
        self, reads: Reads, tensors: Mapping[str, Any], blobs: Mapping[str, Any], before: ProviderStore | None = None
    ) -> None:
        self.place, self.passed_over = reads.place, reads.passed_over
        wanted = {tag: (listed, functools.partial(reads.tensors, tag)) for tag, listed in tensors.items()}
        wanted |= {
            tag: (listed, functools.partial(reads.blobs, tag, listed.max_length)) for tag, listed in blobs.items()
        }
        self._series: dict[str, Lazy] = {}
        for tag, (listed, read) in wanted.items():
            stamp = listed.plugin_content, listed.max_step, listed.max_wall_time
            self._series[tag] = Lazy(stamp, read)
            known = before._series.get(tag) if before is not None else None
            if before is not None and known is not None and known.stamp == stamp:
                self._series[tag].remember(known)
                if tag in before.passed_over:
                    self.passed_over[tag] = before.passed_over[tag]

    def series(self) -> dict[str, Series]:
        return dict(self._series)


class Lazy:
    """A series whose steps are read on first use, all of them or the last one alone."""

    def __init__(self, stamp: tuple[bytes, int, float], read: Read) -> None:
        self.stamp = stamp
        self.constants = stamp[0]
        self._read = read

    def remember(self, earlier: Lazy) -> None:
        """Take over what was read of the same series before."""
        self.__dict__ |= {name: earlier.__dict__[name] for name in ("rows", "last") if name in earlier.__dict__}

    @functools.cached_property
    def rows(self) -> list[Row]:
        return self._read(EVERYTHING)

    @functools.cached_property
    def last(self) -> Row | None:
        return next(reversed(self.__dict__.get("rows") or self._read(1)), None)


def is_too_long(error: Exception) -> bool:
    """Whether an answer was longer than a gRPC channel takes."""
    code = getattr(error, "code", None)
    return callable(code) and getattr(code(), "name", "") == "RESOURCE_EXHAUSTED"


def _bytes_of(array: NDArray[Any]) -> int:
    return len(array.ravel()[0]) if array.dtype.kind in "OSU" and array.size else int(array.nbytes)


def _plain(array: NDArray[Any]) -> Content:
    """TensorBoard gives strings as an array of objects, and fills a large shape up with one."""
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        return array
    if array.size != 1:
        raise Unreadable(f"expected one string, got {array.size}")
    value = array.ravel()[0]
    return [value if isinstance(value, bytes) else str(value).encode(errors="replace")]
