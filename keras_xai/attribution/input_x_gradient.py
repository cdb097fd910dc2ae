"""Gradient times input."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.layer_method import LayerMethod
from keras_xai.backend.protocol import Tensors


@dataclasses.dataclass(frozen=True)
class InputXGradient(LayerMethod):
    """The input times the gradient at it (Shrikumar et al. 2016, arXiv 1605.01713).

        values = x · ∂ score / ∂ x

    A first-order account of the score in score units, signed. Exact for a linear model without bias; blind to whatever is
    zero in the sample. Choose it to see what a sample's present content does, batch the price of one gradient.

    Sanity: fails the randomisation test on digits (0.92 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: one forward and one backward pass, shared with saliency.

    Args:
        layer: path or name of a layer at whose output to attribute, in its shape, instead of at the input.
        input: name or number of the input that feeds the call which the values are of, where the layer is shared.

    Raises:
        InvalidInput: no such layer (with close matches), or one from which nothing leads to the score.

    Example:
        >>> a = kx.attribute(model, x, method="input_x_gradient")
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Input × gradient"

    layer: str | None = None
    input: str | int | None = None

    @property
    def differentiates_inputs(self) -> bool:
        return self.layer is None

    def values(self, batch: Batch) -> Tensors:
        if self.layer is not None:
            activation = keras.ops.cast(self.activation(batch).output, "float32")
            gradient = batch.activation_gradient(self.chosen_layer(batch), self.chosen_call(batch))
            return [activation * keras.ops.cast(gradient, "float32")]
        # What is no float has a gradient of zero, strings among them.
        values = []
        for x, gradient in zip(batch.x, batch.gradient, strict=True):
            is_float = keras.backend.is_float_dtype(x.dtype)
            values.append(keras.ops.cast(x, gradient.dtype) * gradient if is_float else gradient)
        return values
