"""The activations of layers in a pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import keras

from keras_xai.backend.activations import activations_of
from keras_xai.backend.ancestry import looked_up_input
from keras_xai.backend.jax.ancestry import JaxprAncestry, link_of
from keras_xai.backend.jax.jaxprs import FlatJaxpr, trace
from keras_xai.backend.layer_calls import Call, record_calls, record_first_calls, replaced_calls
from keras_xai.backend.masks import keras_mask
from keras_xai.backend.protocol import ActivationTrace, EmbeddingCall


class _Pass(NamedTuple):
    """A traced function that ran layers."""

    jaxpr: FlatJaxpr
    inputs: list[Any]  # as the function had them, tensors of its trace
    record: Any  # what the function returned beside its outputs, with such tensors
    ancestry: JaxprAncestry

    def run(self, inputs: Sequence[Any], tensors: Iterable[Any]) -> list[Any]:
        """Return the values that tensors of the trace have for some inputs; None for what is none of its tensors."""
        nodes = [None if tensor is None else self.ancestry.node(tensor) for tensor in tensors]
        reachable = [node for node in nodes if node is not None and self.jaxpr.can_return(node)]
        values = dict(zip(reachable, self.jaxpr.run(inputs, reachable), strict=True))
        return [None if node is None else values.get(node) for node in nodes]


def trace_activations(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    vary: Sequence[bool] | None = None,
) -> ActivationTrace:
    """See `Backend`. What is called inside a jaxpr of its own (the body of a loop) cannot be handed out, and says so."""
    traced = _traced(lambda z: record_first_calls(function, z, layers), inputs, layers, vary)
    outputs, calls = traced.record
    activations = activations_of(calls, traced.inputs, outputs, traced.ancestry)
    link, scores = link_of(traced.jaxpr, traced.ancestry.node(outputs))
    (of_scores,) = traced.jaxpr.run(inputs, [scores])
    tensors = [tensor for activation in activations for tensor in (activation.output, activation.mask)]
    of_outputs, *values = traced.run(inputs, [outputs, *tensors])
    remaining = iter(values)
    activations = [activation._replace(output=next(remaining), mask=next(remaining)) for activation in activations]
    return ActivationTrace(of_outputs, jnp.asarray(of_scores, jnp.float32), link, activations)


def embedding_outputs(
    function: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[EmbeddingCall]:
    """See `Backend`. The output of a call in a loop is None."""
    traced = _traced(lambda z: record_calls(function, z, layers), inputs, layers)
    nodes = [traced.ancestry.node(tensor) for tensor in traced.inputs]
    indices = []
    for argument, _ in traced.record:
        is_tensor = isinstance(argument, jax.Array)
        indices.append(looked_up_input(traced.ancestry.node(argument), nodes, traced.ancestry) if is_tensor else None)
    outputs = traced.run(inputs, [output for _, output in traced.record])
    return [EmbeddingCall(index, output) for index, output in zip(indices, outputs, strict=True)]


def _traced(
    function: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    vary: Sequence[bool] | None = None,
) -> _Pass:
    """Trace a function that records tensors of layers, which are returned as outputs of the jaxpr to know them again in it."""
    records: list[Any] = []
    tensors: list[Any] = []

    def returning(*z: Any) -> list[Any]:
        with _noted_out_of_reach(layers) as out_of_reach:
            records[:] = [list(z), function(list(z))]
        tensors[:] = [tensor for tensor in _with_masks(records) if id(tensor) not in out_of_reach]
        return list(tensors)

    jaxpr = trace(returning, inputs)
    ancestry = JaxprAncestry(jaxpr, zip(tensors, jaxpr.outputs, strict=True), vary)
    traced_inputs, record = records
    return _Pass(jaxpr, traced_inputs, record, ancestry)


@contextlib.contextmanager
def _noted_out_of_reach(layers: Sequence[keras.layers.Layer]) -> Iterator[dict[int, Any]]:
    """Note, by id, the tensors of calls that are made in another trace than the present one: in the body of a loop, a branch."""
    present = jex.get_opaque_trace_state()
    tensors: dict[int, Any] = {}

    def replacing(layer: keras.layers.Layer, call: Call) -> Call:
        def noting(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            if jex.get_opaque_trace_state() != present:
                tensors.update((id(tensor), tensor) for tensor in _tensors_in([args, kwargs, output]))
            return output

        return noting

    with replaced_calls(layers, replacing):
        yield tensors


def _with_masks(record: Any) -> list[Any]:
    """Return the tensors in a record, and the masks that Keras has put on them, each once."""
    tensors = {}
    for tensor in _tensors_in(record):
        for each in (tensor, keras_mask(tensor)):
            if isinstance(each, jax.Array):
                tensors[id(each)] = each
    return list(tensors.values())


def _tensors_in(record: Any) -> Iterator[Any]:
    return (value for value in keras.tree.flatten(record) if isinstance(value, jax.Array))
