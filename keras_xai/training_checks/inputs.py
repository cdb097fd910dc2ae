"""The rule on the scale of the inputs: images in 0 to 255, columns that differ by orders of magnitude."""

from __future__ import annotations

import keras
import numpy as np

from keras_xai.model.layers import iter_layers
from keras_xai.probe import Probe
from keras_xai.spatial import SPATIAL_KINDS
from keras_xai.training_checks.columns import columns_of
from keras_xai.training_checks.finding import Finding
from keras_xai.training_checks.thresholds import Thresholds

# Layers that bring their input to a common scale; in front of the first weights of a model they make the rule superfluous.
_SCALING = (
    keras.layers.BatchNormalization,
    keras.layers.Discretization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.UnitNormalization,
)
_ADVICE = "scale the inputs, or put keras.layers.{layer} first in the model"


def unscaled_input(
    rows: Probe, model: keras.Model, thresholds: Thresholds, like: Probe | None = None
) -> Finding | None:
    """Judge whether the inputs are far from the scale that initial weights are made for, and the model leaves them there.

    Args:
        rows: that the model is trained on, or the probe.
        model: built or not.
        thresholds: of all rules.
        like: a probe of the same columns, whose names they have; by default the rows themselves.
    """
    if rows.kind not in (*SPATIAL_KINDS, "series", "table"):
        return None  # tokens have no scale
    scaling = _scaling_layer(model)
    if scaling is not None:
        return None
    return _of_columns(rows, thresholds, like) if rows.kind == "table" else _of_values(rows, thresholds)


def _scaling_layer(model: keras.Model) -> keras.layers.Layer | None:
    """Return the layer that scales the inputs before the first weights; None where there is none."""
    for layer in iter_layers(model):
        if isinstance(layer, _SCALING):
            return layer
        if getattr(layer, "kernel", None) is not None or isinstance(layer, (keras.layers.Dense, keras.layers.RNN)):
            return None
    return None


def _of_values(rows: Probe, thresholds: Thresholds) -> Finding | None:
    limit = thresholds["unscaled input"]
    for name, array in zip(rows.keys or [rows.kind] * len(rows.inputs), rows.inputs, strict=True):
        if array.dtype.kind not in "iuf":
            continue
        values = np.asarray(array, np.float32)
        low, high = float(values.min()), float(values.max())
        scale = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
        if scale > limit:
            return Finding(
                "unscaled input",
                str(name),
                scale,
                limit,
                f"values lie between {low:.4g} and {high:.4g}, root mean square {scale:.4g}",
                _ADVICE.format(layer="Rescaling(1 / 255)" if 0 <= low <= high <= 255 else "Normalization"),
            )
    return None


def _of_columns(rows: Probe, thresholds: Thresholds, like: Probe | None) -> Finding | None:
    # Categories and whole numbers that a lookup takes have no scale.
    columns = [column for column in columns_of(rows, like) if not column.is_category]
    scales = [float(np.sqrt(np.mean(np.square(column.values)))) for column in columns]
    if not columns:
        return None
    largest = int(np.argmax(scales))
    name, scale = columns[largest].name, scales[largest]
    advice = _ADVICE.format(layer="Normalization")
    if scale > thresholds["unscaled column"]:
        others = sum(other > thresholds["unscaled column"] for other in scales) - 1
        more = f", and {others} other column{_plural(others)}" if others else ""
        sentence = f"{name} has the root mean square {scale:.4g}{more}"
        return Finding("unscaled input", name, scale, thresholds["unscaled column"], sentence, advice)
    used = [other for other in scales if other > 0]
    ratio = scale / min(used) if used else 1.0
    if ratio > thresholds["column ratio"]:
        smallest = columns[scales.index(min(used))].name
        sentence = (
            f"{name} is {ratio:,.0f} times as large as {smallest} (root mean squares {scale:.4g} and {min(used):.4g})"
        )
        return Finding("unscaled input", name, ratio, thresholds["column ratio"], sentence, advice)
    return None


def _plural(number: int) -> str:
    return "" if number == 1 else "s"
