"""The same training rows, read again from the user's own source every epoch and compared with the reads before."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.callbacks.drawn_rows import drawn_rows
from keras_xai.callbacks.fingerprint import Difference, Fingerprint, row_hashes
from keras_xai.errors import InvalidInput, listed
from keras_xai.frames import Names, Rows, Samples, as_arrays, row_count, rows_of
from keras_xai.labels import coded, of_output
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.spec import output_name
from keras_xai.probe import Probe
from keras_xai.probe.batches import each_batch, joined
from keras_xai.probe.chunks import update_digest
from keras_xai.probe.tensorflow_dataset import reshuffles
from keras_xai.records import Changed, Digest
from keras_xai.tree import leaves

MAX_LIVE_ROWS = 512
MAX_COMPARED_ENTRIES = 50_000_000  # of arrays, in which rows of the probe are looked for
COMPARED_READS = 3  # pairs of reads in which a change explains a move: it may show two epochs later
FIRST_READS = 3  # where rows differ at each of these the source draws them anew at every read: nobody changed it

SAME_ORDER_ADVICE = (
    "The same rows must come in the same order every time: read before shuffle(), or use "
    "shuffle(reshuffle_each_iteration=False); without such a source leave live=None and watch the fixed probe alone."
)


class LiveRows:
    """At most 512 rows of a source, compared with those of the reads before: drawn from arrays, else the first.

    Args:
        source: arrays (x, y) by reference, a `PyDataset`, a `tf.data.Dataset`, a `DataLoader` of torch's (read in the
            order of its data set, also where it shuffles), or a callable -> (x, y).
        probe: the fixed probe, whose kind, inputs and output these rows share.

    Raises:
        InvalidInput: the source gives no (x, y), or is a data set that shuffles at each read.

    Attributes:
        difference: the last read's difference from the one before, where it is certain that the source was changed; else
            None.
        repeats: two reads in a row give the same rows.
        shape: of the rows, one for each input.
        numbers: (n,) of the rows in their source.
    """

    def __init__(self, source: Any, probe: Probe) -> None:
        self._read_source = _reader(source)
        self._probe = probe
        self._digests: list[Digest] = []  # of the rows and the labels of the last reads
        self._reads = 0
        self._differing = [0, 0]  # of the first reads: how many had other rows, and how many other labels
        self._fingerprint: Fingerprint | None = None  # of the last read; None where it is not known
        self._is_steady = False  # a read of another epoch has repeated: only then is a difference a change
        self._is_steady_inside = False  # one of the same epoch has: a data set may shuffle between two epochs
        self._epoch: int | None = None  # of the last read; None for that before training
        self._pending: Difference | None = None  # from before it was steady: reported once it is
        self.difference: Difference | None = None
        self.repeats = True
        self.numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._is_drawn = isinstance(source, (Probe, tuple, list))  # else the rows are the first
        self.shape: tuple[tuple[int, ...], ...] = ()

    def check(self, probe: Probe | None = None) -> Probe:
        """Read twice before training. The labels must agree: else a feature's move means nothing.

        Args:
            probe: the fixed probe as the model takes it; default the one of the constructor.

        Returns:
            The rows of the second read.

        Raises:
            InvalidInput: the labels differ, or the rows have another shape or kind than the probe.
        """
        self._probe = self._probe if probe is None else probe
        self.numbers = np.zeros(0, np.int64)
        first = _digests(self._labelled_rows())  # the rows of this read are released before the next: they may be large
        rows = self._labelled_rows()
        digest = _digests(rows)
        if first.labels != digest.labels:
            raise InvalidInput(f"live gave other rows at its second read: the labels differ. {SAME_ORDER_ADVICE}")
        shapes, expected = _sample_shapes(rows), _sample_shapes(self._probe)
        if rows.kind != self._probe.kind or shapes != expected:
            raise InvalidInput(
                f"live gives samples of shape {shapes}, the probe holds {expected}: both are what `fit` gets."
            )
        self.repeats = first.rows == digest.rows
        self.shape = tuple(a.shape for a in rows.inputs)
        self._digests = [digest]
        self._reads, self._differing = 0, [0, 0]
        self._is_steady, self._pending, self.difference = False, None, None
        self._is_steady_inside, self._epoch = False, None
        self._fingerprint = Fingerprint.of(rows, self._probe)
        return rows

    def _labelled_rows(self) -> Probe:
        rows = self._rows()
        if rows.y is None and self._reads_labels:
            raise InvalidInput("live gives rows without labels: expected (x, y).")
        return rows

    @property
    def _reads_labels(self) -> bool:
        """True but for boxes, which the loss matches with the model's own."""
        output = self._probe.output
        return not isinstance(output, Dense) or output.has_labels

    def resume(self, reads: Sequence[tuple[int, Digest]], *, repeats: bool) -> None:
        """Go on from the reads of a run that is continued: a change while no training ran counts, too.

        Args:
            reads: of the run, in their order, with their epochs.
            repeats: two reads in a row gave the same rows.
        """
        self.repeats = repeats
        if not reads:
            return
        digests = [digest for _, digest in reads]
        of_epochs = [digest for k, (epoch, digest) in enumerate(reads) if not k or epoch != reads[k - 1][0]]
        self._reads = len(of_epochs) - 1  # the first one counts as the read before training
        self._epoch = reads[-1][0]
        first_pairs = list(itertools.pairwise(of_epochs[: FIRST_READS + 1]))
        self._differing = [
            sum(before.rows != after.rows for before, after in first_pairs),
            sum(before.labels != after.labels for before, after in first_pairs),
        ]
        if self._digests[-1:] != [digests[-1]]:
            self._fingerprint = None  # the rows have changed already, and the earlier ones are not kept
        self._digests = list(digests[-COMPARED_READS:])
        for (epoch, before), (next_epoch, after) in itertools.pairwise(reads):
            if self._are_equal(before, after):
                self._is_steady |= epoch != next_epoch
                self._is_steady_inside |= epoch == next_epoch
        self._is_steady |= len(of_epochs) > FIRST_READS

    def overlap(self, rows: Probe) -> float:
        """Return the part of the probe's rows that are rows of the source, 0 to 1.

        Args:
            rows: that were read from it: no source but arrays is read once more.

        Of arrays all rows are looked at, where they are no more than 50 million numbers, else those that are read. A row that
        occurs more than once in its own set is left out: few values, as flags have, are equal by chance.
        """
        inputs = rows.inputs
        if self._is_drawn:
            x, _ = self._read_source()
            if sum(int(np.prod(getattr(part, "shape", (0,)))) for part in leaves(x)) <= MAX_COMPARED_ENTRIES:
                inputs = leaves(self._inputs_of(as_arrays(x, "live")))
        return _part_within(row_hashes(self._probe.inputs), row_hashes(inputs))

    @property
    def digest(self) -> Digest:
        """The check sums of the last read."""
        return self._digests[-1]

    def read(self, epoch: int | None = None) -> Probe:
        """Read the rows again, and set `difference`.

        Args:
            epoch: in which they are read; None for one of its own.

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
        is_of_another_epoch, self._epoch = epoch is None or epoch != self._epoch, epoch
        self._reads += is_of_another_epoch
        if is_of_another_epoch and self._reads <= FIRST_READS:
            self._differing[0] += before.rows != digest.rows
            self._differing[1] += before.labels != digest.labels
            self._judge_source()
        self._compare(rows, before, digest, is_of_another_epoch=is_of_another_epoch)
        return rows

    def _are_equal(self, before: Digest, after: Digest) -> bool:
        """Return True where two reads have the same labels and, if this source repeats its rows, the same rows."""
        return before.labels == after.labels and (before.rows == after.rows or not self.repeats)

    def _compare(self, rows: Probe, before: Digest, digest: Digest, *, is_of_another_epoch: bool) -> None:
        """Set `difference` from the read before, once it is known that such reads repeat."""
        self.difference = None
        if self._are_equal(before, digest):
            if is_of_another_epoch:
                self._is_steady = True
                self.difference, self._pending = self._pending, None
            else:
                self._is_steady_inside = True
            if self._fingerprint is None:
                self._fingerprint = Fingerprint.of(rows, self._probe)
            return
        fingerprint = Fingerprint.of(rows, self._probe)
        difference = self._difference(fingerprint, before, digest)
        self._fingerprint = fingerprint
        if not self.repeats and difference.changed.labels == 0:
            self._pending = None  # the source draws its rows anew at each read: that is no change
        elif self._is_steady or (self._is_steady_inside and not is_of_another_epoch):
            self.difference = difference
        else:
            self._pending = difference if self._pending is None else self._pending.joined(difference)

    def _difference(self, fingerprint: Fingerprint, before: Digest, digest: Digest) -> Difference:
        if self._fingerprint is None:  # the rows that were read before a training was resumed are not kept
            rows, labels = -int(before.rows != digest.rows), -int(before.labels != digest.labels)
            difference = Difference(Changed(rows, labels, len(fingerprint.labels)))
        else:
            difference = fingerprint.compare(self._fingerprint, self._probe)
        return difference if self.repeats else _labels_alone(difference)

    def _judge_source(self) -> None:
        """Judge by the first epochs whether the source repeats: a `PyDataset` may shuffle in `on_epoch_end` only."""
        rows, labels = self._differing
        if labels == FIRST_READS:
            raise InvalidInput(
                f"live gave other rows at each of its first {FIRST_READS} epochs: the labels differ. {SAME_ORDER_ADVICE}"
            )
        if rows == FIRST_READS:
            self.repeats = False
            if self._pending is not None:  # other rows are usual for this source, other labels are not
                label_difference = _labels_alone(self._pending)
                self._pending = label_difference if label_difference.changed.labels else None

    @property
    def changed(self) -> bool:
        """True where one of the last three reads differs from the read before it, in labels or in rows that used to repeat.

        Three, since a move over two epochs, which shows at the end of the second, began with a change before the first.
        """
        return not all(self._are_equal(*pair) for pair in itertools.pairwise(self._digests))

    def _rows(self) -> Probe:
        x, y = self._read_source()
        probe = self._probe
        by_position = isinstance(probe.output, Dense)
        if self._reads_labels:
            y = of_output(y, output_name(probe.output), whose="live gives")
        else:
            y = None
        labels, rows = None, self._rows_to_take(x, y)
        if y is not None:
            labels, *_ = coded(rows_of(y, rows), probe.class_names, by_position=by_position)
        inputs = self._inputs_of(as_arrays(x, "live", rows))
        taken = Probe(inputs, labels, kind=probe.kind or None, output=probe.output)
        if not len(self.numbers):
            self.numbers = np.arange(taken.size)
        return taken

    def _rows_to_take(self, x: Any, y: Any) -> Rows:
        """Return which rows of the source are read: drawn at the first read, for their labels may change later."""
        if not self._is_drawn or y is None:
            return slice(MAX_LIVE_ROWS)
        if not len(self.numbers):
            labels, _ = coded(y, self._probe.class_names, by_position=isinstance(self._probe.output, Dense))
            if any(count not in (None, len(labels)) for count in map(row_count, leaves(x))):
                return slice(MAX_LIVE_ROWS)  # which is refused with both lengths
            by_position = isinstance(self._probe.output, Dense)
            self.numbers = drawn_rows(labels, MAX_LIVE_ROWS, may_be_classes=not by_position)
        return slice(None) if len(y) <= MAX_LIVE_ROWS else self.numbers

    def _inputs_of(self, samples: Samples) -> Any:
        """Return the arrays as the probe has its own: the same inputs in the same order, columns in the same shape."""
        arrays, probe = samples.arrays, self._probe
        names = samples.names[0]
        if probe.keys is None:
            self._check_names(names if isinstance(arrays, np.ndarray) else None)
            return arrays
        if isinstance(arrays, np.ndarray) and names is not None:  # a table whose columns the model takes one by one
            arrays = {name: arrays[:, k : k + 1] for k, name in enumerate(names)}
        if not isinstance(arrays, dict):
            return arrays
        if not set(probe.keys) <= set(arrays):
            raise InvalidInput(f"live gives the inputs {listed(arrays)}, the probe holds {listed(probe.keys)}.")
        inputs = {}
        for key, shape in zip(probe.keys, probe.shapes, strict=True):
            array = arrays[key]
            is_column = {array.shape[1:], shape} <= {(), (1,)}  # (B) and (B, 1) are the same column
            inputs[key] = array.reshape(-1, *shape) if is_column else array
        return inputs

    def _check_names(self, names: Names) -> None:
        """Check that the columns of a frame are in the order of the probe's."""
        expected = self._probe.feature_names
        if names is None or expected is None or names == expected:
            return
        if set(names) == set(expected):
            raise InvalidInput(
                f"live gives the columns {listed(names)}, the probe holds {listed(expected)}: expected the same order, as `fit` "
                f"gets."
            )


def copied_rows(source: Any) -> int:
    """Return how many rows a read of a source copies into memory: none of arrays by reference that are read whole."""
    if source is None:
        return 0
    is_read_whole = isinstance(source, Probe) and len(source) <= MAX_LIVE_ROWS
    if isinstance(source, (tuple, list)) and len(source) == 2:
        is_read_whole = all((row_count(part) or 0) <= MAX_LIVE_ROWS for part in leaves(source[0]))
    return 0 if is_read_whole else MAX_LIVE_ROWS


def _reader(source: Any) -> Callable[[], tuple[Any, Any]]:
    """Return a function that reads (x, y) from a source; it can be pickled wherever the source can.

    Raises:
        InvalidInput: a source that cannot be read, or not twice in the same order.
    """
    if isinstance(source, Probe):
        return functools.partial(_pair, source.x, source.y)
    if isinstance(source, (tuple, list)):
        if len(source) != 2:
            raise InvalidInput(f"live has {len(source)} entries: expected (x, y).")
        return functools.partial(_pair, source[0], source[1])
    if callable(source):
        return functools.partial(_called, source)
    if hasattr(source, "__next__"):
        raise InvalidInput(
            "live is an iterator, which can be read only once: give a callable -> (x, y) that makes it anew."
        )
    if (hasattr(source, "__iter__") or hasattr(source, "__getitem__")) and not hasattr(source, "dtype"):
        if reshuffles(source):
            raise InvalidInput(
                f"live is a data set with shuffle(), which draws a new order at each read; even to look at it would change "
                f"the order that training sees. {SAME_ORDER_ADVICE}"
            )
        return functools.partial(_first_rows, source)
    raise InvalidInput(
        f"live is a {type(source).__name__}: expected arrays (x, y), a PyDataset, a tf.data.Dataset, a DataLoader or a "
        f"callable -> (x, y)."
    )


def _pair(x: Any, y: Any) -> tuple[Any, Any]:
    return x, y


def _called(source: Callable[[], Any]) -> tuple[Any, Any]:
    """Return x and y that a callable gives."""
    pair = source()
    if not isinstance(pair, (tuple, list)) or len(pair) < 2:
        raise InvalidInput(f"live() returned {type(pair).__name__}: expected (x, y).")
    return pair[0], pair[1]


def _first_rows(source: Any) -> tuple[Any, Any]:
    """Return x and y of the first rows of a data set, in the structure of its batches."""
    batches, rows = [], 0
    for batch in each_batch(source):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise InvalidInput(f"live gives {type(batch).__name__}: expected batches (x, y).")
        arrays = keras.tree.map_structure(as_array, (batch[0], batch[1]))
        if any(a.ndim == 0 for a in keras.tree.flatten(arrays)):
            raise InvalidInput("live gives single samples: expected batches (x, y), as of dataset.batch(32).")
        batches.append(arrays)
        rows += len(keras.tree.flatten(arrays)[0])
        if rows >= MAX_LIVE_ROWS:
            break
    if not batches:
        raise InvalidInput("live gave no batch (x, y).")
    x, y = keras.tree.map_structure(lambda *parts: joined(list(parts), "live")[:MAX_LIVE_ROWS], *batches)
    return x, y


def _part_within(probe: NDArray[np.uint64], source: NDArray[np.uint64]) -> float:
    """Return which part of some hashes are among others, 0 to 1, of those that occur once; 0 where few do."""
    values, counts = np.unique(probe, return_counts=True)
    of_source, source_counts = np.unique(source, return_counts=True)
    repeated = of_source[source_counts > 1]
    single = values[(counts == 1) & ~np.isin(values, repeated)]
    return float(np.isin(single, of_source).mean()) if 10 * len(single) >= len(probe) else 0.0


def _labels_alone(difference: Difference) -> Difference:
    """Return the difference of the labels without that of the rows."""
    shares = tuple((name, share) for name, share in difference.shares if name == "labels")
    return Difference(difference.changed._replace(rows=0), shares)


def _sample_shapes(rows: Probe) -> list[tuple[int, ...]]:
    return [array.shape[1:] for array in rows.inputs]


def rows_hash(rows: Probe) -> str:
    """Return a hash of rows and labels: equal only for the same ones."""
    digest = hashlib.sha256()
    for array in (*rows.inputs, *([] if rows.y is None else [rows.y])):
        digest.update(repr((array.shape, str(array.dtype))).encode())
        update_digest(digest, array)
    return digest.hexdigest()


def _digests(rows: Probe) -> Digest:
    return Digest(_digest(rows.inputs), _digest([] if rows.y is None else [rows.y]))


def _digest(arrays: list[Any]) -> int:
    """Return a check sum of 24 bits: as many as the file of a run holds, so that a continued run compares the same."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        update_digest(digest, array)
    return int.from_bytes(digest.digest()[:3], "big")
