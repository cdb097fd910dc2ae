"""The process that writes."""

from __future__ import annotations

import keras
import torch


def is_chief(model: keras.Model) -> bool:
    """Return True where this process is the one that writes, of several that train one model together."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
