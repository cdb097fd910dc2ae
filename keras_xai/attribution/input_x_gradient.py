"""Gradient times input."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.method import Method
from keras_xai.backend.protocol import Tensors


@dataclasses.dataclass(frozen=True)
class InputXGradient(Method):
    """The input times the gradient at it (Shrikumar et al. 2016, arXiv 1605.01713).

        values = x · ∂ score / ∂ x

    A first-order account of the score in score units, signed. Exact for a linear model without bias; blind to whatever is
    zero in the sample. Choose it to see what a sample's present content does, batch the price of one gradient.

    Sanity: fails the randomisation test on digits (0.92 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: one forward and one backward pass, shared with saliency.

    Example:
        >>> a = kx.attribute(model, x, method="input_x_gradient")
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Input × gradient"

    def values(self, batch: Batch) -> Tensors:
        # What is no float has a gradient of zero, strings among them.
        values = []
        for x, gradient in zip(batch.x, batch.gradient, strict=True):
            is_float = keras.backend.is_float_dtype(x.dtype)
            values.append(keras.ops.cast(x, gradient.dtype) * gradient if is_float else gradient)
        return values
