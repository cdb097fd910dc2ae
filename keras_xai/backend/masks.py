"""The mask that Keras puts on a tensor, which its public interface does not tell."""

from __future__ import annotations

from keras.src.backend.common.masking import get_keras_mask

from keras_xai.backend.protocol import Tensor


def keras_mask(tensor: Tensor) -> Tensor | None:
    """Return the mask (n, T) of a layer's output, None without one."""
    return get_keras_mask(tensor)
