"""Arrays of what a model computes, whatever the backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def to_numpy(value: Any) -> NDArray[Any]:
    """A copy of a tensor or variable of Keras' backend on the host."""
    return np.array(keras.ops.convert_to_numpy(value))
