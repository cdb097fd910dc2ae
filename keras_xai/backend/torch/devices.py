"""The processes that train a model together, and the one that writes."""

from __future__ import annotations

import keras
import torch


def is_chief(model: keras.Model) -> bool:
    """Return True where this process is the one that writes, of several that train one model together."""
    distributed = torch.distributed
    is_alone = not (distributed.is_available() and distributed.is_initialized())
    return is_alone or distributed.get_rank() == 0
