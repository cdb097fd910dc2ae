"""DeepLIFT's multipliers: how each operation hands a difference from the baseline back to its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_xai.backend.deeplift import DeepLiftWalk
from keras_xai.backend.protocol import Multipliers, NoRule, TargetScores
from keras_xai.backend.tape import Key, Path, Step, path_of
from keras_xai.backend.tensorflow.tape import GraphTape, leaves_samples_in_front
from keras_xai.backend.walk import add_to

_NARROW_CHANGE = 1e-5  # so small beside its values that their difference is rounding
_SMALL_STEP = 2.0**-21  # some steps of single precision
_SMALLEST_BASE = 1e-30

Twins = dict[Step, Step]  # of each step of the samples, the one of their baselines that belongs to it


def deeplift_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    baseline: Sequence[Any],
    target: TargetScores,
    shared_baseline: bool = False,
) -> Multipliers:
    """See `Backend`.

    The scores of the samples and of their baselines are the same operations twice. Those of the samples are walked backwards,
    each with its twin; each hands its multiplier on to its inputs, as a gradient of the samples alone would. Where all
    baselines are one and the same, one row stands for them, if a single row stands beside n all the way.
    """
    final, aux = scores(list(inputs))
    tape = GraphTape(inputs, final)
    path = path_of(tape)
    start: Any = None
    twins: Twins | None = None
    if shared_baseline and inputs[0].shape[0] > 1:
        with contextlib.suppress(Exception):  # of a model, or an output of the user's, that takes no single row
            start, twins = _with_twins(scores, [b[:1] for b in baseline], path)
    if twins is None or not all(_stands_beside(step.operation, twins[step].operation) for step in path.steps):
        start, twins = _with_twins(scores, baseline, path)
    walk = _DeepLift(tape, path, twins, dict(zip(tape.inputs, baseline, strict=True)))
    multipliers = walk.multipliers(target.weights(final))
    if start.shape != final.shape:
        start = tf.broadcast_to(start, final.shape)
    return Multipliers(target.select(final), target.select(start), multipliers, aux)


def _with_twins(
    scores: Callable[[list[Any]], tuple[Any, Any]], baseline: Sequence[Any], path: Path
) -> tuple[Any, Twins]:
    """The baselines' scores, and the step on them that belongs to each of the path.

    Raises:
        NoRule: they are not the same operations.
    """
    start, _ = scores(list(baseline))
    others = path_of(GraphTape(baseline, start)).steps
    if [step.kind for step in path.steps] != [step.kind for step in others]:
        raise NoRule("a model that builds another graph at its second call")
    return start, dict(zip(path.steps, others, strict=True))


def _stands_beside(op: tf.Operation, twin: tf.Operation) -> bool:
    """True where what the twin has of one baseline goes with each of the samples: they lie along the first axis, alone.

    Windows that overlap ask for as many baselines as samples: which of them an entry has lost is then no product.
    """
    kinds = GraphTape.kinds
    meet = sum(a.shape != b.shape for a, b in zip(op.inputs, twin.inputs, strict=True)) > 1
    is_winner = op.type in kinds.winner
    is_alone = is_winner or op.type in kinds.entrywise | kinds.softmax | kinds.log_softmax
    if not is_alone and not (meet and op.type in kinds.meeting | kinds.bilinear | kinds.squares):
        return True
    pairs = zip((*op.inputs, *op.outputs), (*twin.inputs, *twin.outputs), strict=True)
    moved = [(a.shape, b.shape) for a, b in pairs if a.shape != b.shape]
    row_beside_rows = all(a.is_fully_defined() and b == [1, *a[1:]] for a, b in moved)
    return row_beside_rows and bool(moved) and (not is_winner or _tiles(op))


def _tiles(op: tf.Operation) -> bool:
    """True where a pooling's windows cover its input without overlap."""
    if op.type == "Max":
        return False
    size = op.get_attr("ksize")
    return size == op.get_attr("strides") and all(d % k == 0 for d, k in zip(op.inputs[0].shape, size, strict=True))


class _DeepLift(DeepLiftWalk):
    """The rules of activations and maxima.

    Args:
        tape: the operations behind the samples' scores.
        path: those that change with the samples.
        twins: of each step of the path, the one on the baselines.
        baseline: the baselines by the inputs' keys.
    """

    def __init__(self, tape: GraphTape, path: Path, twins: Twins, baseline: dict[Key, Any]) -> None:
        super().__init__(tape, path)
        self._twins = twins
        self.bases.update(baseline)
        for step, twin in twins.items():
            tensors = (*twin.operation.inputs, *twin.operation.outputs)
            self.bases.update(zip((*step.inputs, *step.outputs), tensors, strict=True))

    def follows(self, step: Step) -> bool:
        return leaves_samples_in_front(step)

    def through_activation(self, y: Key, z: Key, between: list[Step]) -> None:
        values, sources, base = self.tape.value(y), self.tape.value(z), self.bases[z]
        if [step.kind for step in between] == ["Relu"]:
            above = self.own_multiplier(y), self.contributions.get(y)
            self.add(z, _through_relu(*above, sources, base, values))
        else:
            self.add(z, _by_slope(self.multiplier(y), sources, base, values, self.bases[y]))

    def through_maximum(self, step: Step, source: int) -> None:
        y, z = step.outputs[0], step.inputs[source]
        tensors = self.tape.value(z), self.bases[z], self.tape.value(y), self.bases[y]
        contribution = _won(self.multiplier(y), *tensors, self._twins[step].operation)
        add_to(self.contributions, z, contribution)


def _by_slope(above: Any, z: Any, base: Any, y: Any, base_y: Any) -> Any:
    """Through an entrywise operation: its slope between the baseline and the sample, at the sample where they are one."""
    change = z - base
    wide = tf.abs(change) > _NARROW_CHANGE * tf.maximum(tf.abs(z), 1.0)
    narrow = tf.gradients(y, z, above, stop_gradients=[z])[0]
    return tf.where(wide, tf.math.divide_no_nan(above * (y - base_y), change), narrow)


def _through_relu(above: Any, contribution: Any, z: Any, base: Any, y: Any) -> Any:
    """The same for a rectifier, without rounding on one side of zero, so that nothing has to be chosen entry by entry.

    The baseline moves by a little, which changes the slope across zero by as much. Where sample and baseline are one, as wherever
    both are black, that makes it what it is at the sample.
    """
    wide = tf.float32
    base = tf.cast(base, wide)
    moved = base - _SMALL_STEP * tf.maximum(tf.abs(base), _SMALLEST_BASE)
    handed = [] if contribution is None else [tf.cast(contribution, wide)]
    if above is not None:
        handed.append(tf.cast(above, wide) * (tf.cast(y, wide) - tf.nn.relu(moved)))
    return tf.cast(tf.math.divide_no_nan(tf.add_n(handed), tf.cast(z, wide) - moved), z.dtype)


def _won(above: Any, z: Any, base: Any, y: Any, base_y: Any, twin: tf.Operation) -> Any:
    """The contribution of each entry of a maximum's windows: a gain where the sample's is, a loss where the baseline's was."""
    larger = tf.maximum(y, base_y)
    gained = tf.gradients(y, z, above * (larger - base_y), stop_gradients=[z])[0]
    losses = above * (y - larger)
    if base_y.shape == y.shape:
        return gained + tf.gradients(base_y, base, losses, stop_gradients=[base])[0]
    winners = tf.gradients(base_y, base, stop_gradients=[base])[0]  # one in each window
    for axis, size in enumerate(twin.get_attr("ksize")):
        losses = losses if size == 1 else tf.repeat(losses, size, axis)
    return gained + losses * winners
