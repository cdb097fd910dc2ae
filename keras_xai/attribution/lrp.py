"""Layer-wise relevance propagation."""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.method import Method
from keras_xai.backend.protocol import LrpRules, NoRule, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe


@dataclasses.dataclass(frozen=True)
class Lrp(Method):
    """The score as relevance, which each operation divides among its inputs (Bach et al. 2015, doi 10.1371/journal.pone.0130140;
    for transformers Achtibat et al. 2024, arXiv 2402.05602).

        values = R at the input,   R = score at the output,   R_i = Σ_j (c_ij + γ (c_ij + s_j |c_ij|) / 2) / (d_j + ε s_j) · R_j

    In a layer of weights c_ij = x_i w_ij are the contributions to the sum z_j, s_j is its sign, and d_j the numerators' sum over
    all i and the bias; scales behind the layer, such as those of a batch normalisation, count as part of its weights. The rule is
    the epsilon rule where γ = 0, as in dense layers by default, and the gamma rule where γ > 0, as in convolutions (Montavon et
    al. 2019; for inputs of either sign Andéol et al. 2021). All relevance of an elementwise function (relu, gelu, silu, tanh)
    goes to what it is a function of, that of a maximum to the entry that won; a product (a gate, attention's two) gives either
    factor one half. A softmax has AttnLRP's rule, R_i = x_i (R_i − softmax(x)_i Σ R). Layer, RMS and group normalisation have
    their standard deviation held fixed. All else that is linear divides by what each input puts in.

    It follows the operations rather than the layers, so subclassed and nested models are served. Signed, in score units, counted
    from zero: entries of zero have none. Values sum to the score, less what biases and a softmax absorb. With ε and γ near zero
    and rectifiers alone it is input_x_gradient. Choose it for maps of convolutional networks with less noise than a
    gradient's, and for transformers at the price of one pass.

    Sanity: fails the randomisation test on digits (0.93 after all weights are shuffled): an entry of zero, as a black background
    is, has no relevance whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: a forward and a backward pass; where γ > 0, each such layer twice.

    Args:
        epsilon: ε of dense layers, and of convolutions whose gamma is 0; above 0. A large one takes relevance away from sums
            that nearly cancel.
        gamma: γ of convolutions; not below 0.
        dense_gamma: γ of dense layers; AttnLRP's authors set it for vision transformers.

    Raises:
        InvalidInput: an operation without a rule (recurrence, sorting), by its layer.

    Example:
        >>> a = kx.attribute(model, x, method="lrp", epsilon=1e-3)
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "LRP"

    epsilon: float = 1e-6
    gamma: float = 0.25
    dense_gamma: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epsilon", "gamma", "dense_gamma"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
                raise InvalidInput(f"{name}={value!r}: expected a finite number that is not negative.")
        if self.epsilon == 0:
            raise InvalidInput("epsilon=0: expected a number above 0, which keeps a sum of 0 from dividing; take 1e-9.")

    def passes(self, probe: Probe) -> float:
        return 2.0

    def values(self, batch: Batch) -> Tensors:
        ops = keras.ops
        try:
            rules = LrpRules(float(self.epsilon), float(self.gamma), float(self.dense_gamma))
            multipliers = batch.lrp_multipliers(rules)
        except NoRule as error:
            raise InvalidInput(
                f"LRP has no rule for {error}: take input_x_gradient or integrated_gradients."
            ) from error
        values = []
        for x, multiplier in zip(batch.x, multipliers, strict=True):
            if multiplier is None:
                values.append(ops.zeros(x.shape))
            else:
                values.append(ops.cast(x, "float32") * ops.cast(multiplier, "float32"))
        return values
