"""Grad-CAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.layer_map import LayerMap
from keras_xai.backend.protocol import Tensor


@dataclasses.dataclass(frozen=True)
class GradCam(LayerMap):
    """The positions at which a layer finds evidence for the class (Selvaraju et al. 2017, arXiv 1610.02391).

        values = ReLU( Σ_c  mean_hw(∂ score / ∂ A_c) · A_c )

    A map at the resolution of the layer, (B, h, w) of an image, (B, t) of a series, (B, d, h, w) of a volume; non-negative, in
    units that differ from layer to layer: compare positions, not numbers. Coarse, smooth, and the one that people
    find easiest to read.

    Of a vision transformer the tokens are laid on the grid of its patches; class token and registers are left out. The default
    layer is the last one of which more than one patch leads to the score: with a class token the normalization in front of the
    last attention. Of a text it is a map over tokens.

    Sanity: on 8 × 8 digits its order is no better than chance (deletion -0.08, insertion +0.00 of the score's range), where
    HiResCAM's on the same layer is (`benchmarks/sanity.py`).

    Cost: one forward and one backward pass; once for a transformer one more of each over four rows, to look at its layers.

    Args:
        layer: path or name of a layer with a spatial output (n, h, w, c), (n, t, c) or (n, d, h, w, c); default the last one.
            Nested and subclassed models are looked into ("backbone/top_conv").
        input: name or number of the model's input that feeds the call which the map is of, where the layer is shared by several;
            default the first call, with a warning that says which one that is.
        grid: (rows, columns) of the patches that a transformer's tokens stand for, row by row; default found in the model.
        special_tokens: positions of tokens that are no patch, as (0,) for a class token in front; default those that do not
            change with the image before they are mixed.

    Raises:
        InvalidInput: no such layer (with close matches), one whose output has no spatial axes, or that `input` does not feed.

    Example:
        >>> a = kx.attribute(model, images, method="grad_cam", layer="conv2")
        >>> a.values.shape
        (16, 8, 8)
    """

    title: ClassVar[str] = "Grad-CAM"

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        return keras.ops.relu(averaged(activation, gradient))


@dataclasses.dataclass(frozen=True)
class Unrectified(GradCam):
    """The map before the ReLU, which tells evidence against the class from none at all."""

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        return averaged(activation, gradient)


def averaged(activation: Tensor, gradient: Tensor) -> Tensor:
    """(n, p) the channels (n, p, c), each weighted by its mean gradient."""
    return keras.ops.einsum("npc,nc->np", activation, keras.ops.mean(gradient, axis=1))
