"""The parts of samples with attributions: an input with a map, a text or a series of its own, or all columns of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.attributions import inputs_of
from keras_xai.probe import Probe
from keras_xai.records import Attribution, Float
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, kind_of_input

Form = Literal["table", "map", "volume", "series", "words"]


@dataclass(frozen=True, eq=False)
class Part:
    """One input of the samples with its attributions, or all columns of a table together.

    | form | `values` | `inputs` |
    |---|---|---|
    | table | (B, F) | (B, F) numbers or texts |
    | map | (B, h, w) | (B, H, W, C) |
    | volume | (B, d, h, w) | (B, D, H, W, C) |
    | series | (B, T, C), or (B, t) of a layer's own steps | (B, T, C) |
    | words | (B, T), or fewer steps of a layer | (B, T) tokens |
    """

    form: Form
    values: NDArray[Any]
    inputs: NDArray[Any] | None = None  # None where the samples are not at hand
    names: Sequence[str] = ()  # of columns, units or channels
    words: Mapping[int, str] = field(default_factory=dict)  # of the tokens
    title: str = ""  # name of the input, where there are several
    positions: tuple[int, ...] = ()  # of a sample: (H, W), (D, H, W) or (T,); () where they are not known


def parts_of(record: Attribution, probe: Probe | None, kind: str, layer: str = "") -> list[Part]:
    """Return the inputs with a map, a text or a series of their own, then one table of all columns.

    Args:
        record: the attributions.
        probe: the samples; None where they are not known.
        kind: of the samples.
        layer: of whose units the values are, "" for any other values.
    """
    arrays = [np.asarray(array) for array in inputs_of(record)]
    if layer:
        return [_part_of_layer(kind, arrays[0], probe)]
    shapes = list(probe.shapes) if probe is not None else [array.shape[1:] for array in arrays]
    samples = probe.inputs if probe is not None and probe.x is not None else [None] * len(shapes)
    if len(arrays) != len(shapes):  # a map of its own resolution, of the input that has positions
        k = probe.spatial_input if probe is not None else 0
        return [_positioned(kind, arrays[0], shapes[k], samples[k], probe, k, shapes)]
    parts, columns = [], []
    for k, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        if (
            kind == "tokens"
            or kind_of_input(kind, shape, shapes)
            or (kind == "series" and array.ndim == 2 == 1 + len(shapes))
        ):
            parts.append(_positioned(kind, array, shape, samples[k], probe, k, shapes))
        else:
            columns.append(k)
    return [*parts, *_table(columns, arrays, samples, probe)]


def _title_of_input(probe: Probe | None, k: int, count: int) -> str:
    if probe is None or count < 2:
        return ""
    return str(probe.keys[k]) if probe.keys is not None else f"input {k}"


def _table(
    columns: Sequence[int], arrays: Sequence[NDArray[Any]], samples: Sequence[Any], probe: Probe | None
) -> list[Part]:
    """Return the columns of some inputs as one table; [] without columns."""
    if not columns:
        return []
    values = np.concatenate([arrays[k].reshape(len(arrays[k]), -1) for k in columns], 1)
    inputs = None
    if all(samples[k] is not None for k in columns):
        tables = [np.asarray(samples[k]).reshape(len(samples[k]), -1) for k in columns]
        if len({table.dtype.kind in "OUS" for table in tables}) > 1:  # numbers stay numbers beside texts
            tables = [table.astype(object) for table in tables]
        joined = np.concatenate(tables, 1)
        inputs = joined if joined.shape == values.shape else None
    names = _names_of_columns(columns, values.shape[1], probe)
    title = "columns" if len(columns) < len(arrays) else ""
    return [Part("table", values, inputs, names, title=title)]


def _names_of_columns(columns: Sequence[int], count: int, probe: Probe | None) -> Sequence[str]:
    numbered = [f"column {i}" for i in range(count)]
    if probe is None:
        return numbered
    features = probe.feature_map
    if probe.is_columns:
        names = list(features.column_names)
    elif len(columns) == 1:
        names = list(features.names_of(columns[0]))
    else:
        keys = list(map(str, probe.keys or range(len(probe.shapes))))
        names = []
        for k in columns:
            names_of_input = features.names_of(k)
            prefixed = [f"{keys[k]}: {name}" for name in names_of_input]
            names += [keys[k]] if len(names_of_input) == 1 else prefixed  # a column by itself is called by its input
    return names if len(names) == count else numbered


def _part_of_layer(kind: str, values: NDArray[Any], probe: Probe | None) -> Part:
    """Return the values of a layer's units: a map where the units have places, else a table of units."""
    rank = {"image": 3, "volume": 4}.get(kind, 2)  # of (B, places): written so, summed over the units
    if kind != "table" and values.ndim == rank + 1:
        values = values.sum(-1)
    if kind == "table" or values.ndim != rank or (kind not in (*SPATIAL_KINDS, "series", "tokens")):
        flat = values.reshape(len(values), -1)
        return Part("table", flat, names=[f"unit {i}" for i in range(flat.shape[1])])
    k = 0 if probe is None else probe.spatial_input
    shapes = [] if probe is None else list(probe.shapes)
    sample = probe.inputs[k] if probe is not None and probe.x is not None else None
    return _positioned(kind, values, shapes[k] if shapes else values.shape[1:], sample, probe, k, shapes)


def _positioned(
    kind: str,
    values: NDArray[Any],
    shape: tuple[int, ...],
    sample: Any,
    probe: Probe | None,
    k: int,
    shapes: Sequence[tuple[int, ...]],
) -> Part:
    """Return a part whose values lie along space, time or a text."""
    title = _title_of_input(probe, k, len(shapes))
    if kind == "tokens":
        words = _vocabulary(probe)
        if values.ndim > 2:
            values = values.reshape(*values.shape[:2], -1).sum(-1)
        tokens = None if sample is None else np.asarray(sample).reshape(len(sample), -1)
        return Part("words", values, tokens, words=words, title=title, positions=tuple(shape[:1]))
    if kind == "series":
        named = probe is not None and len(shape) == 2
        names: Sequence[str] = probe.feature_map.names_of(k) if probe is not None and named else ["values"]
        steps = None if sample is None else np.asarray(sample)
        if steps is not None and steps.ndim == 2:
            steps = steps[..., None]
        own_steps = values.ndim == 2 and (len(shape) == 2 or values.shape[1] != shape[0])
        lanes = values if own_steps or values.ndim == 3 else values[..., None]
        if probe is None and values.ndim == 3:
            names = [f"channel {c}" for c in range(values.shape[2])]
        return Part("series", lanes, steps, names, title=title, positions=tuple(shape[:1]))
    return _spatial(kind_of_input(kind, shape, shapes) or kind, values, shape, sample, title)


def _spatial(kind: str, values: NDArray[Any], shape: tuple[int, ...], sample: Any, title: str) -> Part:
    spatial = SpatialShape.of_kind(kind, shape)
    if values.ndim == 1 + len(spatial.positions) + 1:
        values = SpatialShape.of_kind(kind, values.shape[1:]).sum_over_channels(values)
    pictures = None
    if sample is not None:
        array, axis = np.asarray(sample), spatial.channel_axis
        pictures = array[..., None] if axis is None else np.moveaxis(array, axis, -1)
    if values.ndim == 2:
        return Part("table", values, names=[f"unit {i}" for i in range(values.shape[1])], title=title)
    if kind == "volume" and values.ndim == 3:  # the map of a plane, as a layer of frames gives it
        return Part("map", values, None, title=title, positions=spatial.positions[1:])
    form: Form = "volume" if values.ndim == 4 else "map"
    return Part(form, values, pictures, title=title, positions=spatial.positions)


def _vocabulary(probe: Probe | None) -> Mapping[int, str]:
    vocabulary = None if probe is None else probe.vocabulary
    if vocabulary is None:
        return {}
    pairs = vocabulary.items() if isinstance(vocabulary, Mapping) else enumerate(vocabulary)
    return {int(token): str(word) for token, word in pairs}


def words_of(part: Part, sample: int) -> tuple[list[str], Float]:
    """Return the words of a text (T) and the value of each; positions where the text is not at hand.

    Where a layer has fewer steps than words, each word has the value of the step that it lies in.
    """
    values = np.asarray(part.values[sample], np.float64)
    if part.inputs is None:
        count = part.positions[0] if part.positions else len(values)
        words = [f"[{t}]" for t in range(count)]
    else:
        tokens = np.asarray(part.inputs[sample]).tolist()
        words = [part.words.get(token, str(token)) for token in tokens]
    if len(values) == len(words):
        return words, values
    if len(values) > len(words):  # columns of an embedding
        ends = [math.floor((t + 1) * len(values) / len(words)) for t in range(len(words))]
        sums = [values[begin:end].sum() for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
        return words, np.asarray(sums)
    return words, values[np.arange(len(words)) * len(values) // len(words)]
