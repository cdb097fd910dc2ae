"""Score-CAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import image_axes
from keras_xai.attribution.layer_map import LayerMap
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class ScoreCam(LayerMap):
    """Grad-CAM without gradients: a channel counts by the score seen through it (Wang et al. 2020, arXiv 1910.01279).

        values = ReLU( Σ_c w_c · A_c ),   w = softmax_c( score(x₀ + M_c · (x − x₀)) ),   M_c = A_c scaled to [0, 1]

    A (B, h, w) map at the layer's resolution, non-negative. x₀ is the baseline, in the paper a black image; M_c is made as
    large as the image, bilinearly. Prefer it where gradients are saturated or noise, and the passes can be paid for.

    Sanity: fails the randomisation test on digits (0.62 after all weights are shuffled): one weight a
    channel, and none below zero, shows where there is activation (`benchmarks/sanity.py`).

    Cost: one forward pass a channel, and one more.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), one whose output has no spatial axes, an input that is no image.

    Example:
        >>> a = kx.attribute(model, images, method="score_cam")
        >>> a.values.shape
        (16, 8, 8)
    """

    title: ClassVar[str] = "Score-CAM"
    needs_gradient: ClassVar[bool] = False

    def values(self, batch: Batch) -> Tensors:
        ops = keras.ops
        output = self.activation(batch)
        activation = output.output
        low = ops.min(activation, axis=(1, 2), keepdims=True)
        span = ops.max(activation, axis=(1, 2), keepdims=True) - low
        scaled = ops.where(span > 0, (activation - low) / ops.where(span > 0, span, 1.0), 0.0)
        scaled = ops.transpose(scaled, (3, 0, 1, 2))  # (c, n, h, w)
        # What is no image (a table beside it), or an image that does not feed the layer, is kept whole.
        fed_by = batch.inputs_behind(output)
        masked_axes = [axes if k in fed_by else None for k, axes in enumerate(spatial_axes(batch))]

        def through(channels: Tensor) -> Tensors:
            channel = ops.take(scaled, channels, axis=0)  # (per, n, h, w)
            masks = []
            for x, axes in zip(batch.model_inputs, masked_axes, strict=True):
                masks.append(ops.ones((1, *[1] * len(x.shape))) if axes is None else _enlarged(channel, x, axes))
            return apply_mask(batch, masks)

        scores = score_variants(batch, activation.shape[-1], through)
        weight = ops.softmax(scores, axis=1)[:, None, None]
        return [ops.relu(ops.sum(weight * activation, axis=-1))]


def _enlarged(channel: Tensor, x: Tensor, axes: tuple[int, int]) -> Tensor:
    """Channels (per, n, h, w) as large as images x, bilinearly: (per, n, H, W, C) or (per, n, 1, H, W)."""
    ops = keras.ops
    size = tuple(x.shape[a] for a in axes)
    # As many channels as the image has, where they come last: repeated before they are large, and multiplied as is.
    sample = tuple(x.shape[1:]) if axes == (1, 2) else (1, *size)
    repeated = ops.tile(
        ops.reshape(channel, (-1, *channel.shape[2:], 1)), (1, 1, 1, sample[-1] if axes == (1, 2) else 1)
    )
    large = ops.image.resize(repeated, size, interpolation="bilinear", data_format="channels_last")
    return ops.reshape(large, (*channel.shape[:2], *sample))


def spatial_axes(batch: Batch) -> list[tuple[int, int] | None]:
    """The two spatial axes of each input that is an image (n, h, w, c) or (n, c, h, w).

    Raises:
        InvalidInput: none is.
    """
    axes = [image_axes(tuple(x.shape)) for x in batch.model_inputs]
    if not any(axes):
        shapes = ", ".join(str(tuple(x.shape)) for x in batch.model_inputs)
        raise InvalidInput(f"Score-CAM covers parts of an image, a spatial input (n, h, w, c); x has {shapes}.")
    return axes
