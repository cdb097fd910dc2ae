"""LayerCAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.layer_map import LayerMap
from keras_xai.backend.protocol import Tensor


@dataclasses.dataclass(frozen=True)
class LayerCam(LayerMap):
    """A map from any layer, early ones included (Jiang et al. 2021; surveyed in arXiv 2309.14304).

        values = ReLU( Σ_c  ReLU(∂ score / ∂ A_c) · A_c )

    A map at the layer's resolution, see `GradCam`, non-negative. Each position has its own weight, so maps of early layers stay
    clean and fine where those of Grad-CAM are noise. Prefer it for a layer other than the last.

    Cost: one forward and one backward pass.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), or one whose output has no spatial axes.

    Example:
        >>> a = kx.attribute(model, images, method="layer_cam", layer="conv1")
        >>> a.values.shape
        (16, 16, 16)
    """

    title: ClassVar[str] = "LayerCAM"

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        ops = keras.ops
        return ops.relu(ops.sum(ops.relu(gradient) * activation, axis=-1))
