"""Where in a picture: what the methods share that read a map off a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import keras

from keras_xai.attribution.method import Method, Rows, Tensor, every_layer, find_layer, path_of
from keras_xai.errors import InvalidInput, listed


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

    def reads(self, at: Rows) -> Sequence[keras.layers.Layer]:
        return [at.spatial_layers[-1] if self.layer is None else find_layer(at.model, self.layer)]

    def values(self, at: Rows) -> list[Tensor]:
        (layer,) = self.reads(at)
        activation = at.activation(layer)
        if len(activation.shape) != 4:
            spatial = listed(path_of(one, at.model) for one in at.spatial_layers)
            raise InvalidInput(
                f"Layer {path_of(layer, at.model)!r} gives {tuple(activation.shape)}: a map needs places, (n, h, w, c). "
                f"These have some: {spatial}."
            )
        first = channels_first(layer, at.model)

        def last(t: Tensor) -> Tensor:
            t = keras.ops.cast(t, "float32")
            return keras.ops.transpose(t, (0, 2, 3, 1)) if first else t

        return [self.map(at, last(activation), last(at.slope(layer)) if self.differentiates else None)]

    def map(self, at: Rows, activation: Tensor, gradient: Tensor) -> Tensor:
        """(n, h, w). The gradient is None for a method that needs none."""
        raise NotImplementedError


def channels_first(layer: keras.layers.Layer, model: keras.Model) -> bool:
    """Whether a layer's output is (n, c, h, w); one that does not say follows the model's first layer that does."""
    for one in (layer, *every_layer(model)):
        if (found := getattr(one, "data_format", None)) is not None:
            return bool(found == "channels_first")
    return False
