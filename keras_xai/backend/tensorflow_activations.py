"""What layers give on the way, heard while a forward pass is traced: no graph is rebuilt, nothing stays on the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_xai.backend.tensorflow import _TRANSPARENT, _called

# Operations that put values elsewhere and leave them what they are.
_MOVES = (*_TRANSPARENT, "ExpandDims", "Reshape", "Squeeze", "Transpose")
_PADS = ("Pad", "PadV2")
# And those that take some together: what is zero throughout is zero behind them.
_POOLS = ("AvgPool", "AvgPool3D", "Max", "MaxPool", "MaxPool3D", "Mean")
_FUNCTIONS = {
    op: op.lower() for op in ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softmax", "Softplus", "Tanh")
}
_RECTIFIERS = ("relu", "relu6")


class Heard(NamedTuple):
    """What a layer gave when it was first called."""

    layer: keras.layers.Layer
    given: Any  # the first tensor that it was called with
    output: Any  # (n, ...) its first floating tensor; None where there is a problem
    mask: Any  # (n, T) true where a step counts, or None
    function: str  # the activation function that made it ("relu", "sigmoid", …), "" where none is seen
    unchanged: bool  # its input again, in another shape at most
    calls: int
    problem: str  # why it cannot be read


def heard(
    function: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> tuple[Any, list[Heard]]:
    """`function(inputs)`, and what `layers` gave on the way, in the order in which they were first done.

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
                first.setdefault(id(layer), (layer, _first([args, kwargs]), output))
                return output

            return listening

        return with_ear

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_called(layer, replacing(layer)))
        value = function(list(inputs))
    # Only now: Keras puts the mask on a layer's output when its call has returned.
    return value, [_told(layer, given, output, calls[id(layer)]) for layer, given, output in first.values()]


def ending(outputs: Any) -> tuple[list[Any], str]:
    """The tensors from the logits behind an output to the output itself, and the function between: "softmax", "sigmoid" or
    "". Where there is no such function it is the output alone, before and after moves and casts."""
    found, function = [outputs], ""
    while found[-1].op.type in _MOVES or (found[-1].op.type in ("Softmax", "Sigmoid") and not function):
        function = _FUNCTIONS.get(found[-1].op.type, function)
        found.append(found[-1].op.inputs[0])
    return found, function


def leading(tensors: Sequence[Any], to: Any) -> list[bool]:
    """Which of the tensors `to` is computed from."""
    seen, stack = set(), [to.op]
    while stack:
        op = stack.pop()
        if op not in seen:
            seen.add(op)
            stack.extend(source.op for source in op.inputs)
    return [tensor is not None and tensor.op in seen for tensor in tensors]


def _told(layer: keras.layers.Layer, given: Any, output: Any, calls: int) -> Heard:
    found = _first(output, floating=True)
    problem = ""
    if found is None:
        problem = (
            "it gives integers, in which nothing is by degrees" if _first(output) is not None else "it gives no tensor"
        )
    elif found.graph is not tf.compat.v1.get_default_graph():
        problem = "it is called inside a loop, out of reach; take the layer around it"
    elif found.shape.rank is None or found.shape.rank < 2 or None in found.shape[1:]:
        problem = f"its output has the shape {tuple(found.shape) if found.shape.rank else '()'}, not known in advance"
    if found is None or problem:
        return Heard(layer, given, None, None, "", False, calls, problem)
    return Heard(layer, given, found, _mask(found, given), _function(found), _unchanged(found, given), calls, "")


def _first(values: Any, floating: bool = False) -> Any:
    """The first dense tensor of a structure, None without one."""
    dense = (t for t in tf.nest.flatten(values) if isinstance(t, tf.Tensor))
    return next((t for t in dense if t.dtype.is_floating or not floating), None)


def _mask(output: Any, given: Any) -> Any:
    """The steps of a sequence that count: as Keras has it for the output, else for an input of as many steps (a layer that
    knows no masks drops them, the padding is padding all the same)."""
    if output.shape.rank < 3:
        return None
    for tensor in (output, given):
        mask = getattr(tensor, "_keras_mask", None)
        if (
            mask is not None
            and mask.shape.rank == 2
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
    while output is not given:
        if output.op.type not in (*_MOVES, *_PADS):
            return False
        output = output.op.inputs[0]
    return True
