"""Score-CAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import image_axes
from keras_xai.attribution.layer_map import LayerMap
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe

USUAL_CHANNELS = 64  # of a layer, where passes are counted before it is known


@dataclasses.dataclass(frozen=True)
class ScoreCam(LayerMap):
    """Grad-CAM without gradients: a channel counts by the score seen through it (Wang et al. 2020, arXiv 1910.01279).

        values = ReLU( Σ_c w_c · A_c ),   w = softmax_c( score(x₀ + M_c · (x − x₀)) ),   M_c = A_c scaled to [0, 1]

    A map at the layer's resolution, see `GradCam`, non-negative. x₀ is the baseline, in the paper a black image; M_c is made as
    large as the sample, linearly along each axis. Prefer it where gradients are saturated or noise, and the passes can
    be paid for.

    Sanity: fails the randomisation test on digits (0.62 after all weights are shuffled): one weight a
    channel, and none below zero, shows where there is activation (`benchmarks/sanity.py`).

    Cost: one forward pass a channel, and one more.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), one whose output has no spatial axes, no input on which the map lies.

    Example:
        >>> a = kx.attribute(model, images, method="score_cam")
        >>> a.values.shape
        (16, 8, 8)
    """

    title: ClassVar[str] = "Score-CAM"
    needs_gradient: ClassVar[bool] = False

    def passes(self, probe: Probe) -> float:
        return USUAL_CHANNELS / 3

    def values(self, batch: Batch) -> Tensors:
        ops = keras.ops
        output = self.activation(batch)
        activation = output.output
        rank = len(activation.shape)
        places = tuple(range(1, rank - 1))
        low = ops.min(activation, axis=places, keepdims=True)
        span = ops.max(activation, axis=places, keepdims=True) - low
        scaled = ops.where(span > 0, (activation - low) / ops.where(span > 0, span, 1.0), 0.0)
        scaled = ops.transpose(scaled, (rank - 1, *range(rank - 1)))  # (c, n, places)
        # What has other places (a table beside it), or an image that does not feed the layer, is kept whole.
        fed_by = batch.inputs_behind(output)
        masked_axes = [axes if k in fed_by else None for k, axes in enumerate(spatial_axes(batch, len(places)))]

        def through(channels: Tensor) -> Tensors:
            channel = ops.take(scaled, channels, axis=0)  # (per, n, places)
            masks = []
            for x, axes in zip(batch.model_inputs, masked_axes, strict=True):
                masks.append(ops.ones((1, *[1] * len(x.shape))) if axes is None else _enlarged(channel, x, axes))
            return apply_mask(batch, masks)

        scores = score_variants(batch, activation.shape[-1], through)
        weight = ops.reshape(ops.softmax(scores, axis=1), (batch.size, *[1] * len(places), -1))
        return [ops.relu(ops.sum(weight * activation, axis=-1))]


def _enlarged(channel: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Channels (per, n, places) as large as the samples x, linearly along each axis: (per, n, *sample), 1 for their channels."""
    ops = keras.ops
    sample = tuple(x.shape[1:])
    # As many channels as the sample has, where they come last: repeated before they are large, and multiplied as is.
    repeats = sample[-1] if len(sample) not in axes else 1
    large = ops.tile(channel[..., None], (*[1] * len(channel.shape), repeats))
    for axis, a in enumerate(axes, 2):
        weights = get_backend().constant(linear_weights(large.shape[axis], sample[a - 1]))
        large = ops.moveaxis(ops.tensordot(large, weights, axes=[[axis], [1]]), -1, axis)
    # (per, n, places, repeats) -> as the sample has its axes.
    sides = [sample[a - 1] for a in axes]
    if len(sample) == len(sides):
        shape: list[int] = sides
    elif len(sample) in axes:
        shape = [1, *sides]
    else:
        shape = [*sides, repeats]
    return ops.reshape(large, (*channel.shape[:2], *shape))


def linear_weights(small: int, large: int) -> NDArray[np.float32]:
    """(large, small) the weights by which `small` values along an axis give `large`, linearly, the outermost ones going on.

    As `keras.ops.image.resize` has it, whose rows and columns are one such product each.
    """
    centres = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    distance = np.abs(centres[:, None] - np.arange(small))
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def spatial_axes(batch: Batch, places: int) -> list[tuple[int, ...] | None]:
    """The axes of each input along which the places of a map lie: of (n, places, c), (n, places), or of an image (n, c, h, w).

    Args:
        batch: for its inputs.
        places: the number of axes of the map.

    Raises:
        InvalidInput: no input has so many.
    """
    axes = [_axes_of_places(tuple(x.shape), places) for x in batch.model_inputs]
    if not any(axes):
        shapes = ", ".join(str(tuple(x.shape)) for x in batch.model_inputs)
        raise InvalidInput(
            f"Score-CAM covers parts of an image, a series or a volume: the layer's map has {places} axes of places, which lie "
            f"on no input; x has {shapes}."
        )
    return axes


def _axes_of_places(shape: tuple[int, ...], places: int) -> tuple[int, ...] | None:
    if places == 2 and len(shape) == 4:
        return image_axes(shape)
    return tuple(range(1, places + 1)) if len(shape) in (places + 1, places + 2) else None
