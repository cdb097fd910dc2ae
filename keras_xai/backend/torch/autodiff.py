"""Scores and their gradients."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from keras_xai.backend.layer_calls import replaced_outputs
from keras_xai.backend.protocol import ForwardPass, Gradient, LayerOutput, Logits, Slopes
from keras_xai.backend.results import Template
from keras_xai.backend.torch.ancestry import FunctionAncestry, LogitAncestry
from keras_xai.errors import InvalidInput


def find_logits(function: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Logits:
    """See `Backend`."""
    with LogitAncestry() as ancestry:
        outputs = function(list(inputs))
    return ancestry.logits_of(outputs)


def take_target(scores: Any, target: Any) -> Any:
    """See `Backend`."""
    if scores.ndim == 1:
        return scores
    if scores.shape[-1] == 1:
        return scores[:, 0]
    return scores.gather(1, target.long()[:, None])[:, 0]


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Gradient:
    """See `Backend`."""
    with torch.enable_grad():
        sources = _sources(inputs)
        value = score(list(sources))
        total = value.sum()
    return Gradient(value.detach(), _gradients(total, sources))


def forward_with_vjp(
    score: Callable[[list[Any]], tuple[Any, Any]], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> ForwardPass:
    """See `Backend`."""
    calls: dict[int, list[tuple[LayerOutput, Any]]] = {id(layer): [] for layer in layers}
    with torch.enable_grad():
        sources = _sources(inputs)
        ancestry = FunctionAncestry(sources)

        def record(layer: keras.layers.Layer, output: Any) -> Any:
            if not torch.is_tensor(output):
                return output
            # A zero is added: autograd differentiates by a leaf, and the output may be a view or written to later.
            zero = torch.zeros_like(output, requires_grad=output.is_floating_point())
            layer_output = LayerOutput(output.detach(), ancestry.node(output).input_indices)
            calls[id(layer)].append((layer_output, zero))
            return output + zero

        # Only with layers is it asked what made a tensor.
        with replaced_outputs(layers, record), ancestry if layers else contextlib.nullcontext():
            value, aux = score(list(sources))
        # Here, where gradients are on; `vjp` may be called elsewhere.
        total = value.sum()
    by_layer = [calls[id(layer)] for layer in layers]

    results: dict[bool, Slopes] = {}  # by whether they have gradients at inputs

    def vjp(at_inputs: bool = True) -> Slopes:
        if True in results or at_inputs in results:
            return results.get(True) or results[at_inputs]
        zeros = [zero for pairs in by_layer for _, zero in pairs]
        # The way from a layer back to the inputs is often most of a model.
        gradients = _gradients(total, [*(sources if at_inputs else []), *zeros], is_last=at_inputs)
        at_sources = gradients[: -len(zeros)] if zeros else gradients
        at_zeros = iter(gradients[len(gradients) - len(zeros) :])
        at_outputs = [list(itertools.islice(at_zeros, len(pairs))) for pairs in by_layer]
        results[at_inputs] = Slopes(inputs=at_sources if at_inputs else [None] * len(sources), outputs=at_outputs)
        return results[at_inputs]

    outputs: list[list[LayerOutput]] = []
    for pairs in by_layer:
        outputs.append([layer_output for layer_output, _ in pairs])
    return ForwardPass(value.detach(), detached(aux), outputs, vjp)


def detached(value: Any) -> Any:
    """Return a structure of tensors and facts without the graph that autograd holds behind the tensors."""
    template = Template(value, torch.is_tensor)
    return template.filled([tensor.detach() for tensor in template.forget()])


def _sources(inputs: Sequence[Any]) -> list[Any]:
    """The inputs as leaves of a new graph."""
    return [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]


def _gradients(total: Any, tensors: Sequence[Any], is_last: bool = True) -> list[Any]:
    """The gradient of a scalar with respect to each tensor; None without a path.

    Args:
        total: the scalar.
        tensors: leaves of its graph.
        is_last: no other gradient will be asked of the graph.
    """
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    if not leaves or not total.requires_grad:
        return [None] * len(tensors)
    try:
        gradients = iter(torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=not is_last))
    except RuntimeError as error:
        if "checkpoint" not in str(error).lower():
            raise
        raise InvalidInput(
            "The model has a torch.utils.checkpoint with use_reentrant=True, which computes gradients for the weights alone: "
            "give it use_reentrant=False, or take a method that needs no gradient (occlusion, kernel_shap, lime)."
        ) from error
    return [next(gradients) if tensor.requires_grad else None for tensor in tensors]
