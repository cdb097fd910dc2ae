"""HiResCAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.layer_map import LayerMap
from keras_xai.backend.protocol import Tensor


@dataclasses.dataclass(frozen=True)
class HiResCam(LayerMap):
    """A layer's activation times its gradient, position by position (Draelos and Carin 2020, arXiv 2011.08891).

        values = Σ_c  ∂ score / ∂ A_c · A_c

    A map at the layer's resolution, see `GradCam`, signed, in score units: evidence for and against. Nothing is averaged over
    positions, so one lights up only if the model used it. Behind the last convolution of a network that ends in one
    dense layer the map sums to the score less its bias. Prefer it to Grad-CAM where the position matters.

    Cost: one forward and one backward pass.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), or one whose output has no spatial axes.

    Example:
        >>> a = kx.attribute(model, images, method="hires_cam")
        >>> a.values.shape
        (16, 8, 8)
    """

    title: ClassVar[str] = "HiResCAM"

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        return keras.ops.sum(gradient * activation, axis=-1)
