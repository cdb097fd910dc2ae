"""The choice of the layers that are followed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_xai.backend.protocol import Activation
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.layers import find_layer, iter_layers, layer_path, layers_within

MAX_LAYERS = 8  # with the logits
# What only finishes the layer before it: the row goes by the last of such a chain.
_FINISHING = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.ELU,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.UnitNormalization,
)

# Layers that run others in a way of their own.
_RUNNERS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)

# Why a layer that could be read is not.
UNCALLED = "no call of it is seen: not in inference, or only inside a compiled function of the model's own"
ELSEWHERE = "it does not lead to the output that is read"


def candidates(model: keras.Model, paths: Sequence[str] | None) -> list[keras.layers.Layer]:
    """The layers to watch: those named, or the model's children, a nested block as one.

    A model that is nothing but a wrapper around another one is looked into.

    Raises:
        InvalidInput: a path that does not exist, with close matches.
    """
    if paths is not None:
        return [_named(model, path) for path in paths]
    children = _children(model)
    while len(children) == 1 and _children(children[0]) and isinstance(children[0], keras.Model):
        children = _children(children[0])
    return children


def _named(model: keras.Model, path: str) -> keras.layers.Layer:
    layer = find_layer(model, path)
    for owner in iter_layers(model):
        if isinstance(owner, _RUNNERS) and any(part is layer for part in layers_within(owner)):
            raise InvalidInput(
                f"Layer {path!r} is run by {layer_path(owner, model)!r} for each step or head, and gives nothing of its own: "
                f"take that one."
            )
    return layer


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [
        child
        for child in layer._flatten_layers(include_self=False, recursive=False)
        if not isinstance(child, keras.layers.InputLayer)
    ]


def unreadable(
    activations: Sequence[Activation], layers: Sequence[keras.layers.Layer], earlier: Mapping[int, str]
) -> dict[int, str]:
    """Why layers cannot be followed, by their ids, in the order of `layers`.

    Args:
        activations: of one pass.
        layers: that were watched.
        earlier: reasons that running the pass brought up, by id.
    """
    by_layer = {id(activation.layer): activation for activation in activations}
    reasons: dict[int, str] = {}
    for layer in layers:
        activation = by_layer.get(id(layer))
        if id(layer) in earlier:
            reasons[id(layer)] = earlier[id(layer)]
        elif activation is None:
            reasons[id(layer)] = UNCALLED
        elif activation.problem or not activation.leads:
            reasons[id(layer)] = activation.problem or ELSEWHERE
    return reasons


def check_named(reasons: Mapping[str, str]) -> None:
    """Refuse named layers that cannot be read.

    Args:
        reasons: why they are not, by their paths.

    Raises:
        InvalidInput: there is one; why, and what to do.
    """
    for path, reason in reasons.items():
        fault = "takes no part in what the model says" if reason in (UNCALLED, ELSEWHERE) else "cannot be read"
        raise InvalidInput(f"Layer {path!r} {fault}: {reason}; name another one in layers=.")


def left_out(reasons: Mapping[str, str], rows: int) -> str:
    """The sentence that names what the mappings leave out, and why; "" where they leave out nothing.

    Args:
        reasons: of layers, by path.
        rows: how many layers are followed, the model's output not among them.
    """
    paths: dict[str, list[str]] = {}
    for path, reason in reasons.items():
        paths.setdefault(reason, []).append(path)
    named = "; ".join(f"{listed(some)} ({reason})" for reason, some in paths.items())
    sentences = [f"The mappings leave out {named}."] if named else []
    if not rows:
        sentences.append(
            "The mappings follow the model's output alone: no layer before it has a row of features a sample."
        )
    return " ".join(sentences)


def followed(activations: Sequence[Activation], most: int = MAX_LAYERS) -> list[Activation]:
    """At most `most` − 1 evenly spaced layers that change the representation, the last of them always.

    Args:
        activations: of the children, in the order of their calls.
        most: layers, the model's output among them.
    """
    # The model's logits, and what comes after them, have a row of their own.
    features = [a for a in activations if not (a.problem or a.is_input or a.is_final)]
    selected = []
    for activation, following in itertools.zip_longest(features, features[1:]):
        if following is None or not _finishes(following, activation):
            selected.append(activation)
    if len(selected) < most:
        return selected
    return [selected[k] for k in np.linspace(0, len(selected) - 1, most - 1).round().astype(int)]


def _finishes(following: Activation, activation: Activation) -> bool:
    """True where a layer only finishes the one before it, whose output it is called with."""
    is_called_with_it = any(layer is activation.layer for layer in following.follows)
    return isinstance(following.layer, _FINISHING) and is_called_with_it


def names(activations: Sequence[Activation], model: keras.Model) -> list[str]:
    """Their paths; the second of the same path gets a number."""
    paths: list[str] = []
    for activation in activations:
        path = layer_path(activation.layer, model)
        count = sum(name == path or name.startswith(f"{path} (") for name in paths)
        paths.append(f"{path} ({count + 1})" if count else path)
    return paths
