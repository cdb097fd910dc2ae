"""The batch of a train step, as a further result of the step: a dataset hands it to nobody else."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

LOGS, TENSORS = "keras_xai/logs", "keras_xai/batch"  # keys of a step's result


class StepBatch:
    """Keeps the batch of the last step.

    In a graph the batch is put into the result of the step, and taken out of it again; a step that runs eagerly leaves it here.

    Attributes:
        value: of the last step; None before.
        obstacle: why it cannot be kept, "" where it can.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.obstacle = ""
        self._structure: Any = None  # of the batch, with a gap in place of each tensor

    def put_into(self, result: Any, batch: Any, *, in_graph: bool) -> Any:
        """Return the result of a step with its batch."""
        if not in_graph:
            self.value = batch
            return result
        leaves = tf.nest.flatten(batch)
        others = [leaf for leaf in leaves if leaf is not None and not isinstance(leaf, tf.Tensor)]
        if others:
            self.obstacle = f"the batch holds a {type(others[0]).__name__}"
            return result
        self._structure = tf.nest.map_structure(lambda leaf: None if leaf is None else GAP, batch)
        return {LOGS: result, TENSORS: tuple(leaf for leaf in leaves if leaf is not None)}

    def take_out_of(self, result: Any) -> Any:
        """Return the result of a step without its batch, which is kept."""
        if not isinstance(result, dict) or TENSORS not in result:
            return result
        tensors = iter(result[TENSORS])
        self.value = tf.nest.map_structure(lambda leaf: next(tensors) if leaf is GAP else None, self._structure)
        return result[LOGS]


GAP = object()
