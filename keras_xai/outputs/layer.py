"""`layer`: a unit of a layer inside the model, in the place of the model's output."""

from __future__ import annotations

from collections.abc import Sequence

from keras_xai.errors import InvalidInput, check_int
from keras_xai.outputs.spec import OutputSpec


class LayerUnits(OutputSpec):
    """The units of a layer as what is explained, see `layer`.

    Attributes:
        path: of the layer, or its name.
        unit: its number, or with the place in front of it; None for all units, of which a target is one.
    """

    def __init__(self, path: str, unit: tuple[int, ...] | None) -> None:
        self.output = None
        self.path, self.unit = path, unit

    def __str__(self) -> str:
        if self.unit is None:
            return f"layer({self.path!r})"
        return f"layer({self.path!r}, unit={self.unit[0] if len(self.unit) == 1 else self.unit})"


def layer(path: str, unit: int | Sequence[int] | None = None) -> LayerUnits:
    """Explain a unit of a layer: what makes this neuron, or this channel, say what it says.

    The score is the activation of the unit at the layer's first call: of a dense layer (B, units) its value, of a layer with
    places (B, ..., units) its mean over all places, or with a place its value there. It is a number and no logit.

    Args:
        path: path or name of the layer; nested and subclassed models are looked into ("backbone/top_conv").
        unit: its number, or (place ..., number), as (2, 3, 7) for channel 7 of an image's layer at row 2 and column 3.
            Default all units, of which `target=` chooses one.

    Returns:
        What `output=` of `kx.attribute`, `kx.Probe` and the callbacks takes.

    Raises:
        InvalidInput: a unit that is no number. When a model is explained: no such layer, with close matches; no such unit.

    Example:
        >>> import keras, keras_xai as kx, numpy as np
        >>> parts = [keras.layers.Dense(2, name="hidden", use_bias=False), keras.layers.Dense(1)]
        >>> model = keras.Sequential([keras.Input((3,)), *parts])
        >>> model.layers[0].set_weights([np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 5.0]], "float32")])
        >>> x = np.ones((1, 3), "float32")
        >>> kx.attribute(model, x, "saliency", output=kx.outputs.layer("hidden", unit=0)).values.tolist()
        [[1.0, 2.0, 0.0]]
    """
    if not isinstance(path, str) or not path:
        raise InvalidInput(f"layer={path!r}: expected the path or the name of a layer.")
    if unit is None:
        return LayerUnits(path, None)
    numbers = tuple(unit) if isinstance(unit, Sequence) and not isinstance(unit, str) else (unit,)
    expected = "the number of a unit, or (place ..., number)"
    return LayerUnits(path, tuple(check_int("unit", number, 0, expected=expected) for number in numbers))
