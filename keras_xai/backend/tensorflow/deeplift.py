"""DeepLIFT's multipliers: how each operation hands a difference from the baseline back to its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_xai.backend.protocol import Multipliers, NoRule, TargetScores


def _types(names: str) -> list[str]:
    return names.split()


# Linear operations hand a change back, in the inputs named, by their own gradient; entrywise ones by their slope between samples
# and baselines; a maximum to the entry that won.
_LINEAR = {
    **dict.fromkeys(_types("AddN AddV2 Add BiasAdd ConcatV2 Pack Sub"), "all"),
    **dict.fromkeys(_types("BatchMatMulV2 Conv2D Conv3D DepthwiseConv2dNative Einsum MatMul Mul"), "one"),
    **dict.fromkeys(
        _types(
            "AvgPool AvgPool3D BatchToSpaceND BroadcastTo Cast DepthToSpace EnsureShape ExpandDims FusedBatchNormV3 "
            "GatherV2 Identity Mean MirrorPad Neg Pad PadV2 PreventGradient RealDiv Reshape ResizeBilinear "
            "ResizeNearestNeighbor ReverseV2 Slice SpaceToBatchND SpaceToDepth Squeeze StridedSlice Sum Tile Transpose Unpack"
        ),
        "first",
    ),
    **dict.fromkeys(_types("Conv2DBackpropInput Conv3DBackpropInputV2"), "last"),
    "SelectV2": "chosen from",  # by a condition that does not move, such as a mask
}
_ENTRYWISE = frozenset(
    _types(
        "Abs Asinh Atan ClipByValue Cos Elu Erf Erfc Exp Expm1 LeakyRelu Log Log1p Maximum Minimum Pow Reciprocal Relu Relu6 "
        "Rsqrt Selu Sigmoid Sign Sin Softplus Softsign Sqrt Square Tanh"
    )
)
# What stands between the ends of an activation that is written as several operations, as silu is x · sigmoid(x): each entry goes
# its own way.
_BY_ENTRY = _ENTRYWISE | frozenset(
    _types(
        "AddN AddV2 Add BiasAdd Cast Equal Greater GreaterEqual Identity IdentityN Less LessEqual LogicalAnd LogicalNot "
        "LogicalOr Mul Neg NotEqual PreventGradient RealDiv SelectV2 Sub"
    )
)
_WINNER = frozenset(_types("Max MaxPool MaxPool3D"))
# And where several of its operations meet.
_MEETING = frozenset(_types("Maximum Minimum Mul Pow RealDiv SelectV2 SquaredDifference"))
_UNCHANGING = frozenset(("Rank", "Shape", "ShapeN", "Size", "ZerosLike", "OnesLike"))  # whatever the values are
_NARROW_CHANGE = 1e-5  # so small beside its values that their difference is rounding
_SMALL_STEP = 2.0**-21  # some steps of single precision
_SMALLEST_BASE = 1e-30

Twins = dict[tf.Operation, tf.Operation]


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
    path = _changing(final, inputs)
    start: Any = None
    twins: Twins | None = None
    if shared_baseline and inputs[0].shape[0] > 1:
        with contextlib.suppress(Exception):  # of a model, or an output of the user's, that takes no single row
            start, twins = _with_twins(scores, [b[:1] for b in baseline], path)
    if twins is None or not all(_stands_beside(op, twins[op]) for op in path):
        start, twins = _with_twins(scores, baseline, path)
    walk = _Walk(twins, inputs)
    walk.add(final, target.weights(final))
    changing = {t.ref() for op in path for t in op.outputs} | {a.ref() for a in inputs if a.dtype.is_floating}
    for op in reversed(path):
        if any(walk.reached(t) for t in op.outputs):
            walk.back(op, [k for k, t in enumerate(op.inputs) if t.ref() in changing])
    if start.shape != final.shape:
        start = tf.broadcast_to(start, final.shape)
    multipliers = [walk.multiplier(a, b) for a, b in zip(inputs, baseline, strict=True)]
    return Multipliers(target.select(final), target.select(start), multipliers, aux)


def _changing(final: Any, x: Sequence[Any]) -> list[tf.Operation]:
    """The operations whose output moves with the samples, each after those that it needs."""
    changing, path = {a.ref() for a in x if a.dtype.is_floating}, []
    for op in _ancestors(final, x):
        if op.type not in _UNCHANGING and any(t.ref() in changing for t in op.inputs):
            changing |= {t.ref() for t in op.outputs}
            path.append(op)
    return path


def _with_twins(
    scores: Callable[[list[Any]], tuple[Any, Any]], baseline: Sequence[Any], path: list[tf.Operation]
) -> tuple[Any, Twins]:
    """The baselines' scores, and the operation on them that belongs to each of the path.

    Raises:
        NoRule: they are not the same operations.
    """
    start, _ = scores(list(baseline))
    others = _changing(start, baseline)
    if [op.type for op in path] != [op.type for op in others]:
        raise NoRule("a model that builds another graph at its second call")
    return start, dict(zip(path, others, strict=True))


def _ancestors(final: Any, roots: Sequence[Any]) -> list[tf.Operation]:
    """The operations between `roots` and `final`, each after those that it needs."""
    visited, order, stack = {root.op for root in roots}, [], [(final.op, False)]
    while stack:
        op, done = stack.pop()
        if done:
            order.append(op)
        elif op not in visited:
            visited.add(op)
            stack.append((op, True))
            stack.extend((t.op, False) for t in op.inputs)
    return order


def _stands_beside(op: tf.Operation, twin: tf.Operation) -> bool:
    """True where what the twin has of one baseline goes with each of the samples: they lie along the first axis, alone.

    Windows that overlap ask for as many baselines as samples: which of them an entry has lost is then no product.
    """
    meet = sum(a.shape != b.shape for a, b in zip(op.inputs, twin.inputs, strict=True)) > 1
    if op.type not in _ENTRYWISE | _WINNER and not (meet and op.type in _MEETING):
        return True
    pairs = zip((*op.inputs, *op.outputs), (*twin.inputs, *twin.outputs), strict=True)
    moved = [(a.shape, b.shape) for a, b in pairs if a.shape != b.shape]
    row_beside_rows = all(a.is_fully_defined() and b == [1, *a[1:]] for a, b in moved)
    return row_beside_rows and bool(moved) and (op.type not in _WINNER or _tiles(op))


def _tiles(op: tf.Operation) -> bool:
    """True where a pooling's windows cover its input without overlap."""
    if op.type == "Max":
        return False
    size = op.get_attr("ksize")
    return size == op.get_attr("strides") and all(d % k == 0 for d, k in zip(op.inputs[0].shape, size, strict=True))


class _Walk:
    """From the score back to the inputs: what each operation's outputs have been handed, and what it hands on.

    A multiplier, and where a maximum lies above a contribution, that is the multiplier times the change: a rectifier below takes
    it as it is, the others divide.
    """

    def __init__(self, twins: Twins, x: Sequence[Any]) -> None:
        self._twins = twins
        self._order = {op: k for k, op in enumerate(twins)}
        self._changing = {t.ref() for op in twins for t in op.outputs} | {a.ref() for a in x if a.dtype.is_floating}
        self._multipliers: dict[Any, Any] = {}
        self._contributions: dict[Any, Any] = {}

    def add(self, t: Any, multiplier: Any) -> None:
        """Hand one more multiplier to a tensor."""
        _add(self._multipliers, t.ref(), multiplier)

    def reached(self, t: Any) -> bool:
        """True where anything has been handed to it."""
        return t.ref() in self._multipliers or t.ref() in self._contributions

    def multiplier(self, t: Any, base: Any) -> Any:
        """All that has been handed to a tensor, whose baseline's is `base`; None for nothing."""
        multiplier, contribution = self._multipliers.get(t.ref()), self._contributions.get(t.ref())
        if contribution is None:
            return multiplier
        of_contribution = tf.math.divide_no_nan(contribution, t - base)
        return of_contribution if multiplier is None else multiplier + of_contribution

    def back(self, op: tf.Operation, sources: list[int]) -> None:
        """Hand on to an operation's changing inputs what its outputs have.

        Raises:
            NoRule: no rule says how; the operation's type and the layer.
        """
        inputs, twin = [op.inputs[k] for k in sources], self._twins[op]
        reached = [k for k, t in enumerate(op.outputs) if self.reached(t)]
        if op.type == "IdentityN":  # around a function with a gradient of its own, which is not to be taken
            for k in reached:
                self.add(op.inputs[k], self.multiplier(op.outputs[k], twin.outputs[k]))
            return
        if op.type in _LINEAR and _is_linear(op, sources):
            above = [self.multiplier(op.outputs[k], twin.outputs[k]) for k in reached]
            handed = tf.gradients([op.outputs[k] for k in reached], inputs, above, stop_gradients=inputs)
            for t, multiplier in zip(inputs, handed, strict=True):
                if multiplier is not None:
                    self.add(t, tf.convert_to_tensor(multiplier))
            return
        ends = self._activation(op, sources) if op.type in _MEETING else None
        if ends is not None:
            (y,), (base_y,) = op.outputs, twin.outputs
            self.add(ends[0], _by_slope(self.multiplier(y, base_y), *ends, y, base_y))
            return
        if op.type not in _ENTRYWISE | _WINNER or len(sources) > 1:
            raise NoRule(f"the operation {op.type} in {op.name.rpartition('/')[0] or op.name!r}")
        k, source = reached[0], sources[0]
        (z, base), (y, base_y) = (op.inputs[source], twin.inputs[source]), (op.outputs[k], twin.outputs[k])
        if op.type == "Relu":
            ref = y.ref()
            self.add(z, _through_relu(self._multipliers.get(ref), self._contributions.get(ref), z, base, y))
        elif op.type in _WINNER:
            _add(self._contributions, z.ref(), _won(self.multiplier(y, base_y), z, base, y, base_y, twin))
        else:
            self.add(z, _by_slope(self.multiplier(y, base_y), z, base, y, base_y))

    def _activation(self, op: tf.Operation, sources: list[int]) -> tuple[Any, Any] | None:
        """The one tensor, and its baseline's, that all changing inputs of an operation are functions of entry by entry; None
        where there is none: a product of two activations."""
        shape = op.outputs[0].shape
        # Tensors that are still to be followed back, each with the baseline's.
        open_ends = {op.inputs[k].ref(): (op.inputs[k], self._twins[op].inputs[k]) for k in sources}
        while len(open_ends) > 1:
            tensor, _ = max(open_ends.values(), key=lambda pair: self._order.get(pair[0].op, -1))
            before, twin = tensor.op, self._twins.get(tensor.op)
            if twin is None or before.type not in _BY_ENTRY or tensor.shape != shape:
                return None
            del open_ends[tensor.ref()]
            numbers = [tensor.value_index] if before.type == "IdentityN" else range(len(before.inputs))
            for k in numbers:
                if before.inputs[k].ref() in self._changing:
                    open_ends[before.inputs[k].ref()] = before.inputs[k], twin.inputs[k]
        ((tensor, base),) = open_ends.values()
        return (tensor, base) if tensor.shape == shape and tensor.dtype.is_floating else None


def _add(to: dict[Any, Any], key: Any, value: Any) -> None:
    to[key] = to[key] + value if key in to else value


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


def _is_linear(op: tf.Operation, sources: list[int]) -> bool:
    """True where an operation is linear in those of its inputs that change, and leaves the samples in front."""
    which = _LINEAR[op.type]
    if op.type == "Cast" and not (op.inputs[0].dtype.is_floating and op.outputs[0].dtype.is_floating):
        return False
    if op.type == "FusedBatchNormV3" and op.get_attr("is_training"):
        return False
    if op.type == "Transpose":
        order = tf.get_static_value(op.inputs[1])
        if order is not None and order[0] != 0:
            return False
    if which == "all":
        return True
    if which == "chosen from":
        return 0 not in sources
    position = {"one": True, "first": sources == [0], "last": sources == [len(op.inputs) - 1]}
    return len(sources) == 1 and position[which]
