"""The devices that a model is spread over, and the processes that they belong to."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import keras
import numpy as np

from keras_xai.backend.team import ALONE, Team
from keras_xai.errors import InvalidInput

# So long the first process waits for the last one to begin its training: as long as JAX waits at its own begin.
JOIN_SECONDS = 300
_joins = itertools.count()


def replicated() -> jax.sharding.NamedSharding | None:
    """Return the sharding of an array that every device of Keras' distribution has whole; None without a distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None
    return jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, jax.sharding.PartitionSpec())


def is_first_process() -> bool:
    """See `Backend`. Without a distribution JAX is not asked: it would start its devices, perhaps too early for the user."""
    return keras.distribution.distribution() is None or jax.process_index() == 0


def team(model: keras.Model) -> Team:
    """Return the processes whose devices are in the mesh of Keras' distribution; without one each process trains by itself."""
    distribution = keras.distribution.distribution()
    if distribution is None or jax.process_count() == 1:
        return ALONE
    mesh = distribution.device_mesh.backend_mesh
    # The first device of each process, in the order of their ranks: what they say goes over these.
    devices = {device.process_index: device for device in reversed(mesh.devices.ravel().tolist())}
    ranks = sorted(devices)
    if len(ranks) == 1:
        return ALONE
    _wait_for_all(ranks)
    one_each = jax.sharding.Mesh(np.array([devices[rank] for rank in ranks]), ("process",))
    by_process = jax.sharding.NamedSharding(one_each, jax.sharding.PartitionSpec("process"))
    everywhere = jax.sharding.NamedSharding(one_each, jax.sharding.PartitionSpec())
    copied = jax.jit(lambda rows: rows, out_shardings=everywhere)

    def gather(message: bytes) -> list[bytes]:
        row = np.frombuffer(message, np.uint8)[None]
        rows = copied(jax.make_array_from_process_local_data(by_process, row, (len(ranks), row.shape[1])))
        return [bytes(row) for row in np.asarray(rows)]

    return Team(ranks.index(jax.process_index()), len(ranks), gather)


def _wait_for_all(ranks: list[int]) -> None:
    """Wait until all processes are here: one of them that has no such callback trains already, and never answers.

    Raises:
        InvalidInput: they were not in time.
    """
    barrier = getattr(_client(), "wait_at_barrier", None)
    if barrier is None:
        return
    try:
        barrier(f"keras_xai/{next(_joins)}", 1000 * JOIN_SECONDS, ranks)
    except Exception as error:
        raise InvalidInput(
            f"{len(ranks)} processes train this model, and not all of them have begun with the same callbacks within "
            f"{JOIN_SECONDS} seconds. Give the callbacks of keras_xai to fit() in every process, also in those that write "
            f"nothing. ({type(error).__name__})"
        ) from error


def _client() -> Any:
    """Return the process's connection to JAX's coordinator: not public, but what is public waits without an end."""
    try:
        from jax._src.distributed import global_state
    except ImportError:
        return None
    return global_state.client
