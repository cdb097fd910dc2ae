"""Grad-CAM++."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.layer_map import LayerMap
from keras_xai.backend.protocol import Tensor


@dataclasses.dataclass(frozen=True)
class GradCamPlusPlus(LayerMap):
    """Grad-CAM with a weight for each position: several small objects count as one (Chattopadhay et al. 2018, arXiv 1710.11063).

        values = ReLU( Σ_c w_c · A_c ),   w_c = Σ_hw α_c · ReLU(G_c),   α_c = G_c² / (2 G_c² + G_c³ · Σ_hw A_c)

    with G = ∂ score / ∂ A. The paper differentiates exp(score), which multiplies a sample's whole map by one positive
    number that overflows for large logits: it is left out. A map at the layer's resolution, see `GradCam`, non-negative. Prefer
    it to Grad-CAM where the class appears more than once in an image.

    Sanity: fails the randomisation test on digits (0.77 after all weights are shuffled): one weight a
    channel, and none below zero, shows where there is activation (`benchmarks/sanity.py`).

    Cost: one forward and one backward pass.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), or one whose output has no spatial axes.

    Example:
        >>> a = kx.attribute(model, images, method="grad_cam_plus_plus")
        >>> a.values.shape
        (16, 8, 8)
    """

    title: ClassVar[str] = "Grad-CAM++"

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        ops = keras.ops
        total = ops.sum(activation, axis=1, keepdims=True)
        # G² cancels; where G is 0 the position adds nothing, whatever α is.
        share = ops.divide_no_nan(ops.relu(gradient), 2.0 + gradient * total)
        return ops.relu(ops.einsum("npc,nc->np", activation, ops.sum(share, axis=1)))
