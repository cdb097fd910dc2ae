"""The processes that train one model together."""

from __future__ import annotations

import keras
import torch

from keras_xai.backend.team import ALONE, Team
from keras_xai.errors import InvalidInput


def is_first_process() -> bool:
    """See `Backend`: Keras trains a model in one process of PyTorch."""
    return True


def team(model: keras.Model) -> Team:
    """Return a team of one: Keras trains a model in one process of PyTorch.

    Raises:
        InvalidInput: the process is one of several of `torch.distributed`.
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise InvalidInput(
            f"torch.distributed runs with {distributed.get_world_size()} processes: on PyTorch keras_xai watches a training in "
            f"one process only. Keras' fit() does not synchronise the gradients of several, also not of a model in "
            f"DistributedDataParallel. Train in one process, or on JAX with keras.distribution."
        )
    return ALONE


def sync_model(model: keras.Model) -> None:
    """Do nothing: training changes the variables themselves, at every step."""
