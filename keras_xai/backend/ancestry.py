"""Questions on what made a tensor, answered step by step from the tensor backwards; the same on every framework."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from keras_xai.backend.protocol import Tensor

# Stands for one tensor of a pass: two nodes are equal where they are of the same tensor.
Node = Hashable
# "same": the value as it is, at most in another dtype; "reshape", "transpose", "pad", "pool": values put elsewhere or taken
# together; "function": an activation function; "": anything else.
Kind = Literal["same", "reshape", "transpose", "pad", "pool", "function", ""]

_MOVES = ("same", "reshape", "transpose")
# The one functions for which what is zero throughout is zero behind a pooling.
_RECTIFIERS = ("relu", "relu6")


class Step(NamedTuple):
    """The operation that made a tensor."""

    kind: Kind
    source: Node = None  # of the tensor that it took; None where the kind is ""
    function: str = ""  # the name of the activation function, as in `Activation`


UNKNOWN = Step("")


class Ancestry(Protocol):
    """Tells what made the tensors of one pass."""

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor."""

    def step(self, node: Node) -> Step:
        """Return the operation that made a node's tensor. A softmax is one over the last axis."""

    def sources(self, node: Node) -> Sequence[Node]:
        """Return the nodes of all tensors that a node's tensor was made of; none for an input or a constant."""

    def is_dense(self, value: object) -> bool:
        """Return True for a dense tensor of the framework."""

    def problem(self, tensor: Tensor) -> str:
        """Return the reason why a tensor cannot be read, whatever its shape is; "" where it can.

        It is one of `NOT_OF_SAMPLES` and `OUT_OF_REACH`, or a reason of the framework's own.
        """

    def varies(self, tensor: Tensor) -> bool:
        """Return True where values that differ between the samples lead to `tensor`.

        From a tensor of booleans on nothing varies: what is true of all samples alike (no step is padding) moves nothing.
        """


NOT_OF_SAMPLES = "it does not depend on the samples"
OUT_OF_REACH = "it is called inside a loop or a branch, out of reach"


def activation_function(node: Node, ancestry: Ancestry) -> str:
    """The activation function behind a tensor: that of the operation that made it; of a rectifier also behind a pooling."""
    is_pooled = False
    step = ancestry.step(node)
    while step.kind in (*_MOVES, "pad", "pool"):
        is_pooled = is_pooled or step.kind in ("pad", "pool")
        step = ancestry.step(step.source)
    return step.function if not is_pooled or step.function in _RECTIFIERS else ""


def is_moved(node: Node, source: Node, ancestry: Ancestry) -> bool:
    """True where a tensor is another one again, in another shape or padded at most."""
    while node != source:
        step = ancestry.step(node)
        if step.kind not in (*_MOVES, "pad"):
            return False
        node = step.source
    return True


def looked_up_input(node: Node, inputs: Sequence[Node], ancestry: Ancestry) -> int | None:
    """The number of the input that a tensor is, in another shape or dtype at most; None for anything else."""
    numbers = {source: k for k, source in enumerate(inputs)}
    while node not in numbers:
        step = ancestry.step(node)
        if step.kind not in ("same", "reshape"):
            return None
        node = step.source
    return numbers[node]


def final_nodes(outputs: Node, ancestry: Ancestry) -> set[Node]:
    """The tensors from the logits behind an output to the output itself; where nothing makes it of logits, it and what it is
    before moves and casts."""
    nodes, is_logit = {outputs}, False
    step = ancestry.step(outputs)
    while step.kind in _MOVES or (step.function in ("softmax", "sigmoid") and not is_logit):
        is_logit = is_logit or step.kind == "function"
        nodes.add(step.source)
        step = ancestry.step(step.source)
    return nodes


def with_ancestors(nodes: Sequence[Node], ancestry: Ancestry) -> set[Node]:
    """Some tensors, and all that they are computed from."""
    return set(_walk(nodes, ancestry))


def input_indices(node: Node, inputs: Sequence[Node], ancestry: Ancestry) -> frozenset[int]:
    """The numbers of the inputs that a tensor is computed from."""
    numbers = {source: k for k, source in enumerate(inputs)}
    return frozenset(numbers[ancestor] for ancestor in _walk([node], ancestry) if ancestor in numbers)


def _walk(nodes: Sequence[Node], ancestry: Ancestry) -> Iterator[Node]:
    """Yield some tensors and all that they are computed from, each once."""
    visited, pending = set(nodes), list(nodes)
    while pending:
        node = pending.pop()
        yield node
        new = [source for source in ancestry.sources(node) if source not in visited]
        visited.update(new)
        pending += new
