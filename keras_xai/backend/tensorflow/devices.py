"""The copies of a model that train together, and the processes in which they do."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_xai.backend.team import ALONE, Team
from keras_xai.errors import InvalidInput

# Strategies under which nothing of ours can be relied on, and why.
REFUSED = {
    tf.distribute.ParameterServerStrategy: "its workers train asynchronously: there is no model that an epoch ends with",
    tf.distribute.TPUStrategy: "nobody has tried whether gradients are recorded and state is restored on a TPU",
}


def num_replicas(model: keras.Model) -> int:
    """Return how many copies of the model train in step."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def is_first_process() -> bool:
    """See `Backend`; known inside the scope of a strategy."""
    return bool(tf.distribute.get_strategy().extended.should_save_summary)


def team(model: keras.Model) -> Team:
    """Return the workers of a `MultiWorkerMirroredStrategy`; with any other strategy one process trains the model.

    Raises:
        InvalidInput: a strategy that is not supported.
    """
    strategy = model.distribute_strategy
    for kind, reason in REFUSED.items():
        if isinstance(strategy, kind):
            raise InvalidInput(
                f"keras_xai does not watch a training under tf.distribute.{kind.__name__}: {reason}. Train under "
                f"MirroredStrategy, or without the callbacks."
            )
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return ALONE
    replicas_per_worker = len(strategy.extended.worker_devices)
    size = strategy.num_replicas_in_sync // replicas_per_worker
    if size == 1:
        return ALONE

    def gather(message: bytes) -> list[bytes]:
        # TensorFlow gathers no bytes.
        row = tf.constant(np.frombuffer(message, np.uint8)[None].astype(np.int32))
        rows = strategy.gather(strategy.experimental_distribute_values_from_function(lambda context: row), axis=0)
        return [row.astype(np.uint8).tobytes() for row in rows.numpy()[::replicas_per_worker]]

    # The chief comes first in the order of the replicas.
    rank = 0 if strategy.extended.should_save_summary else int(resolver.task_id)
    return Team(rank, size, gather)


def sync_model(model: keras.Model) -> None:
    """Do nothing: training changes the variables themselves, at every step."""
