"""A log of the rows of train steps, on the device: what `row_watch` adds to the graph of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_xai.backend.loss_hook import with_loss_hook
from keras_xai.backend.recorder import NotCaptured
from keras_xai.backend.row_watch import (
    COLUMNS,
    NO_LOSS,
    NOT_NUMBERS,
    SEVERAL_LOSSES,
    LoggedRows,
    RowFunction,
    fault_words,
)
from keras_xai.backend.tensorflow.graphs import current_graph
from keras_xai.digests import PERIOD, multipliers

T = TypeVar("T")
CAPACITY = 1 << 16  # rows: 1.5 MiB


class RowLog:
    """The last rows of train steps, float32 (CAPACITY, 6): digests as bits, then figures.

    As `GradientSums` it has only operations that XLA compiles and that cannot fail while a step runs, and belongs to neither
    the model nor the optimizer. A row that there is no room for takes the place of the oldest one, which is counted as lost.

    Args:
        model: in training.
        figures: of rows.

    Attributes:
        reason: why rows cannot be logged, "" while they can.
        rows: that were read.
    """

    def __init__(self, model: keras.Model, figures: RowFunction) -> None:
        self.reason = ""
        self._model, self._figures = model, figures
        self._noted: list[tuple[tf.Graph, tuple[Any, Any, Any]]] = []  # x, y, y_pred in the graphs of plain steps
        self._calls = 0  # of `compute_loss` in the step that is heard
        with tf.init_scope():
            self._table = tf.Variable(tf.zeros([CAPACITY, COLUMNS]), trainable=False)
            self._count = tf.Variable(tf.zeros([], tf.int64), trainable=False)

    def noting(self, run: Callable[[], T]) -> T:
        """Return `run()`, which traces the plain step, and note its outputs; nothing is added to its graph."""
        return with_loss_hook(self._model, self._note, run)

    def hearing(self, run: Callable[[], T]) -> T:
        """Return `run()`, a step that is traced or runs eagerly, and log its rows."""
        self._calls = 0
        result = with_loss_hook(self._model, self._hear, run)
        if self._calls != 1:
            self.reason = self.reason or (SEVERAL_LOSSES if self._calls else NO_LOSS)
        return result

    def add_noted(self, graph: tf.Graph, built: Callable[[Any], Any]) -> None:
        """Log the rows of a step that is built again from the graph of the plain one."""
        noted = self._noted_in(graph)
        if len(noted) > 1:
            self.reason = self.reason or SEVERAL_LOSSES
        else:
            self._add(*map(built, noted[0]))

    def has_noted(self, graph: tf.Graph) -> bool:
        """Return True where the outputs in the graph of a plain step are known."""
        return bool(self._noted_in(graph))

    def _noted_in(self, graph: tf.Graph) -> list[tuple[Any, Any, Any]]:
        return [values for noted_graph, values in self._noted if noted_graph is graph]

    def _note(self, x: Any, y: Any, y_pred: Any) -> None:
        graph = current_graph()
        if graph is not None:
            self._noted.append((graph, (x, y, y_pred)))

    def _hear(self, x: Any, y: Any, y_pred: Any) -> None:
        self._calls += 1
        if self._calls == 1:
            self._add(x, y, y_pred)

    def _add(self, x: Any, y: Any, y_pred: Any) -> None:
        """Add the rows of a step. A fault is the reason why none are logged, and leaves the step as it is."""
        if self.reason:
            return
        try:
            digest = tf.bitcast(_digest(x), tf.float32)
            table = tf.concat([digest, tf.cast(self._figures(y, y_pred), tf.float32)], 1)
        except Exception as fault:
            self.reason = fault_words(fault)
            return
        rows = tf.shape(table, tf.int64)[0]
        places = (self._count + tf.range(rows)) % CAPACITY
        self._table.scatter_update(tf.IndexedSlices(table, places))
        self._count.assign_add(rows)

    def read(self) -> LoggedRows:
        """Return the rows since the last call."""
        count = int(self._count.numpy())
        if not count:
            return LoggedRows.of(self._table[:0].numpy())
        table = self._table[: min(count, CAPACITY)].numpy()
        self._count.assign(0)
        return LoggedRows.of(table, max(0, count - CAPACITY))


def _digest(x: Any) -> tf.Tensor:
    """Return the digests (n, 2) int32 of the rows of a batch, see `digests`."""
    halves: tf.Tensor | None = None
    for number, leaf in enumerate(keras.tree.flatten(x)):
        if leaf is None:
            continue
        if not isinstance(leaf, tf.Tensor) or not (
            leaf.dtype.is_integer or leaf.dtype.is_floating or leaf.dtype.is_bool
        ):
            raise NotCaptured(NOT_NUMBERS)
        flat = tf.reshape(leaf, [tf.shape(leaf)[0], -1]) if leaf.shape.rank != 2 else leaf
        bits = tf.bitcast(tf.cast(flat, tf.float32), tf.int32) if leaf.dtype.is_floating else tf.cast(flat, tf.int32)
        mixed = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, 16))
        sums = tf.stack([tf.reduce_sum(mixed * half, 1) for half in _factors(number, leaf, mixed)], 1)
        halves = sums if halves is None else halves + sums
    if halves is None:
        raise NotCaptured(NOT_NUMBERS)
    return halves


def _factors(number: int, leaf: tf.Tensor, bits: tf.Tensor) -> list[Any]:
    """Return the two rows of factors for a row's values, of which there may be another number in each batch."""
    size = leaf.shape[1:].num_elements() if leaf.shape.rank is not None else None
    if size is not None:
        return list(multipliers(number, size))
    places = tf.range(tf.shape(bits)[1]) % PERIOD
    return [tf.gather(tf.constant(half), places) for half in multipliers(number, PERIOD)]
