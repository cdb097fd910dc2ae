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
from keras_xai.probe import Probe
from keras_xai.probe.chunks import update_digest
from keras_xai.records import Changed, Digest

MAX_ROWS = 256
COMPARED_READS = 3  # that a tested move reaches back: a change, and two epochs until it is felt
FIRST_READS = 3  # a source that differs at each of them is made so, nobody changed it

SHUFFLED = (
    "The same rows must come in the same order every time: read before shuffle(), or use "
    "shuffle(reshuffle_each_iteration=False); without such a source leave live=None and watch the fixed probe alone."
)


class LiveRows:
    """At most 256 rows of a source in its own order, compared with what they were.

    Args:
        source: arrays (x, y) by reference, a `PyDataset`, a `tf.data.Dataset`, or a callable -> (x, y).
        like: the probe whose kind and output hold for these rows too.

    Raises:
        InvalidInput: the source gives no (x, y), or is a data set that shuffles at each read.

    Attributes:
        difference: what differs from the read before, where that is certain; None where nothing does.
        repeats: two reads in a row give the same rows.
        shape: of the rows, one for each input.
    """

    def __init__(self, source: Any, like: Probe) -> None:
        self._read_source = _reader(source)
        self._like = like
        self._digests: list[Digest] = []  # of the rows and the labels of the last reads
        self._reads = 0
        self._differing = [0, 0]  # of the first reads those with other rows, and with other labels
        self._fingerprint: Fingerprint | None = None  # of the last read; None where it is not known
        self._is_steady = False  # a read of another epoch has repeated: only then is a difference a change
        self._pending: Difference | None = None  # from before it was steady
        self.difference: Difference | None = None
        self.repeats = True
        self.shape: tuple[tuple[int, ...], ...] = ()

    def check(self, like: Probe | None = None) -> Probe:
        """Read twice before training. The labels must agree: else a feature's move means nothing.

        Args:
            like: the probe as the model takes it; default the one that is known.

        Raises:
            InvalidInput: they do not, or the rows do not look like the probe's.
        """
        self._like = self._like if like is None else like
        first = _digests(self._labelled_rows())  # one read is let go before the next one: they may be large
        rows = self._labelled_rows()
        digest = _digests(rows)
        if first.labels != digest.labels:
            raise InvalidInput(f"live gave other rows at its second read: the labels differ. {SHUFFLED}")
        shapes, expected = _sample_shapes(rows), _sample_shapes(self._like)
        if rows.kind != self._like.kind or shapes != expected:
            raise InvalidInput(
                f"live gives samples of shape {shapes}, the probe holds {expected}: both are what `fit` gets."
            )
        self.repeats = first.rows == digest.rows
        self.shape = tuple(a.shape for a in rows.inputs)
        self._digests = [digest]
        self._reads, self._differing = 0, [0, 0]
        self._is_steady, self._pending, self.difference = False, None, None
        self._fingerprint = Fingerprint.of(rows, self._like)
        return rows

    def _labelled_rows(self) -> Probe:
        rows = self._rows()
        if rows.y is None:
            raise InvalidInput("live gives rows without labels: expected (x, y).")
        return rows

    def resume(self, digests: Sequence[Digest], *, repeats: bool) -> None:
        """Go on from the reads of a run that is continued: what changed while training was down counts, too.

        Args:
            digests: of its reads, in their order.
            repeats: two reads in a row gave the same rows.
        """
        self.repeats = repeats
        if not digests:
            return
        self._reads = len(digests) - 1  # the first one takes the place of the read before training
        first_pairs = list(itertools.pairwise(digests[: FIRST_READS + 1]))
        self._differing = [
            sum(before.rows != after.rows for before, after in first_pairs),
            sum(before.labels != after.labels for before, after in first_pairs),
        ]
        if self._digests[-1:] != [digests[-1]]:
            self._fingerprint = None  # the rows are other ones already, and those of before are not kept
        self._digests = list(digests[-COMPARED_READS:])
        pairs = [self._repeat(*pair) for pair in itertools.pairwise(digests)]
        self._is_steady = any(pairs) or len(digests) > FIRST_READS

    @property
    def digest(self) -> Digest:
        """The check sums of the last read."""
        return self._digests[-1]

    def read(self) -> Probe:
        """Read the rows anew.

        Raises:
            InvalidInput: they changed their number or shape since `check`, or are other rows at every epoch.
        """
        rows = self._rows()
        if tuple(a.shape for a in rows.inputs) != self.shape:
            raise InvalidInput(
                f"live gave rows of shape {[a.shape for a in rows.inputs]}, before training {list(self.shape)}."
            )
        before, digest = self._digests[-1], _digests(rows)
        self._digests = [*self._digests, digest][-COMPARED_READS - 1 :]
        self._reads += 1
        if self._reads <= FIRST_READS:
            self._differing[0] += before.rows != digest.rows
            self._differing[1] += before.labels != digest.labels
            self._judge_source()
        self._compare(rows, before, digest)
        return rows

    def _repeat(self, before: Digest, after: Digest) -> bool:
        """Return True where two reads are the same, as far as this source repeats."""
        return before.labels == after.labels and (before.rows == after.rows or not self.repeats)

    def _compare(self, rows: Probe, before: Digest, digest: Digest) -> None:
        """Set `difference` from the read before, once it is known that reads of different epochs repeat."""
        self.difference = None
        if self._repeat(before, digest):
            self._is_steady = True
            self.difference, self._pending = self._pending, None
            if self._fingerprint is None:
                self._fingerprint = Fingerprint.of(rows, self._like)
            return
        fingerprint = Fingerprint.of(rows, self._like)
        difference = self._difference(fingerprint, before, digest)
        self._fingerprint = fingerprint
        if not self.repeats and difference.changed.labels == 0:
            self._pending = None  # rows that are drawn anew at each read
        elif self._is_steady:
            self.difference = difference
        else:
            self._pending = difference if self._pending is None else self._pending.joined(difference)

    def _difference(self, fingerprint: Fingerprint, before: Digest, digest: Digest) -> Difference:
        if self._fingerprint is None:  # the rows of before a resumed training are not kept
            rows, labels = -int(before.rows != digest.rows), -int(before.labels != digest.labels)
            difference = Difference(Changed(rows, labels, len(fingerprint.labels)))
        else:
            difference = fingerprint.compare(self._fingerprint, self._like)
        return difference if self.repeats else _labels_alone(difference)

    def _judge_source(self) -> None:
        """Judge the source by its first reads: two in a row say nothing of what a `PyDataset` does in `on_epoch_end`."""
        rows, labels = self._differing
        if labels == FIRST_READS:
            raise InvalidInput(
                f"live gave other rows at each of its first {FIRST_READS} epochs: the labels differ. {SHUFFLED}"
            )
        if rows == FIRST_READS:
            self.repeats = False
            if self._pending is not None:  # rows that differ are the rule here, labels are not
                of_labels = _labels_alone(self._pending)
                self._pending = of_labels if of_labels.changed.labels else None

    @property
    def changed(self) -> bool:
        """True where rows (where reads repeat) or labels came out differently within the last three reads: a move over two
        epochs that is felt at the end of the second began with a change before the first."""
        return not all(self._repeat(*pair) for pair in itertools.pairwise(self._digests))

    def _rows(self) -> Probe:
        x, y = self._read_source()
        like = self._like
        y = of_output(y, like.output, whose="live gives")
        labels = None
        if y is not None:
            labels, *_ = coded(y[:MAX_ROWS] if hasattr(y, "__getitem__") else y, like.class_names)
        inputs = self._inputs_of(as_arrays(x, "live", MAX_ROWS))
        return Probe(inputs, labels, kind=like.kind or None, output=like.output)

    def _inputs_of(self, samples: Samples) -> Any:
        """Return arrays in the inputs, the order and the shape of columns that the probe has."""
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
        """Check that the columns of a frame stand where those of the probe do."""
        expected = self._like.feature_names
        if names is None or expected is None or names == expected:
            return
        if set(names) == set(expected):
            raise InvalidInput(
                f"live gives the columns {listed(names)}, the probe holds {listed(expected)}: expected the same order, as `fit` "
                f"gets."
            )


def copied_rows(source: Any) -> int:
    """Return how many rows a read of a source brings into memory: of arrays by reference none."""
    return 0 if source is None or isinstance(source, (Probe, tuple, list)) else MAX_ROWS


def _reader(source: Any) -> Callable[[], tuple[Any, Any]]:
    if isinstance(source, Probe):
        return lambda: (source.x, source.y)
    if isinstance(source, (tuple, list)):
        if len(source) != 2:
            raise InvalidInput(f"live has {len(source)} entries: expected (x, y).")
        return lambda: (source[0], source[1])
    if callable(source):

        def called() -> tuple[Any, Any]:
            pair = source()
            if not isinstance(pair, (tuple, list)) or len(pair) < 2:
                raise InvalidInput(f"live() returned {type(pair).__name__}: expected (x, y).")
            return pair[0], pair[1]

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
    """Return x and y of the first batches, in whatever structure they come."""
    batches, rows = [], 0
    items = map(source.__getitem__, range(len(source))) if hasattr(source, "__getitem__") else iter(source)
    for batch in items:
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise InvalidInput(f"live gives {type(batch).__name__}: expected batches (x, y).")
        arrays = keras.tree.map_structure(np.asarray, (batch[0], batch[1]))
        if any(a.ndim == 0 for a in keras.tree.flatten(arrays)):
            raise InvalidInput("live gives single samples: expected batches (x, y), as of dataset.batch(32).")
        batches.append(arrays)
        rows += len(keras.tree.flatten(arrays)[0])
        if rows >= MAX_ROWS:
            break
    if not batches:
        raise InvalidInput("live gave no batch (x, y).")
    x, y = keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:MAX_ROWS], *batches)
    return x, y


def _labels_alone(difference: Difference) -> Difference:
    """Return a difference without what rows that are drawn anew differ in."""
    shares = tuple(part for part in difference.shares if part[0] == "labels")
    return Difference(difference.changed._replace(rows=0), shares)


def _sample_shapes(rows: Probe) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in rows.inputs]


def _digests(rows: Probe) -> Digest:
    return Digest(_digest(rows.inputs), _digest([] if rows.y is None else [rows.y]))


def _digest(arrays: list[Any]) -> int:
    """24 bits: as many as the record of an epoch holds, so that a continued run compares what an unbroken one does."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        update_digest(digest, array)
    return int.from_bytes(digest.digest()[:3], "big")
