"""The devices that a model is spread over, and the process that writes."""

from __future__ import annotations

import jax
import keras


def replicated() -> jax.sharding.NamedSharding | None:
    """Return the sharding of an array that every device of Keras' distribution has whole; None without a distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None
    return jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, jax.sharding.PartitionSpec())


def is_chief(model: keras.Model) -> bool:
    """See `Backend`."""
    return jax.process_index() == 0
