"""The gradient at the input."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.layer_method import LayerMethod
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.records import Quantity


@dataclasses.dataclass(frozen=True)
class Saliency(LayerMethod):
    """The gradient of the explained score with respect to the input (Simonyan et al. 2013, arXiv 1312.6034).

        values = ∂ score / ∂ x

    How much the score moves for a small move of each input: signed, in score units per input unit, so inputs on
    different scales do not compare. It sees what the model *could* react to, also where the input is zero, which makes it
    the method of choice for a watch on shortcuts. Zero on inputs the model does not use. Saturated regions look unused.

    Sanity: passes on digits; on a standardised table its order is worse than chance (deletion -0.08, insertion -0.07 of the
    score's range): a slope does not know on which side of the baseline a sample lies (`benchmarks/sanity.py`).

    Cost: one forward and one backward pass.

    Args:
        absolute: return magnitudes, as the paper plots them.
        layer: path or name of a layer at whose output to attribute, in its shape, instead of at the input.
        input: name or number of the input that feeds the call which the values are of, where the layer is shared.

    Raises:
        InvalidInput: no such layer (with close matches), or one from which nothing leads to the score.

    Example:
        >>> a = kx.attribute(model, x, method="saliency")
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Saliency"
    quantity: ClassVar[Quantity] = "slope"

    absolute: bool = False
    layer: str | None = None
    input: str | int | None = None

    @property
    def differentiates_inputs(self) -> bool:
        return self.layer is None

    def values(self, batch: Batch) -> Tensors:
        gradients = batch.gradient if self.layer is None else [self._at_layer(batch)]
        return [keras.ops.abs(g) for g in gradients] if self.absolute else gradients

    def _at_layer(self, batch: Batch) -> Tensor:
        self.activation(batch)
        gradient = batch.activation_gradient(self.chosen_layer(batch), self.chosen_call(batch))
        return keras.ops.cast(gradient, "float32")
