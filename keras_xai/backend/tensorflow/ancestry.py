"""The ancestry of a tensor in a graph: the operations behind it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_xai.backend.ancestry import NOT_OF_SAMPLES, OUT_OF_REACH, UNKNOWN, Kind, Node, Step
from keras_xai.backend.protocol import Logits
from keras_xai.records import Link

# What operations do with the values of their first input.
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("Cast", "CheckNumerics", "Identity", "PreventGradient", "StopGradient"), "same"),
    **dict.fromkeys(("ExpandDims", "Reshape", "Squeeze"), "reshape"),
    "Transpose": "transpose",
    **dict.fromkeys(("Pad", "PadV2"), "pad"),
    **dict.fromkeys(("AvgPool", "AvgPool3D", "Max", "MaxPool", "MaxPool3D", "Mean"), "pool"),
    **dict.fromkeys(
        ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softmax", "Softplus", "Tanh"), "function"
    ),
}
# Operations that look at the shape of what they take, never at its values.
_OF_THE_SHAPE = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")
_LINKS: dict[str, Link] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


class GraphAncestry:
    """The operations of the graph that is being built; see `Ancestry`. A node is a tensor's reference.

    Args:
        inputs: (n, ...) tensors.
        vary: True for each input that differs between the samples; None for all.
    """

    def __init__(self, inputs: Sequence[Any] = (), vary: Sequence[bool] | None = None) -> None:
        self._graph = tf.compat.v1.get_default_graph()
        self._inputs = list(inputs)
        self._varying_inputs = [tensor for k, tensor in enumerate(inputs) if vary is None or vary[k]]

    def node(self, tensor: Any) -> Node:
        """See `Ancestry`."""
        reference: Node = tensor.ref()
        return reference

    def step(self, node: Any) -> Step:
        """See `Ancestry`."""
        tensor = node.deref()
        if not tf.is_symbolic_tensor(tensor) or not tensor.op.inputs:
            return UNKNOWN
        kind = _KINDS.get(tensor.op.type, "")
        if not kind:
            return UNKNOWN
        return Step(kind, tensor.op.inputs[0].ref(), tensor.op.type.lower() if kind == "function" else "")

    def sources(self, node: Any) -> list[Node]:
        """See `Ancestry`."""
        tensor = node.deref()
        return [source.ref() for source in tensor.op.inputs] if tf.is_symbolic_tensor(tensor) else []

    def is_dense(self, value: object) -> bool:
        """See `Ancestry`."""
        return isinstance(value, tf.Tensor)

    def problem(self, tensor: Any) -> str:
        """See `Ancestry`."""
        if not tf.is_symbolic_tensor(tensor):
            return NOT_OF_SAMPLES
        if tensor.graph is not self._graph:
            return OUT_OF_REACH
        if tensor.op not in self._behind_inputs:
            return NOT_OF_SAMPLES
        return "the shape of its output is not known in advance" if tensor.shape.rank is None else ""

    def varies(self, tensor: Any) -> bool:
        """See `Ancestry`."""
        return tensor.op in self._varying

    @functools.cached_property
    def _behind_inputs(self) -> set[Any]:
        """The operations that are computed from the values of the inputs; their shape alone does not count."""
        operations = {tensor.op for tensor in self._inputs}
        # They come in the order in which they were made: what an operation takes stands before it.
        for operation in self._graph.get_operations():
            if operation.type not in _OF_THE_SHAPE and any(t.op in operations for t in operation.inputs):
                operations.add(operation)
        return operations

    @functools.cached_property
    def _varying(self) -> set[Any]:
        """The operations that values of the inputs that vary lead to."""
        operations = {tensor.op for tensor in self._varying_inputs}
        for operation in self._graph.get_operations():
            has_values = any(tensor.dtype != tf.bool for tensor in operation.outputs)
            if has_values and operation.type not in _OF_THE_SHAPE and any(t.op in operations for t in operation.inputs):
                operations.add(operation)
        return operations


def logits_of(outputs: Any) -> Logits:
    """A model's outputs, and the logits behind them.

    Inside a graph the operation that made an output is known: where it is a softmax or a sigmoid, its input is the logits.
    """
    tensor = outputs
    while _KINDS.get(tensor.op.type) == "same" and len(tensor.op.inputs) == 1:
        tensor = tensor.op.inputs[0]
    link = _LINKS.get(tensor.op.type, "")
    scores = tensor.op.inputs[0] if link else outputs
    return Logits(outputs, tf.cast(scores, tf.float32), link)
