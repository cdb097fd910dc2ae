"""LRP's rules: relevance over value, handed back by each operation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_xai.backend.deeplift import divided
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

    def add(self, key: Key, multiplier: Any) -> None:
        # Of one dtype, whichever rule it comes from: a tensor of half precision may have several users.
        super().add(key, _wide(multiplier))

    def back(self, step: Step) -> None:
        if step in self._sums:
            self._through_weights(self._sums[step])
        else:
            super().back(step)

    def through_activation(self, y: Key, z: Key, between: list[Step]) -> None:
        """All relevance goes to z, or to what z is but for a number, as in relu6(x + 3) / 6: that belongs to the function."""
        while (unmoved := self._unmoved(z)) is not None:
            z = unmoved
        values, sources = _wide(self.tape.value(y)), _wide(self.tape.value(z))
        self.add(z, divided(_wide(self.multiplier(y)) * values, sources))

    def _unmoved(self, key: Key) -> Key | None:
        """The tensor that, with a single number added, is this one; None where there is none."""
        tape, step = self.tape, self._makers.get(key)
        if step is None or step.kind not in tape.kinds.additions or len(self.path.sources(step)) != 1:
            return None
        source = self.path.sources(step)[0]
        others = [tape.shape(other) for k, other in enumerate(step.inputs) if k != source]
        is_alone = all(shape == () for shape in others) and tape.shape(step.inputs[source]) == tape.shape(key)
        return step.inputs[source] if is_alone else None

    def through_maximum(self, step: Step, source: int) -> None:
        """All relevance goes to the entry that won."""
        self.back_by_gradient(step, [source])

    def through_other(self, step: Step, sources: list[int]) -> bool:
        """A product's relevance goes to both factors in halves; that of a softmax as AttnLRP's equation 13 says, which is the
        gradient here, as of its logarithm; that of the larger of two to the larger."""
        kinds = self.tape.kinds
        if step.kind in kinds.bilinear and len(sources) == 2:
            self.back_by_gradient(step, sources, 0.5)
        elif step.kind in kinds.between_two or (step.kind in kinds.softmax | kinds.log_softmax and sources == [0]):
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
        magnitude = ops.abs(sums)
        relevance = _wide(self.multiplier(weighted.result)) * magnitude  # with the sign of z in it
        if gamma == 0:
            self.add(x, weighted.at_weighted(weighted.at_product(relevance / (magnitude + stabilizer))))
            return
        scale_sign, total = self._total_magnitude(weighted)
        shares = relevance / ((1 + gamma / 2) * magnitude + gamma / 2 * total + stabilizer)
        of_all = weighted.at_weighted(weighted.at_product(shares))
        of_favoured = weighted.at_product(ops.where(sums >= 0, shares, -shares))
        if scale_sign is not None:
            of_favoured = _wide(of_favoured) * scale_sign
        of_favoured = ops.sign(_wide(tape.value(x))) * _wide(weighted.at_magnitudes(of_favoured))
        self.add(x, (1 + gamma / 2) * _wide(of_all) + gamma / 2 * of_favoured)

    def _total_magnitude(self, weighted: WeightedSum) -> tuple[Any, Any]:
        """The sign of what scales the sums, None where nothing does, and Σ |c| with the bias' magnitude."""
        product = self.tape.value(weighted.product.outputs[0])
        magnitudes = weighted.of_magnitudes()
        if weighted.has_bias_alone:
            return None, _wide(weighted.followed(magnitudes, by_magnitudes=True))
        scale_sign = ops.sign(_wide(weighted.at_product(ops.ones_like(self.tape.value(weighted.result)))))
        bias = _wide(weighted.followed(ops.zeros_like(product)))
        scaled = ops.cast(scale_sign * _wide(magnitudes), product.dtype)
        return scale_sign, _wide(weighted.followed(scaled)) - bias + ops.abs(bias)


def _wide(tensor: Any) -> Any:
    """A tensor in single precision at least: relevance over a small value is large."""
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else ops.cast(tensor, "float32")
