"""LRP's rules: relevance over value, handed back by each operation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_xai.backend.protocol import LrpRules
from keras_xai.backend.scales import roots_of_squares
from keras_xai.backend.softmaxes import Softmax, softmaxes
from keras_xai.backend.tape import Key, Step, Tape, path_of
from keras_xai.backend.walk import Walk
from keras_xai.backend.weighted_sums import WeightedSum, weighted_sums


class LrpWalk(Walk):
    """A walk by LRP's rules: as DeepLIFT's, with all counted from zero instead of from a baseline.

    Args:
        tape: the operations behind the scores.
        rules: the options.
    """

    def __init__(self, tape: Tape, rules: LrpRules) -> None:
        stops = {step for step in tape.steps if step.kind in tape.kinds.stops}
        super().__init__(tape, path_of(tape, stops | roots_of_squares(tape, path_of(tape))))
        self._rules = rules
        self._softmaxes = {softmax.quotient: softmax for softmax in softmaxes(tape, self.path)}
        sums = weighted_sums(tape, self.path)
        self._sums = {(entry.following[-1][0] if entry.following else entry.product): entry for entry in sums}

    def back(self, step: Step) -> None:
        if step in self._sums:
            self._through_weights(self._sums[step])
        else:
            super().back(step)

    def through_activation(self, y: Key, z: Key, between: list[Step]) -> None:
        """All relevance goes to z."""
        values, sources = _wide(self.tape.value(y)), _wide(self.tape.value(z))
        self.add(z, _divided(_wide(self.multiplier(y)) * values, sources))

    def through_maximum(self, step: Step, source: int) -> None:
        """All relevance goes to the entry that won."""
        self.back_by_gradient(step, [source])

    def through_other(self, step: Step, sources: list[int]) -> bool:
        """A product's relevance goes to both factors in halves; that of a softmax as AttnLRP's equation 13 says, which is the
        gradient here; that of the larger of two to the larger."""
        kinds = self.tape.kinds
        if step.kind in kinds.bilinear and len(sources) == 2:
            self.back_by_gradient(step, sources, 0.5)
        elif step.kind in kinds.between_two or (step.kind in kinds.softmax and sources == [0]):
            self.back_by_gradient(step, sources)
        elif step in self._softmaxes:
            self._through_softmax(self._softmaxes[step])
        else:
            return False
        return True

    def _through_softmax(self, softmax: Softmax) -> None:
        """The same for one of several operations: their gradients, one after the other."""
        above = self.multiplier(softmax.quotient.outputs[0])
        of_power, of_total = self.tape.pullback(softmax.quotient, [0, 1], {0: above})
        for step in reversed(softmax.total):
            (of_total,) = self.tape.pullback(step, [0], {0: of_total})
        (multiplier,) = self.tape.pullback(softmax.power, [0], {0: of_power + of_total})
        self.add(softmax.power.inputs[0], multiplier)

    def _through_weights(self, weighted: WeightedSum) -> None:
        """To each weighted entry by its contribution c to the sum z, of which gamma favours those of z's own sign:
        c + γ (c + sign(z) |c|) / 2, over the same of all contributions and the bias."""
        tape, x = self.tape, weighted.product.inputs[weighted.source]
        gamma, stabilizer = self._rules.of(weighted.is_convolution)
        sums = _wide(tape.value(weighted.result))
        sign = ops.where(sums >= 0, 1.0, -1.0)
        relevance = _wide(self.multiplier(weighted.result)) * sums
        if gamma == 0:
            shares = relevance / (sums + stabilizer * sign)
            self.add(x, weighted.at_weighted(weighted.at_product(shares)))
            return
        product = tape.value(weighted.product.outputs[0])
        scale_sign = ops.sign(weighted.at_product(ops.ones_like(sums)))
        bias = _wide(weighted.followed(ops.zeros_like(product)))
        magnitudes = ops.cast(weighted.of_magnitudes(), product.dtype)
        contributions = _wide(weighted.followed(ops.cast(scale_sign, product.dtype) * magnitudes)) - bias
        favoured = contributions + ops.abs(bias)
        denominator = (1 + gamma / 2) * sums + gamma / 2 * sign * favoured
        shares = relevance / (denominator + stabilizer * sign)
        of_all = weighted.at_weighted(weighted.at_product((1 + gamma / 2) * shares))
        of_favoured = _wide(weighted.at_product(gamma / 2 * sign * shares)) * _wide(scale_sign)
        self.add(x, _wide(of_all) + ops.sign(_wide(tape.value(x))) * _wide(weighted.at_magnitudes(of_favoured)))


def _wide(tensor: Any) -> Any:
    """A tensor in single precision at least: relevance over a small value is large."""
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else ops.cast(tensor, "float32")


def _divided(value: Any, by: Any) -> Any:
    """The quotient; 0 where the divisor is 0."""
    is_zero = by == 0
    return ops.where(is_zero, 0.0, value / ops.where(is_zero, 1.0, by))
