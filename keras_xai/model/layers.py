"""The layers of a model: which there are, how they are named, what lies along their axes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_xai.backend.layer_calls import output_shapes
from keras_xai.errors import InvalidInput, unknown

# Layers that keep an image an image, or end it; by the beginnings of their names. Behind any other there may be tokens.
_OF_IMAGES = re.compile(
    "Activation|Add|AlphaDropout|Average|Batch|CenterCrop|Concatenate|Conv|Cropping|Dense|Depthwise|Dropout|"
    "ELU|Equalization|Flatten|Functional|Gaussian|GELU|Global|Group|Identity|Input|Layer|Leaky|Max|Min|"
    "Multiply|Normalization|PReLU|Random|ReLU|Rescaling|Resizing|Separable|Sequential|Softmax|Solarization|"
    "Spatial|Spectral|Subtract|Unit|UpSampling|Zero"
)
_RESHAPING = ("Einsum", "ExpandDims", "Matmul", "Moveaxis", "Reshape", "Squeeze", "Transpose", "ExtractPatches")
# Layers whose output does not move smoothly with their input.
WITHOUT_GRADIENT = (
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
)


def iter_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers below the model, in the order they were added, containers before what they contain."""
    return [layer for layer in layers_within(model) if not isinstance(layer, keras.layers.InputLayer)]


def layers_within(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """All layers below one of them, at any depth, in the order they were added.

    Keras' own flattening has the parts of a container in reverse order.
    """
    layers: dict[int, keras.layers.Layer] = {}

    def add_parts(container: keras.layers.Layer) -> None:
        for part in container._flatten_layers(include_self=False, recursive=False):
            if id(part) not in layers:
                layers[id(part)] = part
                add_parts(part)

    add_parts(layer)
    return list(layers.values())


def find_layer(model: keras.Model, path: str) -> keras.layers.Layer:
    """The layer with this path, or with this name where only one has it; nested and subclassed models are looked into.

    Raises:
        InvalidInput: there is none, or more than one.
    """
    layers = iter_layers(model)
    matches = [layer for layer in layers if layer_path(layer, model) == path]
    if not matches:
        matches = [layer for layer in layers if layer.name == path]
    if not matches:
        raise unknown("layer", path, dict.fromkeys(layer_path(layer, model) for layer in layers))
    if len(matches) > 1:
        paths = ", ".join(repr(layer_path(layer, model)) for layer in matches)
        raise InvalidInput(f"More than one layer is called {path!r}: give its path, one of {paths}.")
    return matches[0]


def layer_path(layer: keras.layers.Layer, model: keras.Model) -> str:
    """A layer's name for the user: its path, without the model's own name in front.

    Keras gives a layer without weights no path but its name, wherever it stands: such a one is looked for.
    """
    path: str = getattr(layer, "path", None) or layer.name
    if not layer.weights and "/" not in path:
        path = next((nested for nested, part in _nested_paths(model) if part is layer), path)
    return path.removeprefix(f"{model.name}/")


def _nested_paths(model: keras.layers.Layer, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield prefix + layer.name, layer
        yield from _nested_paths(layer, f"{prefix}{layer.name}/")


def is_channels_first(layer: keras.layers.Layer, model: keras.Model, rank: int = 4) -> bool:
    """True where a layer's output is (n, c, h, w); one that does not say follows the model's first layer that does.

    Args:
        layer: whose output it is.
        model: that it is in.
        rank: of the output; what convolutions of another rank say is not about it.
    """
    of_layer = getattr(layer, "data_format", None)
    if of_layer is not None:
        return bool(of_layer == "channels_first")
    for candidate in iter_layers(model):
        data_format = getattr(candidate, "data_format", None)
        if data_format is not None and _rank_by_name(candidate) in (None, rank):
            return bool(data_format == "channels_first")
    return False


def _rank_by_name(layer: keras.layers.Layer) -> int | None:
    """The number of axes of a layer's output, which the names of Keras' convolutions and poolings end in."""
    name = type(layer).__name__
    return int(name[-2]) + 2 if name[-2:] in ("1D", "2D", "3D") else None


def has_convolution(model: keras.Model) -> bool:
    """True where a convolution or a pooling is in the model: such models want small passes."""
    names = [type(layer).__name__ for layer in model._flatten_layers()]
    return any("Conv" in name or "Pooling" in name for name in names)


def spatial_layers(
    model: keras.Model, outputs: Callable[[list[Any]], Any], inputs: Sequence[Any]
) -> list[keras.layers.Layer]:
    """The layers with an output of more than one place, in the order in which they are called.

    Those of images (n, h, w, c) and volumes (n, d, h, w, c); where there are none those of sequences (n, t, c).

    Args:
        model: whose layers are looked at.
        outputs: runs the model on `inputs`, which is done once.
        inputs: (n, ...) tensors.

    Raises:
        InvalidInput: there is none.
    """
    size = inputs[0].shape[0]
    shapes = output_shapes(outputs, inputs, whole_layers(model))
    spatial = [layer for layer, shape in shapes if is_spatial(shape)]
    # What only turns its axes lies otherwise than the image, and is taken where there is nothing else.
    spatial = [layer for layer in spatial if not isinstance(layer, keras.layers.Permute)] or spatial
    if not spatial:
        spatial = [layer for layer, shape in shapes if is_sequence(shape, size) and not looks_up(layer)]
    if not spatial:
        raise InvalidInput(
            "No layer of the model has a spatial output (n, h, w, c), (n, d, h, w, c) or (n, t, c): name one with layer=, or "
            "take saliency."
        )
    return spatial


def before_head(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """The layers before the last one that has weights, which makes the scores of a dense output; all where none is before it."""
    with_weights = [k for k, layer in enumerate(layers) if layer.weights]
    return list(layers[: with_weights[-1]] if with_weights and with_weights[-1] else layers)


def whole_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that give a whole output each: none that holds others, but wrappers and ConvLSTMs; nothing inside attention."""
    layers = iter_layers(model)
    # What attention holds is (n, heads, t, t): who looks at whom, no place. What a wrapper holds sees a part of a sample.
    inside: set[int] = set()
    for layer in layers:
        if "Attention" in type(layer).__name__:
            inside |= {id(part) for part in layer._flatten_layers()}
        elif _runs_over_steps(layer):
            inside |= {id(part) for part in layers_within(layer)}
    whole = []
    for layer in layers:
        if id(layer) not in inside and (_runs_over_steps(layer) or not layers_within(layer)):
            whole.append(layer)
    return whole


def _runs_over_steps(layer: keras.layers.Layer) -> bool:
    """True for a wrapper, and for a recurrence whose state has places: what they hold sees one step of a sample."""
    return isinstance(layer, keras.layers.Wrapper) or "ConvLSTM" in type(layer).__name__


def may_hold_tokens(model: keras.Model) -> bool:
    """True where an image may become a sequence of tokens on the way: behind a layer of the user's, a reshaping, attention.

    Found from the layers alone: a model of Keras' convolutions, poolings and their like holds none.
    """
    for layer in [model, *iter_layers(model)]:
        if not type(layer).__module__.startswith("keras.") or not _OF_IMAGES.match(type(layer).__name__):
            return True
        for operation in getattr(layer, "operations", ()):
            if not isinstance(operation, keras.layers.Layer) and type(operation).__name__ in _RESHAPING:
                return True
    return False


def looks_up(layer: keras.layers.Layer) -> bool:
    """True for an embedding, at whose output tokens are explained: it has no gradient of its own."""
    return isinstance(layer, keras.layers.Embedding)


def is_sequence(shape: tuple[int | None, ...], size: int | None) -> bool:
    """True for an output (n, t, c) of more than one step, of `size` samples."""
    return len(shape) == 3 and shape[0] in (None, size) and shape[1] != 1


def is_spatial(shape: tuple[int | None, ...]) -> bool:
    """True for an output of four or five axes, of which two besides the samples are longer than 1; an unknown length counts."""
    long_axes = [side for side in shape[1:] if side is None or side > 1]
    return len(shape) in (4, 5) and len(long_axes) >= 2


def behind_without_gradient(model: keras.Model) -> list[str]:
    """Layers that no gradient leads through, in words: path and type, the outermost of nested ones."""
    layers = [layer for layer in iter_layers(model) if type(layer).__name__ in WITHOUT_GRADIENT]
    inner = {id(part) for layer in layers for part in layers_within(layer)}
    return [f"{layer_path(layer, model)!r} ({type(layer).__name__})" for layer in layers if id(layer) not in inner]
