"""The copies of a model that train together, and the processes in which they do."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_xai.backend.team import ALONE, Team


def num_replicas(model: keras.Model) -> int:
    """Return how many copies of the model train in step."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def team(model: keras.Model) -> Team:
    """Return the workers of a `MultiWorkerMirroredStrategy`; with any other strategy one process trains the model."""
    strategy = model.distribute_strategy
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return ALONE
    replicas_per_worker = len(strategy.extended.worker_devices)
    size = strategy.num_replicas_in_sync // replicas_per_worker
    if size == 1:
        return ALONE

    def gather(message: bytes) -> list[bytes]:
        row = tf.constant(np.frombuffer(message, np.uint8)[None])
        rows = strategy.gather(strategy.experimental_distribute_values_from_function(lambda context: row), axis=0)
        return [bytes(rows[worker * replicas_per_worker].numpy()) for worker in range(size)]

    # The chief comes first in the order of the replicas.
    rank = 0 if strategy.extended.should_save_summary else int(resolver.task_id)
    return Team(rank, size, gather)
