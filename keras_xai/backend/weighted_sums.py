"""Layers of weights as the operations that they are made of: a product with a kernel, and what is entry by entry behind it."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from keras_xai.backend.tape import Key, Path, Step, Tape


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedSum:
    """A product with a kernel, and the biases, scales (of a batch normalisation) and moves that follow it one by one."""

    tape: Tape
    product: Step
    source: int  # the number of the product's input that is weighted
    following: tuple[tuple[Step, int], ...]  # each with the number of its input that is the result so far

    @property
    def result(self) -> Key:
        """The sums, with biases and scales."""
        return (self.following[-1][0] if self.following else self.product).outputs[0]

    @property
    def is_convolution(self) -> bool:
        """True for a product with a kernel that is moved over places."""
        return self.product.kind in self.tape.kinds.convolutions

    @property
    def has_bias_alone(self) -> bool:
        """True where nothing but one bias, or none, follows the product, at most in another shape."""
        kinds = self.tape.kinds
        others = [step.kind for step, _ in self.following if step.kind not in kinds.moves]
        return len(others) <= 1 and all(kind in kinds.additions for kind in others)

    def at_product(self, above: Any) -> Any:
        """Return the gradient with respect to the product, of one with respect to the sums."""
        for step, source in reversed(self.following):
            (above,) = self.tape.pullback(step, [source], {0: above})
        return above

    def at_weighted(self, above: Any) -> Any:
        """Return the gradient with respect to the weighted input, of one with respect to the product."""
        return self.tape.pullback(self.product, [self.source], {0: above})[0]

    def of_magnitudes(self) -> Any:
        """Return the product of the weighted input's magnitudes with those of the kernel."""
        return self.tape.run(self.product, self._magnitudes(self.product))

    def at_magnitudes(self, above: Any) -> Any:
        """Return the gradient of that with respect to the weighted input's magnitudes."""
        return self.tape.pullback(self.product, [self.source], {0: above}, self._magnitudes(self.product))[0]

    def followed(self, product: Any, by_magnitudes: bool = False) -> Any:
        """Return another product after the operations that follow it, or after these with the magnitudes of what they add."""
        for step, source in self.following:
            inputs = self._magnitudes(step) if by_magnitudes else [self.tape.value(key) for key in step.inputs]
            inputs[source] = product
            product = self.tape.run(step, inputs)
        return product

    def _magnitudes(self, step: Step) -> list[Any]:
        return [ops.abs(self.tape.value(k)) if self.tape.is_floating(k) else self.tape.value(k) for k in step.inputs]


def weighted_sums(tape: Tape, path: Path) -> list[WeightedSum]:
    """Return those of a path."""
    kinds = tape.kinds
    users: dict[Key, list[Step]] = {}
    for step in tape.steps:
        for key in step.inputs:
            users.setdefault(key, []).append(step)
    sums = []
    for step in path.steps:
        is_product = step.kind in kinds.convolutions or (step.kind in kinds.bilinear and step.kind not in kinds.scaling)
        if is_product and tape.is_linear(step, path.sources(step)):
            sums.append(WeightedSum(tape, step, path.sources(step)[0], _following(tape, path, step.outputs[0], users)))
    return sums


def _following(tape: Tape, path: Path, key: Key, users: dict[Key, list[Step]]) -> tuple[tuple[Step, int], ...]:
    kinds, following = tape.kinds, []
    while len(users.get(key, [])) == 1:
        (step,) = users[key]
        sources = path.sources(step)
        is_entrywise = step.kind in kinds.scales_and_shifts and tape.shape(step.outputs[0]) == tape.shape(key)
        if not ((step.kind in kinds.moves or is_entrywise) and len(sources) == 1 and tape.is_linear(step, sources)):
            break
        following.append((step, sources[0]))
        key = step.outputs[0]
    return tuple(following)
