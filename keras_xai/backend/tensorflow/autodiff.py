"""Scores, their gradients, and loops inside the graph."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_xai.backend.protocol import Progress
from keras_xai.backend.tensorflow.layer_calls import TRANSPARENT, output_heard
from keras_xai.backend.tensorflow.state import OWN_PYTHON
from keras_xai.records import Link

LARGE = 2**22  # bytes that a loop carries from round to round
REPORTS = 20  # of a loop to the host; each takes the interpreter's lock for a moment


def find_logits(outputs: Any) -> tuple[Any, Link]:
    """The tensor to explain behind an output, float32, and what makes the output of it: "softmax", "sigmoid" or "".

    Inside a graph the op that made an output is known: where it is a softmax or a sigmoid its input is the logit. This
    finds the logit of any model, subclassed ones and Lambda layers included; a Rescaling after the softmax is no
    softmax, and is rightly left alone.
    """
    tensor = outputs
    while tensor.op.type in TRANSPARENT and len(tensor.op.inputs) == 1:
        tensor = tensor.op.inputs[0]
    if tensor.op.type in ("Softmax", "Sigmoid"):
        return tf.cast(tensor.op.inputs[0], tf.float32), "softmax" if tensor.op.type == "Softmax" else "sigmoid"
    return tf.cast(outputs, tf.float32), ""


def take_target(scores: Any, target: Any) -> Any:
    """The score of the target class (n,) of scores (n, K); the only one where K is 1."""
    if scores.shape.rank == 1:
        return scores
    if scores.shape[-1] == 1:
        return scores[:, 0]
    return tf.gather(scores, target, axis=1, batch_dims=1)


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """`score(inputs)` (n,) and its gradient with respect to each input; None where there is no path to it."""
    smooth = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in smooth])
        value = score(list(inputs))
    found = dict(zip(smooth, tape.gradient(value, [inputs[k] for k in smooth]), strict=True))
    return value, [found.get(k) for k in range(len(inputs))]


def fori_loop(
    function: Callable[[Any, list[Any]], list[Any]],
    count: int,
    initial: Sequence[Any],
    progress: Progress | None = None,
) -> list[Any]:
    """`initial` after `function(k, values)` for k in 0 … count − 1; the body is traced once, whatever `count` is.

    `progress(rounds)` is called on the host as the loop goes on; nothing of it reaches the values.
    """

    def one(k: Any, values: Any) -> Any:
        found = function(k, list(values))
        with tf.control_dependencies(_reported(k, count, progress, found)):
            return k + 1, found

    # Rounds that do not wait for each other run side by side, each with a pass of its own in memory: not where that is large.
    size = sum(tensor.dtype.size * (tensor.shape.num_elements() or 0) for tensor in initial)
    _, values = tf.while_loop(
        lambda k, _: k < count,
        one,
        (tf.constant(0), list(initial)),
        maximum_iterations=count,
        parallel_iterations=1 if size > LARGE else 10,
    )
    return list(values)


def map(function: Callable[[Any], Any], count: int, progress: Progress | None = None) -> Any:
    """`function(k)` for k in 0 … count − 1, stacked (count, ...); one at a time, so that memory holds one."""

    def one(k: Any) -> Any:
        found = function(k)
        with tf.control_dependencies(_reported(k, count, progress, [found])):
            return tf.identity(found)

    return tf.map_fn(one, tf.range(count), fn_output_signature=tf.float32, parallel_iterations=1)


def _reported(k: Any, count: int, progress: Progress | None, after: Sequence[Any]) -> list[Any]:
    """The operation that calls `progress` when round k of a loop is through, about `REPORTS` times in all."""
    if progress is None or count < 2:
        return []
    every, tell = max(1, count // REPORTS), progress

    def say() -> np.int32:
        tell(every)
        return np.int32(0)

    def told() -> tf.Tensor:
        reported = tf.numpy_function(say, [], tf.int32)
        OWN_PYTHON.add(reported.op.get_attr("token"))
        return reported

    with tf.control_dependencies(list(after)):
        due = tf.equal(k % every, every - 1)
        # Neither branch gives anything: the host is told, no more.
        return [tf.cond(due, told, lambda: tf.constant(0))]


def normal(seed: int, k: Any, shape: Sequence[int]) -> Any:
    """Standard normal draws that follow from (seed, k) alone: no generator is read or moved.

    From random bits by Box and Muller's formula: TensorFlow's own uniform and normal numbers differ under XLA, bits do not.
    """
    key = tf.stack([tf.constant(seed, tf.int32), tf.cast(k, tf.int32)])
    bits = tf.random.stateless_uniform([2, *shape], key, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    u = (tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) + 0.5) / 2.0**24
    return tf.sqrt(-2.0 * tf.math.log(u[0])) * tf.cos(2.0 * np.pi * u[1])


def forward_with_vjp(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> tuple[Any, list[list[Any]], Callable[[], tuple[list[Any], list[list[Any]]]]]:
    """`score(inputs)` (n,), what each of `layers` gave at each of its calls, and a function that makes the one backward pass.

    It gives the gradient of Σ score with respect to the inputs and to the layers' outputs, None where there is no path.
    Whatever nobody asks of it is pruned from the graph.

    The layers' `call` is watched in their instance dictionaries while `score` is being traced, so that subclassed and
    nested models work and no graph is rebuilt.
    """
    smooth = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    seen: dict[int, list[tuple[Any, Any]]] = {id(layer): [] for layer in layers}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in smooth])

        def watched(layer: keras.layers.Layer) -> Callable[[Any], Any]:
            def watch(output: Any) -> Any:
                if not tf.is_tensor(output):
                    return output
                # A zero is added, so that the tape has something of ours to differentiate by.
                delta = tf.zeros_like(output)
                tape.watch(delta)
                seen[id(layer)].append((output, delta))
                return output + delta

            return watch

        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(output_heard(layer, watched(layer)))
            value = score(list(inputs))
    calls = [seen[id(layer)] for layer in layers]

    @functools.cache
    def slopes() -> tuple[list[Any], list[list[Any]]]:
        deltas = [delta for pairs in calls for _, delta in pairs]
        found = tape.gradient(value, [*(inputs[k] for k in smooth), *deltas])
        at_inputs, rest = dict(zip(smooth, found, strict=False)), iter(found[len(smooth) :])
        return [at_inputs.get(k) for k in range(len(inputs))], [[next(rest) for _ in pairs] for pairs in calls]

    return value, [[output for output, _ in pairs] for pairs in calls], slopes


def origins(tensor: Any, inputs: Sequence[Any]) -> set[int]:
    """The numbers of the inputs that a tensor of the present graph is computed from."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}
    found: set[int] = set()
    seen, waiting = {tensor.ref()}, [tensor]
    while waiting:
        here = waiting.pop()
        if here.ref() in numbers:
            found.add(numbers[here.ref()])
            continue
        fresh = [t for t in here.op.inputs if t.ref() not in seen]
        seen |= {t.ref() for t in fresh}
        waiting += fresh
    return found
