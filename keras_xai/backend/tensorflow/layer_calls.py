"""What a layer is called with and what it gives, heard while a forward pass is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

TRANSPARENT = ("Identity", "Cast", "StopGradient", "PreventGradient", "CheckNumerics")


def embedding_outputs(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[tuple[int, Any]]:
    """The outputs of those calls of `layers` that look an input up, each with the number of that input."""
    found: list[tuple[int, Any]] = []

    def note(k: int, output: Any) -> Any:
        found.append((k, output))
        return output

    with _looked_up(inputs, layers, note):
        score(list(inputs))
    return found


def substitute_embeddings(
    score: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    instead: Sequence[Any],
) -> Any:
    """`score(inputs)` where those calls give what stands `instead`, in the same order; masks still follow from the inputs."""
    rest = iter(instead)
    with _looked_up(inputs, layers, lambda k, output: tf.cast(next(rest), output.dtype)):
        return score(list(inputs))


@contextlib.contextmanager
def _looked_up(
    inputs: Sequence[Any], layers: Sequence[keras.layers.Layer], listener: Callable[[int, Any], Any]
) -> Iterator[None]:
    """Pass the outputs of `layers` through `listener(number, output)` where they look up one of `inputs`."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}

    def origin(tensor: Any) -> int | None:
        while tf.is_tensor(tensor) and tensor.ref() not in numbers:
            if tensor.op.type not in (*TRANSPARENT, "Reshape", "ExpandDims", "Squeeze"):
                return None
            tensor = tensor.op.inputs[0]
        return numbers[tensor.ref()] if tf.is_tensor(tensor) else None

    def replacing(call: Callable[..., Any]) -> Callable[..., Any]:
        def heard(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            number = origin(args[0]) if args else None
            return output if number is None else listener(number, output)

        return heard

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(calls_replaced(layer, replacing))
        yield


def output_shapes(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[tuple[keras.layers.Layer, tuple[int | None, ...]]]:
    """The layers that `score` calls, in the order of their calls, with the shape of their first output."""
    found: dict[int, tuple[keras.layers.Layer, tuple[int | None, ...]]] = {}

    def listener(layer: keras.layers.Layer) -> Callable[[Any], Any]:
        def note(output: Any) -> Any:
            if tf.is_tensor(output) and output.shape.rank is not None:
                found.setdefault(id(layer), (layer, tuple(output.shape)))
            return output

        return note

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(output_heard(layer, listener(layer)))
        score(list(inputs))
    return list(found.values())


def output_heard(layer: keras.layers.Layer, listener: Callable[[Any], Any]) -> contextlib.AbstractContextManager[None]:
    """Pass a layer's output through `listener`."""
    return calls_replaced(layer, lambda call: lambda *args, **kwargs: listener(call(*args, **kwargs)))


@contextlib.contextmanager
def calls_replaced(
    layer: keras.layers.Layer, replacing: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Put something in the place of a layer's `call`; the instance dictionary is past Keras' attribute tracking."""
    # A quantized layer (int8, LoRA on top of it) is run by another method.
    name = "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
    own = vars(layer).get(name)
    vars(layer)[name] = replacing(getattr(layer, name))
    try:
        yield
    finally:
        del vars(layer)[name]
        if own is not None:
            vars(layer)[name] = own
