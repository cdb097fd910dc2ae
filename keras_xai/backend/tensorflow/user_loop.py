"""The state of TensorFlow at a point of a training loop of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_xai.backend.tensorflow.graphs import current_graph

try:
    from tensorflow.python.eager.record import could_possibly_record as records_operations
except ImportError:  # a version that keeps it elsewhere: then an open tape costs time, and changes nothing

    def records_operations() -> bool:
        """Return False: it is not known."""
        return False


def trace_state() -> object:
    """See `Backend`: the graph into which operations go."""
    return current_graph()


def obstacle_to_passes() -> str:
    """See `Backend`."""
    if current_graph() is not None:
        return "a tf.function that is being traced"
    if records_operations():
        return "the block of a GradientTape, which would record the passes"
    if tf.distribute.has_strategy() and tf.distribute.get_replica_context() is not None:
        return "a replica of a distribution strategy"
    return ""


def free_for_passes() -> contextlib.AbstractContextManager[object]:
    """See `Backend`."""
    return contextlib.nullcontext()


def begin_train_call(model: keras.Model, arguments: Sequence[Any]) -> None:
    """See `Backend`: the variables hold the state."""


def finish_train_call(model: keras.Model, result: Any) -> Any:
    """See `Backend`: the step has assigned the variables itself."""
    return result
