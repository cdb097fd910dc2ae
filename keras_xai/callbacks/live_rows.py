"""The same training rows, read again from the user's own source every epoch."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe

MOST = 256  # rows: more find little more


class LiveRows:
    """At most 256 rows of a source in its own order, and whether they are still what they were.

    Args:
        source: arrays (x, y) by reference, a `PyDataset`, a `tf.data.Dataset`, or a callable -> (x, y).
        like: the probe whose kind and output hold for these rows too.

    Raises:
        InvalidInput: the source gives no (x, y).
    """

    def __init__(self, source: Any, like: Probe) -> None:
        self._read_source = _reader(source)
        self._like = like
        self._hashes: list[tuple[str, str]] = []  # of the rows and the labels of the last reads
        self.repeats = True  # whether two reads in a row give the same rows
        self.shape: tuple[tuple[int, ...], ...] = ()

    def check(self) -> Probe:
        """Read twice before training. The labels must agree: else a feature's move means nothing.

        Raises:
            InvalidInput: they do not, or the rows do not look like the probe's.
        """
        first, second = self._rows(), self._rows()
        if first.y is None or second.y is None:
            raise InvalidInput("live gives rows without labels: expected (x, y).")
        if _digest([first.y]) != _digest([second.y]):
            raise InvalidInput(
                "live gave other rows at its second read: the labels differ. The same rows must come in the same order every "
                "time: read before shuffle(), or use shuffle(reshuffle_each_iteration=False); without such a source leave "
                "live=None and watch the fixed probe alone."
            )
        if first.kind != self._like.kind or [a.shape[1:] for a in first.inputs] != [
            a.shape[1:] for a in self._like.inputs
        ]:
            raise InvalidInput(
                f"live gives samples of shape {[a.shape[1:] for a in first.inputs]}, the probe holds "
                f"{[a.shape[1:] for a in self._like.inputs]}: both are what `fit` gets."
            )
        self.repeats = _digest(first.inputs) == _digest(second.inputs)
        self.shape = tuple(a.shape for a in first.inputs)
        self._hashes = []
        return first

    def read(self) -> Probe:
        """The rows now.

        Raises:
            InvalidInput: they changed their number or shape since `check`.
        """
        rows = self._rows()
        if tuple(a.shape for a in rows.inputs) != self.shape:
            raise InvalidInput(
                f"live gave rows of shape {[a.shape for a in rows.inputs]}, before training {list(self.shape)}."
            )
        labels = [] if rows.y is None else [rows.y]
        self._hashes = [*self._hashes, (_digest(rows.inputs), _digest(labels))][-3:]
        return rows

    @property
    def changed(self) -> bool:
        """Whether rows (where reads repeat) or labels came out differently within the last two reads, which is as far
        back as a tested move reaches."""
        compared = [h if self.repeats else h[1:] for h in self._hashes]
        return any(a != b for a, b in itertools.pairwise(compared))

    def _rows(self) -> Probe:
        x, y = self._read_source()
        if isinstance(x, dict):
            x = {k: np.asarray(v)[:MOST] for k, v in x.items()}
        elif isinstance(x, list) and all(hasattr(v, "shape") for v in x):
            x = [np.asarray(v)[:MOST] for v in x]
        else:
            x = np.asarray(x)[:MOST]
        return Probe(x, np.asarray(y)[:MOST], kind=self._like.kind, groups=None, output=self._like.output)


def _reader(source: Any) -> Callable[[], tuple[Any, Any]]:
    if isinstance(source, Probe):
        return lambda: (source.x, source.y)
    if isinstance(source, (tuple, list)):
        if len(source) != 2:
            raise InvalidInput(f"live has {len(source)} entries: expected (x, y).")
        return lambda: (source[0], source[1])
    if callable(source):

        def called() -> tuple[Any, Any]:
            found = source()
            if not isinstance(found, (tuple, list)) or len(found) < 2:
                raise InvalidInput(f"live() returned {type(found).__name__}: expected (x, y).")
            return found[0], found[1]

        return called
    if hasattr(source, "__iter__") or hasattr(source, "__getitem__"):

        def first_batches() -> tuple[Any, Any]:
            probe = Probe.from_dataset(source, MOST, kind="table")  # the kind is the probe's; see _rows
            return probe.x, probe.y

        return first_batches
    raise InvalidInput(
        f"live is a {type(source).__name__}: expected arrays (x, y), a PyDataset, a tf.data.Dataset or a callable -> (x, y)."
    )


def _digest(arrays: list[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
