"""DeepLIFT."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.layer_method import LayerMethod
from keras_xai.backend.protocol import NoRule, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe


@dataclasses.dataclass(frozen=True)
class DeepLift(LayerMethod):
    """The difference from the baseline, handed back through each activation (Shrikumar et al. 2017, arXiv 1704.02685).

        values = (x − x₀) · m,   m backpropagated like a gradient, with (f(z) − f(z₀)) / (z − z₀) in place of f′(z)

    The Rescale rule, with z and z₀ an activation's input for the sample and for the baseline. It follows the operations
    rather than the layers, so subclassed and nested models are served: everything linear, elementwise activations, also those
    that are written as several operations (gelu, silu, mish, hard_swish), maximum pooling (the change goes to the entry that
    won), and what transformers are made of: a product of two activations (each one's change at the mean of the other, the
    Shapley values of the two, as in DeepSHAP: Chen et al. 2022, doi 10.1038/s41467-022-31384-3), so attention, gates, layer and
    RMS normalisation; a softmax as exp(x − log Σ exp x), whose normaliser takes what keeps the sum. Complete but for rounding,
    signed, in score units. Prefer it to integrated gradients where one pass is all that can be paid for; it depends on how the
    network is written.

    Sanity: fails the randomisation test on digits (0.92 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: a forward and a backward pass over the samples, and a forward pass over their baselines; of one row where all share it
    and the model keeps samples apart.

    Args:
        layer: path or name of a layer at whose output to attribute, in its shape, instead of at the input.
        input: name or number of the input that feeds the call which the values are of, where the layer is shared.

    Raises:
        InvalidInput: no such layer; an operation without a rule (a recurrent loop, sorting), by its layer.

    Example:
        >>> a = kx.attribute(model, x, method="deeplift", baseline=x_train.mean(0))
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "DeepLIFT"
    satisfies_completeness: ClassVar[bool] = True

    layer: str | None = None
    input: str | int | None = None

    def passes(self, probe: Probe) -> float:
        return 2.0

    def values(self, batch: Batch) -> Tensors:
        ops = keras.ops
        try:
            if self.layer is not None:
                self.activation(batch)
                multiplier, change = batch.deeplift_at(self.chosen_layer(batch), self.chosen_call(batch))
                return [multiplier * change]
            multipliers = batch.deeplift_multipliers()
        except NoRule as error:
            raise InvalidInput(f"DeepLIFT has no rule for {error}: take integrated_gradients.") from error
        values = []
        for x, start, multiplier in zip(batch.x, batch.path_start, multipliers, strict=True):
            if multiplier is None:
                values.append(ops.zeros(x.shape))
            else:
                values.append(ops.cast(x - start, "float32") * ops.cast(multiplier, "float32"))
        return values
