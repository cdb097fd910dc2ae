"""The activations of layers in a forward pass, and the facts that the graph holds about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_xai.backend.layer_calls import FirstCall, record_first_calls, replaced_calls
from keras_xai.backend.protocol import Activation, ActivationTrace, EmbeddingCall, FittedRows
from keras_xai.backend.tensorflow.ancestry import RESHAPES, TRANSPARENT, logits_of, looked_up_input

# Operations that put values elsewhere and leave them what they are.
_MOVES = (*TRANSPARENT, *RESHAPES, "Transpose")
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
) -> ActivationTrace:
    """See `Backend`. What is called inside a graph of its own (the body of a loop) cannot be handed out, and says so."""
    outputs, calls = record_first_calls(function, inputs, layers)
    logits = logits_of(outputs)
    # Only now: Keras puts the mask on a layer's output when its call has returned.
    ways = _Ways(inputs, logits, vary)
    activations: list[Activation] = []
    for call in calls:
        layer_input = _first_tensor(call.arguments)
        follows = tuple(
            earlier.layer for earlier in activations if layer_input is not None and earlier.output is layer_input
        )
        activations.append(_activation(call, layer_input, ways)._replace(follows=follows))
    return ActivationTrace(*logits, activations)


class _Ways:
    """Tells which operations of the present graph lie behind its inputs, and which before the outputs.

    Args:
        inputs: (n, ...) tensors.
        logits: the outputs and scores that the graph is built for.
        vary: which of the inputs differ between the samples, None for all.
    """

    def __init__(self, inputs: Sequence[Any], logits: Any, vary: Sequence[bool] | None = None) -> None:
        self.graph = tf.compat.v1.get_default_graph()
        self.samples: int | None = inputs[0].shape[0]
        self.final = {id(tensor) for tensor in _final_tensors(logits.outputs)}
        self._behind_inputs = {tensor.op for tensor in inputs}
        self._varying = {tensor.op for k, tensor in enumerate(inputs) if vary is None or vary[k]}
        # Operations come in the order in which they were made: what an operation takes stands before it.
        for operation in self.graph.get_operations():
            if operation.type not in _OF_THE_SHAPE and any(t.op in self._behind_inputs for t in operation.inputs):
                self._behind_inputs.add(operation)
                # What is true of all samples alike (no step is padding) moves nothing, and what differs shows.
                has_values = any(tensor.dtype != tf.bool for tensor in operation.outputs)
                if has_values and any(t.op in self._varying for t in operation.inputs):
                    self._varying.add(operation)
        self._before_outputs: set[Any] = set()
        pending = [tensor.op for tensor in (logits.outputs, logits.scores)]
        while pending:
            operation = pending.pop()
            if operation not in self._before_outputs:
                self._before_outputs.add(operation)
                pending.extend(tensor.op for tensor in operation.inputs)

    def lead_on(self, tensor: Any) -> bool:
        """True where the outputs are computed from `tensor`."""
        return tensor.op in self._before_outputs

    def vary(self, tensor: Any) -> bool:
        """True where values that differ between the samples lead to `tensor`."""
        return tensor.op in self._varying

    def lead_to(self, tensor: Any) -> bool:
        """True where `tensor` is computed from the values of the inputs; their shape alone does not count."""
        return tensor.op in self._behind_inputs


def _final_tensors(outputs: Any) -> list[Any]:
    """The tensors from the logits behind an output to the output itself; where nothing makes it of logits, it and what it is
    before moves and casts."""
    tensors, is_logit = [outputs], False
    while tensors[-1].op.type in _MOVES or (tensors[-1].op.type in ("Softmax", "Sigmoid") and not is_logit):
        is_logit = is_logit or tensors[-1].op.type in _FUNCTIONS
        tensors.append(tensors[-1].op.inputs[0])
    return tensors


def _activation(call: FirstCall, layer_input: Any, ways: _Ways) -> Activation:
    """The activation of a layer: of the tensors in its output the first that is readable and leads on.

    Args:
        call: of the layer.
        layer_input: the first tensor that it was called with, None without.
        ways: of the graph.
    """
    floating = [t for t in tf.nest.flatten(call.output) if isinstance(t, tf.Tensor) and t.dtype.is_floating]
    problems = [_problem(tensor, ways) for tensor in floating]
    readable = [tensor for tensor, problem in zip(floating, problems, strict=True) if not problem]
    unreadable = Activation(
        layer=call.layer,
        output=None,
        mask=None,
        function="",
        is_input=False,
        is_final=False,
        follows=(),
        calls=call.calls,
        leads=False,
        varies=False,
        problem=problems[0] if problems else _nothing_floating(call.output),
    )
    if not readable:
        return unreadable
    leading = [tensor for tensor in readable if ways.lead_on(tensor)]
    tensor = (leading or readable)[0]
    return unreadable._replace(
        output=tensor,
        mask=_mask(tensor, layer_input),
        function=_function(tensor),
        is_input=_is_input(tensor, layer_input),
        is_final=id(tensor) in ways.final,
        leads=bool(leading),
        varies=ways.vary(tensor),
        problem="",
    )


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
    sides = ["?" if side is None else str(side) for side in shape]
    written = f"({', '.join(sides)}{',' if len(shape) == 1 else ''})"
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


def embedding_outputs(
    function: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[EmbeddingCall]:
    """See `Backend`."""
    calls: list[EmbeddingCall] = []

    def replacing(layer: keras.layers.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            calls.append(EmbeddingCall(looked_up_input(args[0], inputs) if args else None, output))
            return output

        return recording

    with replaced_calls(layers, replacing):
        function(list(inputs))
    return calls


def fit_rows(tensor: Any, samples: int) -> FittedRows:
    """See `Backend`."""
    count = tf.shape(tensor)[0]
    filled = tf.concat([tensor, tf.zeros([1, *tensor.shape[1:]], tensor.dtype)], 0)
    return FittedRows(tf.gather(filled, tf.minimum(tf.range(samples), count)), count)


def _first_tensor(values: Any) -> Any:
    """The first dense tensor of a structure, None without one."""
    return next((value for value in tf.nest.flatten(values) if isinstance(value, tf.Tensor)), None)


def _mask(output: Any, layer_input: Any) -> Any:
    """The steps of a sequence that count: as Keras has it for the output, else for an input of as many steps (a layer that
    knows no masks drops them, the padding is padding all the same)."""
    if output.shape.rank < 3:
        return None
    for tensor in (output, layer_input):
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
    function = _FUNCTIONS.get(tensor.op.type, "")
    return function if not pooled or function in _RECTIFIERS else ""


def _is_input(output: Any, layer_input: Any) -> bool:
    """True where an output is the layer's input again, in another shape at most."""
    if layer_input is None or not layer_input.shape[:1].is_compatible_with(output.shape[:1]):
        return False  # another number of rows: what was a part of a sample is a sample again
    while output is not layer_input:
        if output.op.type not in (*_MOVES, *_PADS):
            return False
        output = output.op.inputs[0]
    return True
