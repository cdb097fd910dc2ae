"""The series of one run from TensorBoard's data provider, read on first use."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.store import Row, Series, pass_over
from keras_xai.summary.tensors import Content, content_of

# For `downsample`, which is mandatory; the number that TensorBoard proposes would lose epochs.
ALL_STEPS = 1_000_000_000
MAX_BLOBS = 1 << 16  # of one step: one for each sample and input of the model
MAX_ANSWER_BYTES = 1 << 27  # asked for at once after an answer with all of a series was too long
Sized = tuple[int, Callable[[], Any], int]  # a row, and the bytes that it takes in an answer
Read = Callable[[int], list[Row]]  # returns so many steps of a series, a uniform random sample with the last one


class Protos(Protocol):
    """Reads tensors as protocol buffers from TensorBoard's memory, past its data provider."""

    blobs_too: bool  # True where series of blobs can be read as well

    def read(self, experiment_id: str, run: str, tag: str, most: int) -> list[tuple[int, Any]]:
        """Return steps with their protocol buffers, `most` of them, the last among them."""


class Reads:
    """Reads the series of one run from TensorBoard's data provider.

    Args:
        provider: of TensorBoard.
        context: of the request.
        experiment_id: of the request.
        run: its name there.
        protos: read instead of the provider, which would allocate an array of any size that a tensor claims.
    """

    # More threads would only wait for each other; these start at the first use.
    _pool = ThreadPoolExecutor(4, "keras_xai")

    def __init__(self, provider: Any, context: Any, experiment_id: str, run: str, protos: Protos | None = None) -> None:
        self._provider, self._context, self._experiment, self._run = provider, context, experiment_id, run
        self._protos = protos
        self.place = run
        self.passed_over: dict[str, str] = {}

    def tensors(self, tag: str, most: int) -> list[Row]:
        """Return `most` steps of a series of tensors."""
        try:
            return self._rows(self._tensors if self._protos is None else self._files, tag, most)
        except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
            # The data server sends damaged tensors as well; then TensorBoard cannot decode any step of the tag.
            pass_over(self, tag, f"{tag} is passed over: {error or type(error).__name__}")
            return []

    def blobs(self, tag: str, longest: int, most: int) -> list[Row]:
        """Return `most` steps of a series of blobs, which has `longest` of them at one step; a step is read on use."""
        if self._protos is not None and self._protos.blobs_too:
            return self._rows(self._files, tag, most)
        if longest > MAX_BLOBS:
            pass_over(self, tag, f"{tag} is passed over: {longest:,} blobs of one step, more than {MAX_BLOBS:,}")
            return []
        return self._rows(self._sequences, tag, most)

    def _rows(self, ask: Callable[[str, int], list[Sized]], tag: str, most: int) -> list[Row]:
        """Return the steps of a series; where they are too long for one answer, as many as fit into one."""
        try:
            rows = ask(tag, most)
        except Exception as error:
            if most == 1 or not is_too_long(error):
                raise
            size = max((size for _, _, size in ask(tag, 1)), default=1)
            rows = ask(tag, max(1, MAX_ANSWER_BYTES // max(1, size)))
            outcome = f"{len(rows)} of its steps, the last and others at random, are shown; kx.load reads all of them"
            pass_over(self, tag, f"{tag} is too long for one answer of TensorBoard's data server: {outcome}")
        return [(step, read) for step, read, _ in rows]

    def _arguments(self, tag: str, most: int) -> dict[str, Any]:
        from tensorboard.data.provider import RunTagFilter

        arguments = {"experiment_id": self._experiment, "plugin_name": PLUGIN_NAME, "downsample": most}
        return arguments | {"run_tag_filter": RunTagFilter(runs=[self._run], tags=[tag])}

    def _files(self, tag: str, most: int) -> list[Sized]:
        assert self._protos is not None
        steps = self._protos.read(self._experiment, self._run, tag, most)
        return [(step, functools.partial(content_of, tensor), tensor.ByteSize()) for step, tensor in steps]

    def _tensors(self, tag: str, most: int) -> list[Sized]:
        rows = self._provider.read_tensors(self._context, **self._arguments(tag, most))
        steps = rows.get(self._run, {}).get(tag, ())
        return [(int(d.step), functools.partial(_plain, d.numpy), _bytes_of(d.numpy)) for d in steps]

    def _sequences(self, tag: str, most: int) -> list[Sized]:
        rows = self._provider.read_blob_sequences(self._context, **self._arguments(tag, most))
        steps: list[Sized] = []
        for datum in rows.get(self._run, {}).get(tag, ()):
            keys = [blob.blob_key for blob in datum.values]
            steps.append((int(datum.step), functools.partial(self._fetch, keys), sum(map(len, keys))))
        return steps

    def _fetch(self, keys: Sequence[str]) -> list[bytes]:
        # In parallel, since it is one call for each blob, and TensorBoard's fast loader is another process.
        return list(self._pool.map(lambda key: bytes(self._provider.read_blob(self._context, blob_key=key)), keys))


class ProviderStore:
    """A `Store` of one run in TensorBoard's data provider; its series are read on first use.

    Args:
        reads: of this run.
        tensors: the entries of `list_tensors`, by tag.
        blobs: the entries of `list_blob_sequences`, by tag.
        before: the store of the same run when it was listed last: series that did not grow are not read again.
    """

    def __init__(
        self, reads: Reads, tensors: Mapping[str, Any], blobs: Mapping[str, Any], before: ProviderStore | None = None
    ) -> None:
        self.place, self.passed_over = reads.place, reads.passed_over
        self._series: dict[str, LazySeries] = {}
        for tag, listed in tensors.items():
            self._series[tag] = LazySeries(_stamp(listed), functools.partial(reads.tensors, tag))
        for tag, listed in blobs.items():
            read = functools.partial(reads.blobs, tag, listed.max_length)
            self._series[tag] = LazySeries(_stamp(listed), read)
        if before is not None:
            self._remember(before)

    def _remember(self, before: ProviderStore) -> None:
        """Take over the steps that were read of series which did not grow."""
        for tag, series in self._series.items():
            earlier = before._series.get(tag)
            if earlier is None or earlier.stamp != series.stamp:
                continue
            series.remember(earlier)
            if tag in before.passed_over:
                self.passed_over[tag] = before.passed_over[tag]

    def series(self) -> dict[str, Series]:
        return dict(self._series)


class LazySeries:
    """A series whose steps are read on first use, all of them or the last one alone."""

    def __init__(self, stamp: tuple[bytes, int, float], read: Read) -> None:
        self.stamp = stamp
        self.constants = stamp[0]
        self._read = read

    def remember(self, earlier: LazySeries) -> None:
        """Take over the steps that were read of the same series before."""
        self.__dict__ |= {name: earlier.__dict__[name] for name in ("rows", "last") if name in earlier.__dict__}

    @functools.cached_property
    def rows(self) -> list[Row]:
        return self._read(ALL_STEPS)

    @functools.cached_property
    def last(self) -> Row | None:
        return next(reversed(self.__dict__.get("rows") or self._read(1)), None)


def _stamp(listed: Any) -> tuple[bytes, int, float]:
    """Return the constants, last step and last time of a series: one of these changes when it grows."""
    return listed.plugin_content, listed.max_step, listed.max_wall_time


def is_too_long(error: Exception) -> bool:
    """Return True for the error of an answer that is longer than a gRPC channel transmits."""
    code = getattr(error, "code", None)
    return callable(code) and getattr(code(), "name", "") == "RESOURCE_EXHAUSTED"


def _bytes_of(array: NDArray[Any]) -> int:
    return len(array.ravel()[0]) if array.dtype.kind in "OSU" and array.size else int(array.nbytes)


def _plain(array: NDArray[Any]) -> Content:
    """Return a content as it is read from a file.

    TensorBoard returns strings as an array of objects, and repeats a single one to fill a larger shape.

    Raises:
        Unreadable: there is not exactly one string.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        return array
    if array.size != 1:
        raise Unreadable(f"expected one string, got {array.size}")
    value = array.ravel()[0]
    return [value if isinstance(value, bytes) else str(value).encode(errors="replace")]
