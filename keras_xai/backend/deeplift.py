"""DeepLIFT's rules that need no more of a framework than its operations' own gradients."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_xai.backend.softmaxes import Softmax, softmaxes
from keras_xai.backend.tape import Key, Path, Step, Tape
from keras_xai.backend.walk import Walk

_NARROW_CHANGE = 1e-3  # of a logarithm: there a mean is as good as the logarithmic one


class DeepLiftWalk(Walk):
    """A walk by DeepLIFT's rules. Beside multipliers a tensor may have contributions, where a maximum lies above: multipliers
    times the change. A rectifier below takes them as they are, the others divide.

    A subclass fills in `bases` before the walk.

    Args:
        tape: the operations behind the samples' scores.
        path: those that change with the samples.
    """

    def __init__(self, tape: Tape, path: Path) -> None:
        super().__init__(tape, path)
        self.bases: dict[Key, Any] = {}  # of each tensor that changes, that of the baselines
        self.contributions: dict[Key, Any] = {}
        self._softmaxes = {softmax.quotient: softmax for softmax in softmaxes(tape, path)}

    def is_reached(self, key: Key) -> bool:
        return super().is_reached(key) or key in self.contributions

    def multiplier(self, key: Key) -> Any:
        multiplier, contribution = super().multiplier(key), self.contributions.get(key)
        if contribution is None:
            return multiplier
        of_contribution = divided(contribution, self.tape.value(key) - self.bases[key])
        return of_contribution if multiplier is None else multiplier + of_contribution

    def own_multiplier(self, key: Key) -> Any:
        """Return what a tensor has been handed without contributions; None for nothing."""
        return super().multiplier(key)

    def through_other(self, step: Step, sources: list[int]) -> bool:
        kinds = self.tape.kinds
        if step.kind in kinds.stops:  # what a gradient does not follow changes all the same
            self.add(step.inputs[0], self.multiplier(step.outputs[0]))
        elif step.kind in kinds.softmax and sources == [0]:
            self._through_softmax(step)
        elif step.kind in kinds.log_softmax and sources == [0]:
            self._through_log_softmax(step)
        elif step in self._softmaxes:
            self._through_softmax_in_parts(self._softmaxes[step])
        elif step.kind in kinds.bilinear | kinds.squares and len(sources) == 2 and self.follows(step):
            self._through_product(step, sources)
        elif step.kind in kinds.scaling and sources == [0, 1] and self.follows(step):
            self._through_quotient(step)
        else:
            return False
        return True

    def _through_product(self, step: Step, sources: list[int]) -> None:
        """The change of a product by each factor's, at the mean of the other one: the Shapley values of both. It is the gradient
        halfway, as of any function of second degree, such as the square of a difference."""
        inputs = [self._halfway(key) if k in sources else self.tape.value(key) for k, key in enumerate(step.inputs)]
        above = {0: self.multiplier(step.outputs[0])}
        for k, multiplier in zip(sources, self.tape.pullback(step, sources, above, inputs), strict=True):
            self.add(step.inputs[k], multiplier)

    def _through_quotient(self, step: Step) -> None:
        """As a product with the reciprocal, which has the Rescale rule."""
        above = {0: self.multiplier(step.outputs[0])}
        numerator, divisor = step.inputs
        reciprocal, base_reciprocal = 1 / self.tape.value(divisor), 1 / self.bases[divisor]
        numerators = self.tape.value(numerator)
        of_mean = [numerators, 2 / (reciprocal + base_reciprocal)]
        self.add(numerator, self.tape.pullback(step, [0], above, of_mean)[0])
        halfway = self._halfway(numerator)
        of_reciprocal = self.tape.pullback(step, [1], above, [halfway, ops.ones_like(reciprocal)])[0]
        self.add(divisor, of_reciprocal * reciprocal * base_reciprocal)

    def _through_softmax(self, step: Step) -> None:
        z, axis = step.inputs[0], self.tape.softmax_axis(step)
        slopes = self._slopes_of_softmax(z, axis)
        above = ops.cast(self.multiplier(step.outputs[0]), "float32")
        mean = ops.sum(slopes * above, axis, keepdims=True) / ops.sum(slopes, axis, keepdims=True)
        self.add(z, ops.cast(slopes * (above - mean), self.tape.value(z).dtype))

    def _through_log_softmax(self, step: Step) -> None:
        """x − log Σ exp x: what the normaliser takes goes to the x in proportion to the same slopes."""
        z, axis = step.inputs[0], self.tape.softmax_axis(step)
        above = ops.cast(self.multiplier(step.outputs[0]), "float32")
        multiplier = of_log_softmax(above, self._slopes_of_softmax(z, axis), axis)
        self.add(z, ops.cast(multiplier, self.tape.value(z).dtype))

    def _slopes_of_softmax(self, z: Key, axis: int) -> Any:
        logarithms = []
        for values in (self.tape.value(z), self.bases[z]):
            values = ops.cast(values, "float32")
            logarithms.append(values - ops.logsumexp(values, axis=axis, keepdims=True))
        return softmax_slopes(*logarithms)

    def _through_softmax_in_parts(self, softmax: Softmax) -> None:
        exponents, total = softmax.power.inputs[0], softmax.quotient.inputs[1]
        slopes = softmax_slopes(
            self.tape.value(exponents) - ops.log(self.tape.value(total)),
            self.bases[exponents] - ops.log(self.bases[total]),
        )
        above = self.multiplier(softmax.quotient.outputs[0])

        def summed(array: Any) -> Any:
            for step in softmax.total:
                array = self.tape.run(step, [array, *[self.tape.value(key) for key in step.inputs[1:]]])
            return array

        self.add(exponents, slopes * (above - summed(slopes * above) / summed(slopes)))

    def _halfway(self, key: Key) -> Any:
        """The mean of a tensor's sample and baseline."""
        return (self.tape.value(key) + self.bases[key]) / 2


def softmax_slopes(logarithms: Any, base_logarithms: Any) -> Any:
    """Return the slopes of exp between the logarithms of a softmax for baseline and sample: logarithmic means of the two.

    Written p = exp(x − log Σ exp x), a softmax has the Rescale rule in its exp. What the normaliser gets, Σ slopes · multipliers,
    goes to the x in proportion to their slopes: then multipliers sum to 0, as a number that is added to all x changes nothing,
    and Σ multipliers · change is the change of the score.
    """
    p, base_p = ops.exp(logarithms), ops.exp(base_logarithms)
    change = logarithms - base_logarithms
    is_wide = ops.abs(change) > _NARROW_CHANGE  # not where both are masked by −∞, and nothing changes
    return ops.where(is_wide, (p - base_p) / ops.where(is_wide, change, 1.0), (p + base_p) / 2)


def of_log_softmax(above: Any, slopes: Any, axis: int) -> Any:
    """Return the multipliers of what a logarithm of a softmax is taken of, from its own and the slopes of `softmax_slopes`.

    Σ slopes · (change − change of the normaliser) is the change of Σ exp, which stays 1: so the normaliser changes by the mean
    change, weighted by slopes.
    """
    return above - slopes / ops.sum(slopes, axis, keepdims=True) * ops.sum(above, axis, keepdims=True)


def divided(value: Any, by: Any) -> Any:
    """Return the quotient; 0 where the divisor is 0."""
    is_zero = by == 0
    return ops.where(is_zero, 0.0, value / ops.where(is_zero, 1.0, by))
