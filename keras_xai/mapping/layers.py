"""The choice of the layers whose activations are recorded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_xai.backend.protocol import Activation
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.layers import find_layer, iter_layers, layer_path, layers_within

MAX_LAYERS = 8  # the model's output among them
# Layers that only rescale or activate the output of the one before. Of such a chain the last layer is followed.
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

# Layers that run inner layers themselves, once for each step, direction or head: the inner ones cannot be read.
_RUNNERS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)

# Reasons why a layer is not followed whose output could be read.
UNCALLED = "no call of it is seen: not in inference, or only inside a compiled function of the model's own"
ELSEWHERE = "it does not lead to the output that is read"


def candidates(model: keras.Model, paths: Sequence[str] | None) -> list[keras.layers.Layer]:
    """The layers that may be followed: those named, or the model's children, a nested block as one.

    Of a model that only wraps another model, they are the inner model's children.

    Args:
        model: a built model.
        paths: of layers; None for the children.

    Raises:
        InvalidInput: a path that does not exist, with close matches; a layer that is run by another one for each step or head.
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
        if isinstance(owner, _RUNNERS) and any(inner is layer for inner in layers_within(owner)):
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
    """The reasons why layers cannot be followed, by the layers' ids, in the order of `layers`.

    Args:
        activations: of one pass.
        layers: that were traced.
        earlier: reasons that were found when the program ran, by id.
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
    """Check that all layers that the user named can be read.

    Args:
        reasons: why some cannot, by path.

    Raises:
        InvalidInput: there is one.
    """
    for path, reason in reasons.items():
        fault = "takes no part in what the model says" if reason in (UNCALLED, ELSEWHERE) else "cannot be read"
        raise InvalidInput(f"Layer {path!r} {fault}: {reason}; name another one in layers=.")


def left_out(reasons: Mapping[str, str], rows: int) -> str:
    """A sentence on the layers that the mappings leave out, and why; "" where they leave out none.

    Args:
        reasons: why a layer is left out, by path.
        rows: number of layers that are followed, without the model's output.
    """
    paths: dict[str, list[str]] = {}
    for path, reason in reasons.items():
        paths.setdefault(reason, []).append(path)
    named = "; ".join(f"{listed(paths_of_reason)} ({reason})" for reason, paths_of_reason in paths.items())
    sentences = [f"The mappings leave out {named}."] if named else []
    if not rows:
        sentences.append(
            "The mappings follow the model's output alone: no layer before it has a row of features a sample."
        )
    return " ".join(sentences)


def followed(activations: Sequence[Activation], max_layers: int = MAX_LAYERS) -> list[Activation]:
    """Evenly spaced layers that change the representation, the last of them always.

    Args:
        activations: of the children, in the order of their calls.
        max_layers: how many at most, the model's output among them.

    Returns:
        At most max_layers − 1 activations.
    """
    # The model's logits are a row of their own, which stands for the layers after them, too.
    features = [a for a in activations if not (a.problem or a.is_input or a.is_final)]
    selected = []
    for activation, following in itertools.zip_longest(features, features[1:]):
        if following is None or not _finishes(following, activation):
            selected.append(activation)
    if len(selected) < max_layers:
        return selected
    return [selected[k] for k in np.linspace(0, len(selected) - 1, max_layers - 1).round().astype(int)]


def _finishes(following: Activation, activation: Activation) -> bool:
    """True where a layer only rescales or activates the output of the one before it."""
    is_called_with_it = any(layer is activation.layer for layer in following.follows)
    return isinstance(following.layer, _FINISHING) and is_called_with_it


def names(activations: Sequence[Activation], model: keras.Model) -> list[str]:
    """The paths of the layers, made unique: the second of the same path gets a number, "dense (2)"."""
    paths: list[str] = []
    for activation in activations:
        path = layer_path(activation.layer, model)
        count = sum(name == path or name.startswith(f"{path} (") for name in paths)
        paths.append(f"{path} ({count + 1})" if count else path)
    return paths
