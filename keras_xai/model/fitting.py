"""Reads off a model what only it can say of samples: what kind they are, and which input each column is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_xai.errors import InvalidInput, listed
from keras_xai.frames import Names, Samples
from keras_xai.model.inputs import inputs_by_name
from keras_xai.probe import Probe
from keras_xai.probe.kinds import ambiguous_kind
from keras_xai.spatial import SPATIAL_KINDS

IMAGE = (
    "Conv2D",
    "Pooling2D",
    "SeparableConv2D",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "Resizing",
    "CenterCrop",
)
SERIES = ("Conv1D", "Pooling1D", "Attention", "ConvLSTM1D")


def fit_probe(model: keras.Model, probe: Probe) -> Probe:
    """The probe as this model takes it: its kind known, its columns in the inputs that the model names.

    A series is what a recurrent layer or a Conv1D reads, a volume what a Conv3D or ConvLSTM2D does, tokens are integers that
    an `Embedding` looks up. Of a dict the model gets the inputs that it has; a table whose columns have names is given by
    columns where the model asks for them.

    Args:
        model: built or not; its layers are looked at.
        probe: whose kind may be open.

    Returns:
        The probe itself where nothing is open.

    Raises:
        InvalidInput: the model leaves a doubt of the kind, as one of dense layers that flattens pixels or time steps; a dict
            with more than the model's inputs that Keras would mix up.
    """
    if probe.x is None:
        return probe
    probe = _by_name(model, probe)
    return probe if probe.kind else probe.of_kind(_kind_in(model, probe))


def arrays_for(model: keras.Model, samples: Samples) -> Any:
    """Bare samples in the inputs that the model names, as `fit_probe` has those of a probe."""
    x, names = samples.arrays, samples.names[0]
    names_of_inputs = _input_names(model, x, names, samples.split_from_frame)
    return x if names_of_inputs is None else {name: _part(x, name, names) for name in names_of_inputs}


def _by_name(model: keras.Model, probe: Probe) -> Probe:
    names = probe.feature_names if len(probe.shapes) == 1 else None
    names_of_inputs = _input_names(model, probe.x, names, probe.split_from_frame)
    return (
        probe
        if names_of_inputs is None
        else probe.with_inputs(names_of_inputs, lambda value, name: _part(value, name, names))
    )


def _input_names(model: keras.Model, x: Any, names: Names, split_from_frame: bool) -> list[str] | None:
    """The model's inputs in the order of the samples; None where they are taken as they are."""
    inputs = inputs_by_name(model)
    if isinstance(x, Mapping):
        taken = [name for name in x if name in inputs]
        if not 0 < len(inputs) == len(taken) < len(x):
            return None
        # Of a model that takes a dict Keras hands over the first keys of all, sorted, whatever their names are.
        if not split_from_frame and isinstance(model.input, Mapping) and sorted(x)[: len(inputs)] != sorted(inputs):
            more = [name for name in x if name not in inputs]
            raise InvalidInput(
                f"x holds {listed(more)}, which the model does not take: `fit` would give it other columns in their place; "
                f"leave them out, of what `fit` gets too."
            )
        return taken
    if not names or len(inputs) < 2 or isinstance(x, list) or not set(inputs) <= set(names):
        return None
    columns = all(tuple(tensor.shape[1:]) in ((), (1,)) for tensor in inputs.values())
    return [name for name in names if name in inputs] if columns else None


def _part(value: Any, name: str, names: Names) -> Any:
    if isinstance(value, Mapping):
        return value[name]
    k = (names or ()).index(name)
    return np.asarray(value)[..., k : k + 1]


def _kind_in(model: keras.Model, probe: Probe) -> str:
    """The kind of samples that a model reads.

    Raises:
        InvalidInput: no layer says it.
    """
    array = max(probe.inputs, key=lambda a: a.ndim)
    layers = list(model._flatten_layers(include_self=False))
    if array.ndim == 2:
        return "tokens" if _looks_up(model, layers, probe) else "table"
    if array.ndim == 4:
        kind = _first_reader(layers)
        if kind in SPATIAL_KINDS:
            return kind
        raise ambiguous_kind(array)
    takes = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or []]
    if len(takes) == 1 and len(takes[0]) == 3 and takes[0][-1] == 1:  # Keras adds the axis of the channel
        return "image"
    kind = _first_reader(layers)
    if kind not in ("image", "series"):
        raise ambiguous_kind(array)
    return kind


def _first_reader(layers: list[Any]) -> str:
    """The kind that the first layer with spatial or time axes reads: "image", "series" or "volume"; "" without one.

    A video, which a ConvLSTM2D or a convolution of each frame reads, is a volume.
    """
    for layer in layers:
        name = type(layer).__name__
        if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional)) and "2D" not in name and "3D" not in name:
            return "series"
        if "3D" in name or "LSTM2D" in name:
            return "volume"
        if isinstance(layer, keras.layers.TimeDistributed):
            of_frames = _first_reader(list(layer.layer._flatten_layers()))
            return "volume" if of_frames == "image" else ""
        if any(word in name for word in IMAGE):
            return "image"
        if any(word in name for word in SERIES):
            return "series"
    return ""


def _looks_up(model: keras.Model, layers: list[Any], probe: Probe) -> bool:
    """True where an `Embedding` gets these integers, whole: of a functional model its graph says it."""
    embeddings = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    shapes = {tuple(shape) for shape in probe.shapes}
    called_with = [shape for layer in embeddings for shape in _shapes_in(layer)]
    if not embeddings or not called_with:
        return bool(embeddings)
    return any(_fits(shape, sample) for shape in called_with for sample in shapes)


def _shapes_in(layer: Any) -> list[tuple[int | None, ...]]:
    """The shapes of a sample that a layer is called with in graphs of functional models."""
    nodes = getattr(layer, "_inbound_nodes", [])
    return [tuple(tensor.shape[1:]) for node in nodes for tensor in getattr(node, "input_tensors", [])]


def _fits(shape: tuple[int | None, ...], sample: tuple[int, ...]) -> bool:
    return len(shape) == len(sample) and all(a in (None, b) for a, b in zip(shape, sample, strict=True))
