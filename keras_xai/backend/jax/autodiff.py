"""Scores and their gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from keras_xai.backend.ancestry import input_indices
from keras_xai.backend.jax.ancestry import JaxprAncestry, depends_on, link_of
from keras_xai.backend.jax.jaxprs import trace
from keras_xai.backend.jax.marks import mark, with_added_at_marks
from keras_xai.backend.layer_calls import replaced_outputs
from keras_xai.backend.protocol import ForwardPass, Gradient, LayerOutput, Logits, Slopes
from keras_xai.backend.results import Template


def find_logits(function: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Logits:
    """See `Backend`. The function is traced once, and its jaxpr is run for the outputs and the logits behind them."""
    jaxpr = trace(lambda *z: function(list(z)), inputs)
    (outputs,) = jaxpr.outputs
    link, scores = link_of(jaxpr, outputs)
    of_outputs, of_scores = jaxpr.run(inputs, [outputs, scores])
    return Logits(of_outputs, jnp.asarray(of_scores, jnp.float32), link)


def take_target(scores: Any, target: Any) -> Any:
    """See `Backend`."""
    if scores.ndim == 1:
        return scores
    if scores.shape[-1] == 1:
        return scores[:, 0]
    return jnp.take_along_axis(scores, target[:, None].astype(jnp.int32), axis=1)[:, 0]


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Gradient:
    """See `Backend`."""
    floating = [k for k, x in enumerate(inputs) if is_floating(x)]

    def of_floating(values: list[Any]) -> Any:
        return score(_replaced(inputs, floating, values))

    value, pullback = jax.vjp(of_floating, [inputs[k] for k in floating])
    gradients = dict(zip(floating, _pulled_back(lambda v: pullback(v)[0], value), strict=True))
    return Gradient(value, [gradients.get(k) for k in range(len(inputs))])


def forward_with_vjp(
    score: Callable[[list[Any]], tuple[Any, Any]], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> ForwardPass:
    """See `Backend`. The outputs of layers are marked, for they may be values of a trace inside; what lies in a loop is out of
    reach. Nobody pays for what is not asked for: XLA leaves it out."""
    numbers = {id(layer): number for number, layer in enumerate(layers)}
    templates: list[Template] = []

    def marked(*z: Any) -> list[Any]:
        with replaced_outputs(layers, lambda layer, output: mark(output, numbers[id(layer)])):
            result = score(list(z))
        templates.append(Template(result, lambda value: isinstance(value, jax.Array)))
        return templates[-1].forget()

    original = trace(marked, inputs)
    jaxpr, marks = with_added_at_marks(original)
    floating = [k for k, x in enumerate(inputs) if is_floating(x)]
    results_and_marked = [*jaxpr.outputs, *(entry.value for entry in marks)]

    def of_floating(values: list[Any], added: list[Any]) -> tuple[Any, list[Any]]:
        results = jaxpr.run([*_replaced(inputs, floating, values), *added], results_and_marked)
        return templates[-1].filled(results[: len(jaxpr.outputs)])[0], results

    zeros = [jnp.zeros(entry.value.aval.shape, entry.value.aval.dtype) for entry in marks]
    value, pullback, results = jax.vjp(of_floating, [inputs[k] for k in floating], zeros, has_aux=True)
    _, aux = templates[-1].filled(results[: len(jaxpr.outputs)])
    of_marks = results[len(jaxpr.outputs) :]

    def by_layer(entries: Sequence[Any]) -> list[list[Any]]:
        """Sort what belongs to the marks by layer."""
        lists: list[list[Any]] = [[] for _ in layers]
        for entry, value_of_mark in zip(marks, entries, strict=True):
            lists[entry.number].append(value_of_mark)
        return lists

    @functools.cache
    def slopes() -> Slopes:
        def both(cotangent: Any) -> list[Any]:
            at_inputs, at_marks = pullback(cotangent)
            return [*at_inputs, *at_marks]

        gradients = _pulled_back(both, value)
        at_inputs = dict(zip(floating, gradients, strict=False))
        return Slopes([at_inputs.get(k) for k in range(len(inputs))], by_layer(gradients[len(floating) :]))

    sources, ancestry = jaxpr.inputs[: len(inputs)], JaxprAncestry(jaxpr)
    indices = [input_indices(entry.value, sources, ancestry) for entry in marks]
    outputs = [LayerOutput(output, numbers_of) for output, numbers_of in zip(of_marks, indices, strict=True)]
    return ForwardPass(value, aux, by_layer(outputs), lambda at_inputs=True: slopes())


def is_floating(x: Any) -> bool:
    """Return True for a tensor that has a gradient."""
    return bool(jnp.issubdtype(x.dtype, jnp.floating))


def _replaced(inputs: Sequence[Any], numbers: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Return the inputs with other values of some of them."""
    replaced = list(inputs)
    for k, value in zip(numbers, values, strict=True):
        replaced[k] = value
    return replaced


def _pulled_back(pullback: Callable[[Any], list[Any]], value: Any) -> list[Any]:
    """Return the pullback of ones; None where nothing of it depends on them, in whose place JAX has zeros."""
    ones = jnp.ones_like(value)
    jaxpr = trace(lambda v: pullback(v), [ones])
    (source,) = jaxpr.inputs
    gradients = jaxpr.run([ones], jaxpr.outputs)
    paths = [depends_on(jaxpr, output, source) for output in jaxpr.outputs]
    return [gradient if leads else None for gradient, leads in zip(gradients, paths, strict=True)]
