"""A walk from the scores back to the inputs: what DeepLIFT and LRP have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_xai.backend.protocol import NoRule
from keras_xai.backend.tape import Key, Path, Step, Tape


class Walk:
    """Multipliers, handed from each tensor to those that it is computed from.

    A multiplier is a value's contribution to the score over the value, or over its change. Linear operations hand it on as
    a gradient; for all others a subclass has rules.

    Args:
        tape: the operations behind the scores.
        path: those to walk over.
    """

    def __init__(self, tape: Tape, path: Path) -> None:
        self.tape, self.path = tape, path
        self._order = {step: k for k, step in enumerate(path.steps)}
        self._makers = {key: step for step in path.steps for key in step.outputs}
        self._multipliers: dict[Key, Any] = {}

    def multipliers(self, of_scores: Any) -> list[Any]:
        """Return those of the inputs, from those of the scores; None where nothing leads to an input.

        Raises:
            NoRule: an operation on the way has no rule; its name and the layer.
        """
        self.add(self.tape.final, of_scores)
        for step in reversed(self.path.steps):
            if self.reached(step):
                self.back(step)
        return [self.multiplier(key) for key in self.tape.inputs]

    def add(self, key: Key, multiplier: Any) -> None:
        """Hand one more multiplier to a tensor."""
        add_to(self._multipliers, key, multiplier)

    def is_reached(self, key: Key) -> bool:
        """Return True where anything has been handed to a tensor."""
        return key in self._multipliers

    def reached(self, step: Step) -> list[int]:
        """Return the numbers of a step's outputs that anything has been handed to."""
        return [k for k, key in enumerate(step.outputs) if self.is_reached(key)]

    def multiplier(self, key: Key) -> Any:
        """Return all that has been handed to a tensor; None for nothing."""
        return self._multipliers.get(key)

    def back(self, step: Step) -> None:
        """Hand on to a step's changing inputs what its outputs have.

        Raises:
            NoRule: no rule says how.
        """
        kinds, sources = self.tape.kinds, self.path.sources(step)
        if step.kind in kinds.one_by_one:
            for k in self.reached(step):
                self.add(step.inputs[k], self.multiplier(step.outputs[k]))
            return
        if self.tape.is_linear(step, sources) and self.follows(step):
            self.back_by_gradient(step, sources)
            return
        activation = self._activation(step, sources) if step.kind in kinds.meeting else None
        if activation is None and step.kind in kinds.entrywise and len(sources) == 1 and self.follows(step):
            activation = step.inputs[sources[0]], [step]
        if activation is not None:
            self.through_activation(step.outputs[0], *activation)
        elif step.kind in kinds.winner and len(sources) == 1 and self.follows(step):
            self.through_maximum(step, sources[0])
        elif not self.through_other(step, sources):
            raise NoRule(f"the operation {step.kind}" + (f" in {step.place!r}" if step.place else ""))

    def back_by_gradient(self, step: Step, sources: Sequence[int], factor: float = 1.0) -> None:
        """Hand on, to some of a step's inputs, what its gradient gives them of its outputs' multipliers."""
        above = {}
        for k in self.reached(step):
            multiplier = self.multiplier(step.outputs[k])
            above[k] = multiplier if factor == 1 else factor * multiplier
        for k, multiplier in zip(sources, self.tape.pullback(step, sources, above), strict=True):
            if multiplier is not None:
                self.add(step.inputs[k], multiplier)

    # The rules of a method.

    def follows(self, step: Step) -> bool:
        """Return False for a step that the method cannot follow, whatever its kind."""
        return True

    def through_activation(self, y: Key, z: Key, between: list[Step]) -> None:
        """Hand on what y has to z, of which it is a function entry by entry, by the steps between the two."""
        raise NotImplementedError

    def through_maximum(self, step: Step, source: int) -> None:
        """Hand on what maxima have to the input that they are taken of."""
        raise NotImplementedError

    def through_other(self, step: Step, sources: list[int]) -> bool:
        """Hand on what the outputs of any other step have; return False where there is no rule."""
        return False

    def _activation(self, step: Step, sources: list[int]) -> tuple[Key, list[Step]] | None:
        """The one tensor that all changing inputs of a step are functions of entry by entry, and the steps from it on; None where
        there is none: a product of two activations."""
        shape, between = self.tape.shape(step.outputs[0]), [step]
        open_ends = {step.inputs[k] for k in sources}
        while len(open_ends) > 1:
            key = max(open_ends, key=self._place)
            before = self._makers.get(key)
            if before is None or before.kind not in self.tape.kinds.by_entry or self.tape.shape(key) != shape:
                return None
            open_ends.remove(key)
            inputs = before.inputs
            if before.kind in self.tape.kinds.one_by_one:
                inputs = (inputs[before.outputs.index(key)],)
            open_ends.update(source for source in inputs if source in self.path.changing)
            between.append(before)
        (key,) = open_ends
        between.sort(key=self._order.__getitem__)
        return (key, between) if self.tape.shape(key) == shape and self.tape.is_floating(key) else None

    def _place(self, key: Key) -> int:
        """The place in the order of steps at which a tensor was made; −1 for an input."""
        maker = self._makers.get(key)
        return -1 if maker is None else self._order[maker]


def add_to(sums: dict[Key, Any], key: Key, value: Any) -> None:
    """Add a value to the sum of a key."""
    sums[key] = sums[key] + value if key in sums else value
