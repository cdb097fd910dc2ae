"""The operations of a graph between a model's inputs and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_xai.backend.tape import Key, Kinds, Step, Tape, names

_CONVOLUTIONS = names("Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 DepthwiseConv2dNative")
_MATRIX_PRODUCTS = names("BatchMatMulV2 Einsum MatMul")
_ENTRYWISE = names(
    "Abs Asinh Atan ClipByValue Cos Elu Erf Erfc Exp Expm1 LeakyRelu Log Log1p Maximum Minimum Pow Reciprocal Relu Relu6 "
    "Rsqrt Selu Sigmoid Sign Sin Softplus Softsign Sqrt Square Tanh"
)
KINDS = Kinds(
    linear={
        **dict.fromkeys(names("AddN AddV2 Add BiasAdd ConcatV2 Pack Sub"), "all"),
        **dict.fromkeys((*_MATRIX_PRODUCTS, "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Mul"), "one"),
        **dict.fromkeys(
            names(
                "AvgPool AvgPool3D BatchToSpaceND BroadcastTo Cast DepthToSpace EnsureShape ExpandDims FusedBatchNormV3 "
                "GatherV2 Identity Mean MirrorPad Neg Pad PadV2 PreventGradient RealDiv Reshape ResizeBilinear "
                "ResizeNearestNeighbor ReverseV2 Roll Slice SpaceToBatchND SpaceToDepth Squeeze StridedSlice Sum Tile Transpose "
                "Unpack"
            ),
            "first",
        ),
        **dict.fromkeys(names("Conv2DBackpropInput Conv3DBackpropInputV2"), "last"),
        "SelectV2": "chosen from",
    },
    entrywise=_ENTRYWISE,
    by_entry=_ENTRYWISE
    | names(
        "AddN AddV2 Add BiasAdd Cast Equal Greater GreaterEqual Identity IdentityN Less LessEqual LogicalAnd LogicalNot "
        "IsFinite LogicalOr Mul Neg NotEqual PreventGradient RealDiv SelectV2 Sub"
    ),
    meeting=names("Maximum Minimum Mul Pow RealDiv SelectV2 SquaredDifference"),
    winner=names("Max MaxPool MaxPool3D"),
    between_two=names("Maximum Minimum"),
    convolutions=_CONVOLUTIONS,
    bilinear=_MATRIX_PRODUCTS | {"Mul"},
    softmax=names("Softmax"),
    log_softmax=names("LogSoftmax"),
    exponential=names("Exp"),
    sums=names("Sum"),
    spreads=names("BroadcastTo Cast ExpandDims Identity Reshape Transpose"),
    stops=names("StopGradient"),
    one_by_one=names("IdentityN"),  # around a function with a gradient of its own, which is not to be taken
    moves=names("BatchToSpaceND Cast ExpandDims Identity Reshape Squeeze Transpose"),
    scales_and_shifts=names("Add AddV2 BiasAdd FusedBatchNormV3 Mul RealDiv Sub"),
    additions=names("Add AddV2 BiasAdd"),
    roots=names("Rsqrt Sqrt"),
    squares=names("Square SquaredDifference"),
    means=names(
        "Add AddV2 BroadcastTo Cast ClipByValue ExpandDims Identity Maximum Mean Minimum Mul RealDiv Reciprocal Reshape "
        "Squeeze Sub Sum Transpose"
    ),
    scaling=names("Mul RealDiv"),
)
_UNCHANGING = names("OnesLike Rank Shape ShapeN Size ZerosLike")  # whatever the values are
# Inputs and attributes whose arguments have other names.
_RENAMED = dict.fromkeys(("dim", "reduction_indices", "squeeze_dims"), "axis")
_NOT_TO_SET = ("grad_a", "grad_b", "grad_x", "grad_y")


class GraphTape(Tape):
    """The operations behind a tensor of the graph that is being built. A key is a tensor's reference.

    Args:
        inputs: the tensors where they begin.
        final: the scores.
    """

    kinds = KINDS

    def __init__(self, inputs: Sequence[Any], final: Any) -> None:
        self.inputs = [t.ref() for t in inputs]
        self.final = final.ref()
        self.steps = [_step(op) for op in _ancestors(final, inputs) if op.type not in _UNCHANGING]

    def value(self, key: Key) -> Any:
        return key.deref()

    def shape(self, key: Key) -> tuple[int | None, ...]:
        shape = self.value(key).shape
        return (None, None, None) if shape.rank is None else tuple(shape)

    def is_floating(self, key: Key) -> bool:
        return bool(self.value(key).dtype.is_floating)

    def is_plain(self, step: Step) -> bool:
        op = step.operation
        return op.type != "FusedBatchNormV3" or not op.get_attr("is_training")

    def is_square(self, step: Step) -> bool:
        op = step.operation
        if op.type == "Mul":
            return op.inputs[0] is op.inputs[1]
        if op.type == "Pow":
            exponent = tf.get_static_value(op.inputs[1])
            return exponent is not None and bool((exponent == 2).all())
        return super().is_square(step)

    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        op, remaining, arguments = step.operation, list(inputs), {}
        deduced = set()
        for argument in op.op_def.input_arg:
            deduced |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
            name = _RENAMED.get(argument.name, argument.name)
            if argument.number_attr:
                count = op.get_attr(argument.number_attr)
                arguments[name], remaining = remaining[:count], remaining[count:]
            else:
                arguments[name] = remaining.pop(0)
        for attribute in op.op_def.attr:
            name = attribute.name
            if name not in deduced and name not in _NOT_TO_SET and not name.startswith("_"):
                arguments[_RENAMED.get(name, name)] = op.get_attr(name)
        result = getattr(tf.raw_ops, op.type)(**arguments)
        return result[0] if isinstance(result, (list, tuple)) else result

    def pullback(
        self, step: Step, sources: Sequence[int], above: Mapping[int, Any], inputs: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        op = step.operation
        if inputs is None:
            inputs, outputs = list(op.inputs), list(op.outputs)
        else:
            outputs = [self.run(step, inputs)]
        gradients = tf.gradients(
            [outputs[k] for k in above],
            [inputs[k] for k in sources],
            [tf.cast(multiplier, outputs[k].dtype) for k, multiplier in above.items()],
            stop_gradients=list(inputs),  # a scale that is held fixed is computed from the other input
        )
        return [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]


def leaves_samples_in_front(step: Step) -> bool:
    """Return False where an operation moves the first axis."""
    op = step.operation
    if op.type != "Transpose":
        return True
    order = tf.get_static_value(op.inputs[1])
    return order is None or bool(order[0] == 0)


def _step(op: tf.Operation) -> Step:
    place = op.name.rpartition("/")[0] or op.name
    return Step(op.type, tuple(t.ref() for t in op.inputs), tuple(t.ref() for t in op.outputs), place, op)


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
