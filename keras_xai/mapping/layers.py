"""Which layers are followed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_xai.attribution.method import every_layer, find_layer, path_of
from keras_xai.backend.protocol import Activation
from keras_xai.errors import InvalidInput, listed

MOST = 8  # with the logits
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
    """The layers to listen to: those named, or the model's children, a nested block as one.

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
    found = find_layer(model, path)
    for owner in every_layer(model):
        if isinstance(owner, _RUNNERS) and any(one is found for one in owner._flatten_layers(include_self=False)):
            raise InvalidInput(
                f"Layer {path!r} is run by {path_of(owner, model)!r} for each step or head, and gives nothing of its own: take "
                f"that one."
            )
    return found


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [
        one
        for one in layer._flatten_layers(include_self=False, recursive=False)
        if not isinstance(one, keras.layers.InputLayer)
    ]


def unreadable(
    heard: Sequence[Activation], wanted: Sequence[keras.layers.Layer], known: Mapping[int, str]
) -> dict[int, str]:
    """Why layers cannot be followed, by their ids, in the order of `wanted`.

    Args:
        heard: what they gave in one pass.
        wanted: those that were listened to.
        known: reasons that running the pass brought up, by id.
    """
    activations = {id(activation.layer): activation for activation in heard}
    reasons: dict[int, str] = {}
    for layer in wanted:
        activation = activations.get(id(layer))
        if id(layer) in known:
            reasons[id(layer)] = known[id(layer)]
        elif activation is None:
            reasons[id(layer)] = UNCALLED
        elif activation.problem or not activation.leads:
            reasons[id(layer)] = activation.problem or ELSEWHERE
    return reasons


def check_named(reasons: Mapping[str, str]) -> None:
    """Of layers that were named, all must be there to read.

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
        rows: how many layers are followed, what the model says not among them.
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


def followed(heard: Sequence[Activation], final: Sequence[Any], most: int = MOST) -> list[Activation]:
    """At most `most` − 1 evenly spaced layers that change the representation, the last of them always.

    Args:
        heard: of the children, in the order of their calls.
        final: tensors that are the model's logits or come after them: they have a row of their own.
    """
    ends = {id(tensor) for tensor in final}
    features = [one for one in heard if not one.problem and not one.unchanged and id(one.output) not in ends]
    kept = [
        one
        for one, following in itertools.zip_longest(features, features[1:])
        if following is None or not isinstance(following.layer, _FINISHING) or following.input is not one.output
    ]
    if len(kept) < most:
        return kept
    return [kept[k] for k in np.linspace(0, len(kept) - 1, most - 1).round().astype(int)]


def names(followed: Sequence[Activation], model: keras.Model) -> list[str]:
    """Their paths; the second of the same path gets a number."""
    found: list[str] = []
    for one in followed:
        path = path_of(one.layer, model)
        count = sum(name == path or name.startswith(f"{path} (") for name in found)
        found.append(f"{path} ({count + 1})" if count else path)
    return found
