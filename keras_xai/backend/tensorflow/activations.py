"""What layers give on the way, heard while a forward pass is traced: no graph is rebuilt, nothing stays on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_xai.backend.protocol import Activation
from keras_xai.backend.tensorflow.layer_calls import TRANSPARENT, calls_replaced

# Operations that put values elsewhere and leave them what they are.
_MOVES = (*TRANSPARENT, "ExpandDims", "Reshape", "Squeeze", "Transpose")
_PADS = ("Pad", "PadV2")
# And those that take some together: what is zero throughout is zero behind them.
_POOLS = ("AvgPool", "AvgPool3D", "Max", "MaxPool", "MaxPool3D", "Mean")
_FUNCTIONS = {
    op: op.lower() for op in ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softmax", "Softplus", "Tanh")
}
_RECTIFIERS = ("relu", "relu6")
# And those that look at the shape of what they take, never at its values.
_OF_THE_SHAPE = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")


def trace_activations(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    vary: Sequence[bool] | None = None,
) -> tuple[Any, list[Activation]]:
    """`function(inputs)`, and what `layers` gave on the way, in the order in which they were first done.

    `vary` says which of the inputs differ between the samples, all of them where it is not given.

    A layer's `call` is watched in its instance dictionary while the function is being traced, so that subclassed and
    nested models work. What is called inside a graph of its own (the body of a loop) cannot be handed out, and says so.
    """
    first: dict[int, tuple[keras.layers.Layer, Any, Any]] = {}
    calls: dict[int, int] = {}

    def replacing(layer: keras.layers.Layer) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def with_ear(call: Callable[..., Any]) -> Callable[..., Any]:
            def listening(*args: Any, **kwargs: Any) -> Any:
                output = call(*args, **kwargs)
                calls[id(layer)] = calls.get(id(layer), 0) + 1
                first.setdefault(id(layer), (layer, _first_tensor([args, kwargs]), output))
                return output

            return listening

        return with_ear

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(calls_replaced(layer, replacing(layer)))
        value = function(list(inputs))
    # Only now: Keras puts the mask on a layer's output when its call has returned.
    ways = _Ways(inputs, value, vary)
    return value, [_told(layer, given, output, calls[id(layer)], ways) for layer, given, output in first.values()]


class _Ways:
    """Which operations of the present graph lie behind its inputs, and which before the value it is built for.

    Args:
        inputs: (n, ...) tensors.
        value: a structure of tensors.
        vary: which of the inputs differ between the samples, None for all.
    """

    def __init__(self, inputs: Sequence[Any], value: Any, vary: Sequence[bool] | None = None) -> None:
        self.graph = tf.compat.v1.get_default_graph()
        self.samples: int | None = inputs[0].shape[0]
        self._behind_inputs = {tensor.op for tensor in inputs}
        self._moved = {tensor.op for k, tensor in enumerate(inputs) if vary is None or vary[k]}
        # Operations come in the order in which they were made: what an operation takes stands before it.
        for operation in self.graph.get_operations():
            if operation.type not in _OF_THE_SHAPE and any(t.op in self._behind_inputs for t in operation.inputs):
                self._behind_inputs.add(operation)
                # What is true of all samples alike (no step is padding) moves nothing, and what differs shows.
                says = any(tensor.dtype != tf.bool for tensor in operation.outputs)
                if says and any(t.op in self._moved for t in operation.inputs):
                    self._moved.add(operation)
        self._before_value: set[Any] = set()
        waiting = [tensor.op for tensor in tf.nest.flatten(value) if tf.is_symbolic_tensor(tensor)]
        while waiting:
            operation = waiting.pop()
            if operation not in self._before_value:
                self._before_value.add(operation)
                waiting.extend(tensor.op for tensor in operation.inputs)

    def lead_on(self, tensor: Any) -> bool:
        """Whether the value is computed from `tensor`."""
        return tensor.op in self._before_value

    def move(self, tensor: Any) -> bool:
        """Whether values that differ between the samples lead to `tensor`."""
        return tensor.op in self._moved

    def lead_to(self, tensor: Any) -> bool:
        """Whether `tensor` is computed from the values of the inputs; their shape alone does not count."""
        return tensor.op in self._behind_inputs


def ending(outputs: Any) -> tuple[list[Any], str]:
    """The tensors from the logits behind an output to the output itself, and the function between: "softmax", "sigmoid" or
    "". Where there is no such function it is the output alone, before and after moves and casts."""
    found, function = [outputs], ""
    while found[-1].op.type in _MOVES or (found[-1].op.type in ("Softmax", "Sigmoid") and not function):
        function = _FUNCTIONS.get(found[-1].op.type, function)
        found.append(found[-1].op.inputs[0])
    return found, function


def _told(layer: keras.layers.Layer, given: Any, output: Any, calls: int, ways: _Ways) -> Activation:
    floating = [t for t in tf.nest.flatten(output) if isinstance(t, tf.Tensor) and t.dtype.is_floating]
    problems = [_problem(tensor, ways) for tensor in floating]
    readable = [tensor for tensor, problem in zip(floating, problems, strict=True) if not problem]
    if not readable:
        problem = problems[0] if problems else _nothing_floating(output)
        return Activation(layer, given, None, None, "", False, calls, False, False, problem)
    leading = [tensor for tensor in readable if ways.lead_on(tensor)]
    tensor = (leading or readable)[0]
    mask, function, unchanged = _mask(tensor, given), _function(tensor), _unchanged(tensor, given)
    return Activation(layer, given, tensor, mask, function, unchanged, calls, bool(leading), ways.move(tensor), "")


def _problem(tensor: Any, ways: _Ways) -> str:
    """Why a floating tensor cannot be read as one row of features a sample; "" where it can."""
    if not tf.is_symbolic_tensor(tensor):
        return "it does not depend on the samples"
    if tensor.graph is not ways.graph:
        return "it is called inside a loop or a branch, out of reach"
    if not ways.lead_to(tensor):
        return "it does not depend on the samples"
    if tensor.shape.rank is None:
        return "the shape of its output is not known in advance"
    shape = tuple(tensor.shape)
    written = f"({', '.join('?' if n is None else str(n) for n in shape)}{',' if len(shape) == 1 else ''})"
    if not shape or shape[0] not in (None, ways.samples):
        return f"its output has the shape {written} for {ways.samples} samples, not a row for each"
    if None in shape[1:]:
        return f"its output has the shape {written}, of which a part is not known in advance"
    if 0 in shape:
        return f"its output has the shape {written} and is empty"
    return ""


def _nothing_floating(output: Any) -> str:
    """Why an output without any floating tensor cannot be read."""
    if output is None:
        return "it gives nothing"
    tensor = _first_tensor(output)
    if tensor is None:
        return f"it gives no dense tensor ({type(tf.nest.flatten([output])[0]).__name__})"
    if tensor.dtype.is_complex:
        return "it gives complex numbers, which have no order"
    kinds = {tf.bool: "yes or no", tf.string: "text"}
    return f"it gives {kinds.get(tensor.dtype, 'integers')}, in which nothing is by degrees"


def fit_rows(tensor: Any, samples: int) -> tuple[Any, Any]:
    """(samples, ...) the first rows of a tensor whose number of rows is known only when it runs, zeros where it has
    fewer; and that number."""
    count = tf.shape(tensor)[0]
    filled = tf.concat([tensor, tf.zeros([1, *tensor.shape[1:]], tensor.dtype)], 0)
    return tf.gather(filled, tf.minimum(tf.range(samples), count)), count


def _first_tensor(values: Any) -> Any:
    """The first dense tensor of a structure, None without one."""
    return next((value for value in tf.nest.flatten(values) if isinstance(value, tf.Tensor)), None)


def _mask(output: Any, given: Any) -> Any:
    """The steps of a sequence that count: as Keras has it for the output, else for an input of as many steps (a layer that
    knows no masks drops them, the padding is padding all the same)."""
    if output.shape.rank < 3:
        return None
    for tensor in (output, given):
        mask: Any = getattr(tensor, "_keras_mask", None)
        if (
            tf.is_symbolic_tensor(mask)
            and mask.shape.rank == 2
            and mask.shape[:1].is_compatible_with(output.shape[:1])
            and mask.shape[1] == output.shape[1]
            and mask.graph is output.graph
        ):
            return mask
    return None


def _function(tensor: Any) -> str:
    """The activation function behind a tensor: that of the operation that made it; of a rectifier also behind a pooling."""
    pooled = False
    while tensor.op.type in (*_MOVES, *_POOLS, *_PADS) and tensor.op.inputs:
        pooled = pooled or tensor.op.type in (*_POOLS, *_PADS)
        tensor = tensor.op.inputs[0]
    found = _FUNCTIONS.get(tensor.op.type, "")
    return found if not pooled or found in _RECTIFIERS else ""


def _unchanged(output: Any, given: Any) -> bool:
    if given is None or not given.shape[:1].is_compatible_with(output.shape[:1]):
        return False  # another number of rows: what was a part of a sample is a sample again
    while output is not given:
        if output.op.type not in (*_MOVES, *_PADS):
            return False
        output = output.op.inputs[0]
    return True
