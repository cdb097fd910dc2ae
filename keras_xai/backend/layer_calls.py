"""Records and replaces the outputs of Keras layers while a forward pass is traced; the same on every framework.

A layer's `call` is replaced in its instance dictionary for the time of the trace, so that subclassed and nested models work, no
graph is rebuilt and nothing stays on the model. The replacements run inside the trace: the tensors that they see may leave it
only as return values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from keras_xai.backend.protocol import Tensor, Tensors

Call = Callable[..., Any]


class FirstCall(NamedTuple):
    """A layer's first call in a pass."""

    layer: keras.layers.Layer
    arguments: Any  # [args, kwargs]
    output: Any
    calls: int  # number of calls in the pass, this one included


@contextlib.contextmanager
def replaced_calls(
    layers: Sequence[keras.layers.Layer], replace: Callable[[keras.layers.Layer, Call], Call]
) -> Iterator[None]:
    """Replace each layer's `call` by `replace(layer, call)` inside this context."""
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced_call(layer, replace))
        yield


@contextlib.contextmanager
def _replaced_call(layer: keras.layers.Layer, replace: Callable[[keras.layers.Layer, Call], Call]) -> Iterator[None]:
    # A quantized layer (int8, LoRA on top of it) is run by another method.
    name = "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
    # The instance dictionary is past Keras' attribute tracking.
    before = vars(layer).get(name)
    vars(layer)[name] = replace(layer, getattr(layer, name))
    try:
        yield
    finally:
        del vars(layer)[name]
        if before is not None:
            vars(layer)[name] = before


def replaced_outputs(
    layers: Sequence[keras.layers.Layer], replace: Callable[[keras.layers.Layer, Any], Any]
) -> contextlib.AbstractContextManager[None]:
    """Replace the output of each layer by `replace(layer, output)` inside this context."""

    def replacing(layer: keras.layers.Layer, call: Call) -> Call:
        return lambda *args, **kwargs: replace(layer, call(*args, **kwargs))

    return replaced_calls(layers, replacing)


def record_first_calls(
    function: Callable[[Tensors], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
) -> tuple[Any, list[FirstCall]]:
    """Run `function(inputs)`; return its value and the first calls of `layers`, in the order in which they finished."""
    first: dict[int, FirstCall] = {}

    def replacing(layer: keras.layers.Layer, call: Call) -> Call:
        def recording(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            earlier = first.get(id(layer))
            if earlier is None:
                first[id(layer)] = FirstCall(layer, [args, kwargs], output, 1)
            else:
                first[id(layer)] = earlier._replace(calls=earlier.calls + 1)
            return output

        return recording

    with replaced_calls(layers, replacing):
        value = function(list(inputs))
    return value, list(first.values())


def record_calls(
    function: Callable[[Tensors], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
) -> list[tuple[Any, Any]]:
    """Run `function(inputs)`; return the first argument (None without one) and the output of every call of `layers`, in order."""
    calls: list[tuple[Any, Any]] = []

    def replacing(layer: keras.layers.Layer, call: Call) -> Call:
        def recording(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            calls.append((args[0] if args else None, output))
            return output

        return recording

    with replaced_calls(layers, replacing):
        function(list(inputs))
    return calls


def substitute_embeddings(
    function: Callable[[Tensors], Any],
    inputs: Sequence[Tensor],
    layers: Sequence[keras.layers.Layer],
    embeddings: Sequence[Tensor | None],
) -> Any:
    """Run `function(inputs)` with other outputs of `layers`.

    Args:
        function: of the inputs, from which masks still follow.
        inputs: (n, ...) tensors.
        layers: as `embedding_outputs` had them.
        embeddings: (n, ...) one for each of their calls, in order; None keeps the call's own output.
    """
    remaining = iter(embeddings)

    def replace(layer: keras.layers.Layer, output: Any) -> Any:
        embedding = next(remaining)
        return output if embedding is None else keras.ops.cast(embedding, output.dtype)

    with replaced_outputs(layers, replace):
        return function(list(inputs))


def output_shapes(
    function: Callable[[Tensors], Any], inputs: Sequence[Tensor], layers: Sequence[keras.layers.Layer]
) -> list[tuple[keras.layers.Layer, tuple[int | None, ...]]]:
    """Run `function(inputs)`, and return the layers that it calls, in order, each with the shape of its first output."""
    shapes: dict[int, tuple[keras.layers.Layer, tuple[int | None, ...]]] = {}

    def record_shape(layer: keras.layers.Layer, output: Any) -> Any:
        if keras.ops.is_tensor(output) and id(layer) not in shapes:
            with contextlib.suppress(ValueError):  # of a tensor whose rank is not known
                shapes[id(layer)] = layer, tuple(output.shape)
        return output

    with replaced_outputs(layers, record_shape):
        function(list(inputs))
    return list(shapes.values())
