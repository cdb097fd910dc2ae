"""The gradient at the input."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.method import Method
from keras_xai.backend.protocol import Tensors
from keras_xai.records import Quantity


@dataclasses.dataclass(frozen=True)
class Saliency(Method):
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

    Example:
        >>> a = kx.attribute(model, x, method="saliency")
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Saliency"
    quantity: ClassVar[Quantity] = "slope"

    absolute: bool = False

    def values(self, batch: Batch) -> Tensors:
        return [keras.ops.abs(g) for g in batch.gradient] if self.absolute else batch.gradient
