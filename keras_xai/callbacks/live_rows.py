"""The same training rows, read again from the user's own source every epoch."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_xai import backend
from keras_xai.callbacks.fingerprint import Difference, Fingerprint
from keras_xai.errors import InvalidInput, listed
from keras_xai.frames import Names, Samples, as_arrays
from keras_xai.labels import coded, of_output
from keras_xai.probe import Probe, update_digest
from keras_xai.records import Changed, Digest

MOST = 256  # rows
SPAN = 3  # comparisons of reads that a tested move reaches back: a change, and two epochs until it is felt
SETTLED = 3  # reads: a source that differs at each of the first ones is made so, nobody changed it

SHUFFLED = (
    "The same rows must come in the same order every time: read before shuffle(), or use "
    "shuffle(reshuffle_each_iteration=False); without such a source leave live=None and watch the fixed probe alone."
)


class LiveRows:
    """At most 256 rows of a source in its own order, and whether they are still what they were.

    Args:
        source: arrays (x, y) by reference, a `PyDataset`, a `tf.data.Dataset`, or a callable -> (x, y).
        like: the probe whose kind and output hold for these rows too.

    Raises:
        InvalidInput: the source gives no (x, y), or is a data set that shuffles at each read.
    """

    def __init__(self, source: Any, like: Probe) -> None:
        self._read_source = _reader(source)
        self._like = like
        self._digests: list[Digest] = []  # of the rows and the labels of the last reads
        self._reads = 0
        self._differed = [0, 0]  # of the first reads, rows and labels
        self._print: Fingerprint | None = None  # of the last read; None where it is not known
        self._steady = False  # whether a read of another epoch has repeated: only then is another one news
        self._pending: Difference | None = None  # a difference from before that was known
        self.difference: Difference | None = None  # certain, and seen by the last read
        self.repeats = True  # whether two reads in a row give the same rows
        self.shape: tuple[tuple[int, ...], ...] = ()

    def check(self, like: Probe | None = None) -> Probe:
        """Read twice before training. The labels must agree: else a feature's move means nothing.

        Args:
            like: the probe as the model takes it; default the one that is known.

        Raises:
            InvalidInput: they do not, or the rows do not look like the probe's.
        """
        self._like = self._like if like is None else like
        before = _digests(self._checked())  # one read is let go before the next one: they may be large
        rows = self._checked()
        now = _digests(rows)
        if before.labels != now.labels:
            raise InvalidInput(f"live gave other rows at its second read: the labels differ. {SHUFFLED}")
        if rows.kind != self._like.kind or [a.shape[1:] for a in rows.inputs] != [
            a.shape[1:] for a in self._like.inputs
        ]:
            raise InvalidInput(
                f"live gives samples of shape {[a.shape[1:] for a in rows.inputs]}, the probe holds "
                f"{[a.shape[1:] for a in self._like.inputs]}: both are what `fit` gets."
            )
        self.repeats = before.rows == now.rows
        self.shape = tuple(a.shape for a in rows.inputs)
        self._digests = [now]
        self._reads, self._differed = 0, [0, 0]
        self._steady, self._pending, self.difference = False, None, None
        self._print = Fingerprint.of(rows, self._like)
        return rows

    def _checked(self) -> Probe:
        rows = self._rows()
        if rows.y is None:
            raise InvalidInput("live gives rows without labels: expected (x, y).")
        return rows

    def resume(self, digests: Sequence[Digest], *, repeats: bool) -> None:
        """Go on from the reads of a run that is continued: what changed while training was down is seen, too.

        Args:
            digests: of its reads, in their order.
            repeats: whether two reads in a row gave the same rows.
        """
        self.repeats = repeats
        if digests:
            self._reads = len(digests) - 1  # the first one takes the place of the read before training
            self._differed = [
                sum(a[k] != b[k] for a, b in itertools.pairwise(digests[: SETTLED + 1])) for k in range(2)
            ]
            if self._digests[-1:] != [digests[-1]]:
                self._print = None  # the rows are other ones already, and those of before are not kept
            self._digests = list(digests[-SPAN:])
            pairs = [self._alike(*pair) for pair in itertools.pairwise(digests)]
            self._steady = any(pairs) or len(digests) > SETTLED

    @property
    def digest(self) -> Digest:
        """Of the rows and the labels of the last read, 24 bits each."""
        return self._digests[-1]

    def read(self) -> Probe:
        """The rows now.

        Raises:
            InvalidInput: they changed their number or shape since `check`, or are other rows at every epoch.
        """
        rows = self._rows()
        if tuple(a.shape for a in rows.inputs) != self.shape:
            raise InvalidInput(
                f"live gave rows of shape {[a.shape for a in rows.inputs]}, before training {list(self.shape)}."
            )
        before, now = self._digests[-1], _digests(rows)
        self._digests = [*self._digests, now][-SPAN - 1 :]
        self._reads += 1
        if self._reads <= SETTLED:
            self._differed = [n + (a != b) for n, a, b in zip(self._differed, before, now, strict=True)]
            self._settle()
        self._compare(rows, before, now)
        return rows

    def _alike(self, before: Digest, now: Digest) -> bool:
        """Whether two reads are the same, as far as this source repeats."""
        return before.labels == now.labels and (before.rows == now.rows or not self.repeats)

    def _compare(self, rows: Probe, before: Digest, now: Digest) -> None:
        """Say what differs from the read before, once it is known that reads of different epochs repeat."""
        self.difference = None
        if self._alike(before, now):
            self._steady = True
            self.difference, self._pending = self._pending, None
            if self._print is None:
                self._print = Fingerprint.of(rows, self._like)
            return
        printed = Fingerprint.of(rows, self._like)
        difference = self._difference(printed, before, now)
        self._print = printed
        if not self.repeats and difference.changed.labels == 0:
            self._pending = None  # rows that are drawn anew at each read
        elif self._steady:
            self.difference = difference
        else:
            self._pending = difference if self._pending is None else self._pending.joined(difference)

    def _difference(self, printed: Fingerprint, before: Digest, now: Digest) -> Difference:
        if self._print is None:  # the rows of before a resumed training are not kept
            rows, labels = (-int(a != b) for a, b in zip(before, now, strict=True))
            difference = Difference(Changed(rows, labels, len(printed.labels)))
        else:
            difference = printed.against(self._print, self._like)
        return difference if self.repeats else _labels_alone(difference)

    def _settle(self) -> None:
        """Two reads in a row do not tell of what a source does between epochs, as a `PyDataset` in `on_epoch_end`."""
        rows, labels = self._differed
        if labels == SETTLED:
            raise InvalidInput(
                f"live gave other rows at each of its first {SETTLED} epochs: the labels differ. {SHUFFLED}"
            )
        if rows == SETTLED:
            self.repeats = False
            if self._pending is not None:  # rows that differ are the rule here, labels are not
                of_labels = _labels_alone(self._pending)
                self._pending = of_labels if of_labels.changed.labels else None

    @property
    def changed(self) -> bool:
        """Whether rows (where reads repeat) or labels came out differently within the last three reads: a move over two
        epochs that is felt at the end of the second began with a change before the first."""
        return not all(self._alike(*pair) for pair in itertools.pairwise(self._digests))

    def _rows(self) -> Probe:
        x, y = self._read_source()
        like = self._like
        y = of_output(y, like.output, whose="live gives")
        labels = None if y is None else coded(y[:MOST] if hasattr(y, "__getitem__") else y, like.class_names)[0]
        return Probe(self._inputs_of(as_arrays(x, "live", MOST)), labels, kind=like.kind or None, output=like.output)

    def _inputs_of(self, samples: Samples) -> Any:
        """Arrays in the inputs, the order and the shape of columns that the probe has."""
        arrays, like = samples.arrays, self._like
        names = samples.names[0]
        if like.keys is None:
            self._check_names(names if isinstance(arrays, np.ndarray) else None)
            return arrays
        if isinstance(arrays, np.ndarray) and names is not None:  # a table whose columns the model takes one by one
            arrays = {name: arrays[:, k : k + 1] for k, name in enumerate(names)}
        if not isinstance(arrays, dict):
            return arrays
        if not set(like.keys) <= set(arrays):
            raise InvalidInput(f"live gives the inputs {listed(arrays)}, the probe holds {listed(like.keys)}.")
        chosen = {key: arrays[key] for key in like.keys}
        columns = {(), (1,)}
        return {
            key: array.reshape(-1, *shape) if {array.shape[1:], shape} <= columns else array
            for (key, array), shape in zip(chosen.items(), like.shapes, strict=True)
        }

    def _check_names(self, names: Names) -> None:
        """That the columns of a frame stand where those of the probe do."""
        own = self._like.feature_names
        if names is not None and own is not None and set(names) == set(own) and names != own:
            raise InvalidInput(
                f"live gives the columns {listed(names)}, the probe holds {listed(own)}: expected the same order, as `fit` gets."
            )


def copied_rows(source: Any) -> int:
    """How many rows a read of a source brings into memory: of arrays by reference none."""
    return 0 if source is None or isinstance(source, (Probe, tuple, list)) else MOST


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
    if hasattr(source, "__next__"):
        raise InvalidInput(
            "live is an iterator, which can be read only once: give a callable -> (x, y) that makes it anew."
        )
    if (hasattr(source, "__iter__") or hasattr(source, "__getitem__")) and not hasattr(source, "dtype"):
        if backend.get_backend().reshuffles(source):
            raise InvalidInput(
                f"live is a data set with shuffle(), which draws a new order at each read; even to look at it would change "
                f"the order that training sees. {SHUFFLED}"
            )
        return lambda: _first_rows(source)
    raise InvalidInput(
        f"live is a {type(source).__name__}: expected arrays (x, y), a PyDataset, a tf.data.Dataset or a callable -> (x, y)."
    )


def _first_rows(source: Any) -> tuple[Any, Any]:
    """x and y of the first batches, in whatever structure they come."""
    batches, seen = [], 0
    items = map(source.__getitem__, range(len(source))) if hasattr(source, "__getitem__") else iter(source)
    for batch in items:
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise InvalidInput(f"live gives {type(batch).__name__}: expected batches (x, y).")
        arrays = keras.tree.map_structure(np.asarray, (batch[0], batch[1]))
        if any(a.ndim == 0 for a in keras.tree.flatten(arrays)):
            raise InvalidInput("live gives single samples: expected batches (x, y), as of dataset.batch(32).")
        batches.append(arrays)
        seen += len(keras.tree.flatten(arrays)[0])
        if seen >= MOST:
            break
    if not batches:
        raise InvalidInput("live gave no batch (x, y).")
    x, y = keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:MOST], *batches)
    return x, y


def _labels_alone(difference: Difference) -> Difference:
    """Without what rows that are drawn anew differ in."""
    shares = tuple(part for part in difference.shares if part[0] == "labels")
    return Difference(difference.changed._replace(rows=0), shares)


def _digests(rows: Probe) -> Digest:
    return Digest(_digest(rows.inputs), _digest([] if rows.y is None else [rows.y]))


def _digest(arrays: list[Any]) -> int:
    """24 bits: as many as the record of an epoch holds, so that a continued run compares what an unbroken one does."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        update_digest(digest, array)
    return int.from_bytes(digest.digest()[:3], "big")
