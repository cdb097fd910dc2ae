"""Loops inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_xai.backend.protocol import Progress
from keras_xai.backend.tensorflow.state import OWN_PYTHON

LARGE_CARRY = 2**22  # bytes that a loop carries from round to round
REPORTS = 20  # of a loop to the host; each takes the interpreter's lock for a moment


def fori_loop(
    function: Callable[[Any, list[Any]], list[Any]],
    count: int,
    initial: Sequence[Any],
    progress: Progress | None = None,
) -> list[Any]:
    """See `Backend`."""
    if count == 1:
        return list(function(tf.constant(0), list(initial)))  # a loop in the graph takes as long again to trace

    def body(k: Any, values: Any) -> Any:
        values = function(k, list(values))
        with tf.control_dependencies(_reports(k, count, progress, values)):
            return k + 1, values

    # Rounds that do not wait for each other run side by side, each with a pass of its own in memory: not where that is large.
    size = sum(tensor.dtype.size * (tensor.shape.num_elements() or 0) for tensor in initial)
    _, values = tf.while_loop(
        lambda k, _: k < count,
        body,
        (tf.constant(0), list(initial)),
        maximum_iterations=count,
        parallel_iterations=1 if size > LARGE_CARRY else 10,
    )
    return list(values)


def map(function: Callable[[Any], Any], count: int, progress: Progress | None = None) -> Any:
    """See `Backend`."""

    def body(k: Any) -> Any:
        value = function(k)
        with tf.control_dependencies(_reports(k, count, progress, [value])):
            return tf.identity(value)

    return tf.map_fn(body, tf.range(count), fn_output_signature=tf.float32, parallel_iterations=1)


def _reports(k: Any, count: int, progress: Progress | None, after: Sequence[Any]) -> list[Any]:
    """The operation that calls `progress` when round k of a loop is through, about `REPORTS` times in all."""
    if progress is None or count < 2:
        return []
    rounds, call = max(1, count // REPORTS), progress

    def on_host() -> np.int32:
        call(rounds)
        return np.int32(0)

    def report() -> tf.Tensor:
        reported = tf.numpy_function(on_host, [], tf.int32)
        OWN_PYTHON.add(reported.op.get_attr("token"))
        return reported

    with tf.control_dependencies(list(after)):
        due = tf.equal(k % rounds, rounds - 1)
        # Neither branch gives a value that is used: the host is told, no more.
        return [tf.cond(due, report, lambda: tf.constant(0))]
