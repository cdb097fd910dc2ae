"""Where in a picture: what the methods share that read a map off a layer."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.method import Method, Rows, Tensor, every_layer, find_layer, path_of
from keras_xai.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class LayerMap(Method):
    """A (B, h, w) map from a layer's activation A and the score's gradient G with respect to it, both (n, h, w, c).

    A method of this family says one thing: how A and G make a map.
    """

    on_input: ClassVar[bool] = False

    layer: str | None = None

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)

    def values(self, at: Rows) -> list[Tensor]:
        return [self.map(at, *self.located(at))]

    def map(self, at: Rows, activation: Tensor, gradient: Tensor) -> Tensor:
        """(n, h, w)."""
        raise NotImplementedError

    def located(self, at: Rows) -> tuple[Tensor, Tensor]:
        """A and G of the layer, channels last, float32.

        Raises:
            InvalidInput: its output has no places.
        """
        layer = at.last_spatial_layer if self.layer is None else find_layer(at.model, self.layer)
        activation, gradient = at.activation(layer)
        if len(activation.shape) != 4:
            raise InvalidInput(
                f"Layer {path_of(layer, at.model)!r} gives {tuple(activation.shape)}: a map needs places, (n, h, w, c)."
            )
        pair = (keras.ops.cast(t, "float32") for t in (activation, gradient))
        a, g = (keras.ops.transpose(t, (0, 2, 3, 1)) for t in pair) if channels_first(layer, at.model) else pair
        return a, g


def channels_first(layer: keras.layers.Layer, model: keras.Model) -> bool:
    """Whether a layer's output is (n, c, h, w); one that does not say follows the model's first layer that does."""
    for one in (layer, *every_layer(model)):
        if (found := getattr(one, "data_format", None)) is not None:
            return bool(found == "channels_first")
    return False
