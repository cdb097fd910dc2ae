"""The operations between a model's inputs and its scores, in the same form for every framework."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

Key = Any  # stands for a tensor, hashable


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One operation."""

    kind: str  # the framework's name for it
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    place: str  # the layer that it is in, or as much as is known of that
    operation: Any  # the framework's


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


class Kinds(NamedTuple):
    """A framework's names of operations, by what they do."""

    # Linear ones, by the inputs that they are linear in: "all" together, any "one", the "first" or the "last", or the values that
    # are "chosen from" by a condition, such as a mask.
    linear: Mapping[str, str]
    entrywise: frozenset[str]  # functions of one tensor entry by entry
    # Those that stand between the ends of an activation that is written as several operations, as silu is x · sigmoid(x): each
    # entry goes its own way.
    by_entry: frozenset[str]
    meeting: frozenset[str]  # and where several of its operations meet
    winner: frozenset[str]  # the maximum of windows or axes
    between_two: frozenset[str]  # the larger or the smaller of two, entry by entry
    convolutions: frozenset[str]  # products with a kernel that is moved over places
    bilinear: frozenset[str]  # products that are linear in each of two inputs
    softmax: frozenset[str]
    log_softmax: frozenset[str]
    exponential: frozenset[str]
    sums: frozenset[str]  # along axes
    spreads: frozenset[str]  # between a sum and what it divides
    stops: frozenset[str]  # through which no gradient goes
    one_by_one: frozenset[str]  # several outputs, each an input as it is
    # In a layer of weights, behind the product.
    moves: frozenset[str]  # keep every entry
    scales_and_shifts: frozenset[str]  # entry by entry, by what does not change
    additions: frozenset[str]  # those of two
    # In a normalisation.
    roots: frozenset[str]
    squares: frozenset[str]
    means: frozenset[str]  # between squares and the root of their mean
    scaling: frozenset[str]  # products and quotients of two


class Tape(ABC):
    """The operations behind the scores, each after those that it needs, and the values of their tensors."""

    kinds: Kinds
    steps: Sequence[Step]
    inputs: Sequence[Key]
    final: Key  # the scores

    @abstractmethod
    def value(self, key: Key) -> Any:
        """Return a tensor."""

    @abstractmethod
    def shape(self, key: Key) -> tuple[int | None, ...]:
        """Return its shape."""

    @abstractmethod
    def is_floating(self, key: Key) -> bool:
        """Return True for a tensor of floating numbers."""

    @abstractmethod
    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        """Return the first output of a step on other inputs of the same shapes."""

    @abstractmethod
    def pullback(
        self, step: Step, sources: Sequence[int], above: Mapping[int, Any], inputs: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        """Return the gradient with respect to some inputs of a step, each None or a tensor.

        Args:
            step: one of the tape's.
            sources: the numbers of the inputs.
            above: the gradient with respect to its outputs, of any floating dtype, by their numbers; 0 for what is missing.
            inputs: other ones to take it at, in the place of the step's own.
        """

    def is_plain(self, step: Step) -> bool:
        """Return False for a step that is linear in other circumstances only."""
        return True

    def softmax_axis(self, step: Step) -> int:
        """Return the axis of a softmax, or its logarithm, of one operation."""
        return -1

    def is_square(self, step: Step) -> bool:
        """Return True for the square of one tensor or of a difference."""
        return step.kind in self.kinds.squares

    def is_linear(self, step: Step, sources: Sequence[int]) -> bool:
        """Return True where a step is linear in the inputs of these numbers together."""
        which = self.kinds.linear.get(step.kind)
        tensors = [*(step.inputs[k] for k in sources), *step.outputs]
        if which is None or not all(self.is_floating(key) for key in tensors) or not self.is_plain(step):
            return False
        position = {
            "all": True,
            "one": len(sources) == 1,
            "first": list(sources) == [0],
            "last": list(sources) == [len(step.inputs) - 1],
            "chosen from": 0 not in sources,
        }
        return position[which]


class Path(NamedTuple):
    """The steps whose outputs move with the samples."""

    steps: list[Step]
    changing: set[Key]  # the tensors that move, floating inputs included

    def sources(self, step: Step) -> list[int]:
        """Return the numbers of a step's inputs that move."""
        return [k for k, key in enumerate(step.inputs) if key in self.changing]


def path_of(tape: Tape, held: Collection[Step] = ()) -> Path:
    """Return the path of a tape; as if the outputs of some steps did not move."""
    changing: set[Key] = {key for key in tape.inputs if tape.is_floating(key)}
    steps = []
    for step in tape.steps:
        if step not in held and any(key in changing for key in step.inputs):
            changing.update(step.outputs)
            steps.append(step)
    return Path(steps, changing)
