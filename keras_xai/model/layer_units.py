"""The units of a layer as the scores of a model."""

from __future__ import annotations

from typing import Any

import keras

from keras_xai.backend.layer_calls import replaced_outputs
from keras_xai.backend.protocol import Tensor
from keras_xai.errors import InvalidInput
from keras_xai.model.layers import find_layer, is_channels_first, layer_path
from keras_xai.outputs.layer import LayerUnits


def unit_scores(model: keras.Model, x: Any, units: LayerUnits) -> Tensor:
    """(n, 1) the activation of a layer's unit, or (n, units) of all, for inputs as the model takes them.

    Raises:
        InvalidInput: no such layer, with close matches; it is not called, or gives no rows of floats; no such unit.
    """
    ops, layer = keras.ops, find_layer(model, units.path)
    outputs: list[Any] = []

    def note(_: keras.layers.Layer, output: Any) -> Any:
        outputs.append(output)
        return output

    with replaced_outputs([layer], note):
        model(x, training=False)
    path = layer_path(layer, model)
    output: Any = outputs[0] if outputs else None
    if not ops.is_tensor(output) or len(output.shape) < 2:
        gives = "is not called" if output is None else f"gives {getattr(output, 'shape', type(output).__name__)}"
        raise InvalidInput(f"Layer {path!r} {gives}: the units of an output (n, ..., units) can be explained.")
    output = ops.cast(output, "float32")
    rank = len(output.shape)
    if rank > 2 and is_channels_first(layer, model, rank):
        output = ops.transpose(output, (0, *range(2, rank), 1))
    sides = tuple(output.shape[1:])
    if units.unit is not None and len(units.unit) not in (1, len(sides)):
        raise InvalidInput(
            f"unit={units.unit}: layer {path!r} has {sides} for a sample; give a unit, or its place and it."
        )
    numbers = units.unit or ()
    for number, side in zip(numbers, sides[-len(numbers) :] if numbers else (), strict=True):
        if side is not None and number >= side:
            raise InvalidInput(f"unit={units.unit}: layer {path!r} has {sides} for a sample, counted from 0.")
    if len(numbers) == len(sides) and len(sides) > 1:
        return ops.reshape(output[(slice(None), *numbers)], (-1, 1))
    # A mean, of one place too: what stands behind it is an activation, and no link from a logit.
    by_unit = ops.mean(output, axis=tuple(range(1, rank - 1))) if rank > 2 else output * 1.0
    return by_unit if not numbers else by_unit[:, numbers[0] : numbers[0] + 1]
