"""The ancestry of a tensor in a graph: the operations behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_xai.backend.protocol import Logits
from keras_xai.records import Link

# Operations that hand a value on as it is, and those that only put it elsewhere.
TRANSPARENT = ("Cast", "CheckNumerics", "Identity", "PreventGradient", "StopGradient")
RESHAPES = ("ExpandDims", "Reshape", "Squeeze")
_LINKS: dict[str, Link] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


def logits_of(outputs: Any) -> Logits:
    """A model's outputs, and the logits behind them.

    Inside a graph the operation that made an output is known: where it is a softmax or a sigmoid, its input is the logits.
    """
    tensor = outputs
    while tensor.op.type in TRANSPARENT and len(tensor.op.inputs) == 1:
        tensor = tensor.op.inputs[0]
    link = _LINKS.get(tensor.op.type, "")
    scores = tensor.op.inputs[0] if link else outputs
    return Logits(outputs, tf.cast(scores, tf.float32), link)


def looked_up_input(tensor: Any, inputs: Sequence[Any]) -> int | None:
    """The number of the input that a tensor is, in another shape or dtype at most; None for anything else."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}
    while tf.is_tensor(tensor) and tensor.ref() not in numbers:
        if tensor.op.type not in (*TRANSPARENT, *RESHAPES):
            return None
        tensor = tensor.op.inputs[0]
    return numbers[tensor.ref()] if tf.is_tensor(tensor) else None


def input_indices(tensor: Any, inputs: Sequence[Any]) -> frozenset[int]:
    """The numbers of the inputs that a tensor of the present graph is computed from."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}
    indices: set[int] = set()
    visited, pending = {tensor.ref()}, [tensor]
    while pending:
        current = pending.pop()
        if current.ref() in numbers:
            indices.add(numbers[current.ref()])
            continue
        new = [t for t in current.op.inputs if t.ref() not in visited]
        visited |= {t.ref() for t in new}
        pending += new
    return frozenset(indices)
