"""Score-CAM."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.features import picture_axes
from keras_xai.attribution.layer_map import LayerMap
from keras_xai.attribution.method import Rows, Tensor
from keras_xai.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class ScoreCam(LayerMap):
    """Grad-CAM without gradients: a channel counts by the score seen through it (Wang et al. 2020, arXiv 1910.01279).

        values = ReLU( Σ_c w_c · A_c ),   w = softmax_c( score(x₀ + M_c · (x − x₀)) ),   M_c = A_c scaled to [0, 1]

    A (B, h, w) map at the layer's resolution, non-negative. x₀ is the baseline, in the paper a black picture; M_c is made as
    large as the picture, bilinearly. Prefer it where gradients are saturated or noise, and the passes can be paid for.

    Sanity: fails the randomisation test on digits (0.62 after all weights are shuffled): one weight a
    channel, and none below zero, shows where there is activation (`benchmarks/sanity.py`).

    Cost: one forward pass a channel, and one more.

    Args:
        layer, input: see `GradCam`.

    Raises:
        InvalidInput: no such layer (with close matches), one whose output has no places, an input that is no picture.

    Example:
        >>> a = kx.attribute(model, images, method="score_cam")
        >>> a.values.shape
        (16, 8, 8)
    """

    differentiates: ClassVar[bool] = False

    def map(self, at: Rows, activation: Tensor, gradient: Tensor) -> Tensor:
        ops = keras.ops
        low = ops.min(activation, axis=(1, 2), keepdims=True)
        span = ops.max(activation, axis=(1, 2), keepdims=True) - low
        shown = ops.where(span > 0, (activation - low) / ops.where(span > 0, span, 1.0), 0.0)
        # What is no picture (a table beside it), or a picture that does not feed the layer, is kept whole.
        fed = at.inputs_of(activation)
        places = [axes if k in fed else None for k, axes in enumerate(picture_places(at))]
        shown = ops.transpose(shown, (3, 0, 1, 2))  # (c, n, h, w)

        def through(channels: Tensor) -> list[Tensor]:
            m = ops.take(shown, channels, axis=0)  # (per, n, h, w)
            flat = ops.reshape(m, (-1, *m.shape[2:], 1))
            masks = []
            for x, axes in zip(at.given, places, strict=True):
                if axes is None:
                    masks.append(ops.ones((1, *[1] * len(x.shape))))
                    continue
                size = tuple(x.shape[a] for a in axes)
                # As many channels as the picture has, where they come last: repeated before they are large, and multiplied as is.
                sample = tuple(x.shape[1:]) if axes == (1, 2) else (1, *size)
                alike = ops.tile(flat, (1, 1, 1, sample[-1] if axes == (1, 2) else 1))
                large = ops.image.resize(alike, size, interpolation="bilinear", data_format="channels_last")
                masks.append(ops.reshape(large, (*m.shape[:2], *sample)))
            return at.kept(masks)

        scores = at.tried(activation.shape[-1], through)
        weight = ops.softmax(scores, axis=1)[:, None, None]
        return ops.relu(ops.sum(weight * activation, axis=-1))


def picture_places(at: Rows) -> list[tuple[int, int] | None]:
    """The two axes of places of each input that is a picture (n, h, w, c) or (n, c, h, w).

    Raises:
        InvalidInput: none is.
    """
    found = [picture_axes(tuple(x.shape)) for x in at.given]
    if not any(found):
        shapes = ", ".join(str(tuple(x.shape)) for x in at.given)
        raise InvalidInput(f"Score-CAM covers parts of a picture, a spatial input (n, h, w, c); x has {shapes}.")
    return found
