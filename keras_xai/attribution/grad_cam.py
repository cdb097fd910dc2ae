"""Grad-CAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.method import Method, Rows, Tensor, find_layer, path_of
from keras_xai.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class GradCam(Method):
    """Where in the picture a layer finds evidence for the class (Selvaraju et al. 2017, arXiv 1610.02391).

        values = ReLU( Σ_c  mean_hw(∂ score / ∂ A_c) · A_c )

    A (B, h, w) map at the resolution of the layer, non-negative, in units that differ from layer to layer: compare places,
    not numbers. Coarse, smooth, and the one that people find easiest to read.

    Cost: one forward and one backward pass.

    Args:
        layer: path or name of a layer with a spatial output (n, h, w, c); default the last one. Nested and subclassed
            models are looked into ("backbone/top_conv").

    Raises:
        InvalidInput: no such layer (with close matches), or one whose output has no places.

    Example:
        >>> a = kx.attribute(model, images, method="grad_cam", layer="conv2")       # doctest: +SKIP
        >>> a.values.shape                                                          # doctest: +SKIP
        (16, 8, 8)
    """

    on_input: ClassVar[bool] = False

    layer: str | None = None

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)

    def values(self, at: Rows) -> list[Tensor]:
        ops = keras.ops
        layer = at.last_spatial_layer() if self.layer is None else find_layer(at.model, self.layer)
        activation, gradient = at.activation(layer)
        if len(activation.shape) != 4:
            raise InvalidInput(
                f"Layer {path_of(layer, at.model)!r} gives {tuple(activation.shape)}: Grad-CAM needs places, (n, h, w, c)."
            )
        first = getattr(layer, "data_format", None) == "channels_first"
        channel, places = (1, (2, 3)) if first else (3, (1, 2))
        weight = ops.mean(ops.cast(gradient, "float32"), axis=places, keepdims=True)
        return [ops.relu(ops.sum(weight * ops.cast(activation, "float32"), axis=channel))]
