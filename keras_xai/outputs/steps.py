"""The step of a sequence that is explained, as the user says it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput


def check_step(step: Any, over: Any = None) -> int | NDArray[np.int64] | None:
    """Return a step as an integer, or (B,) of them.

    Raises:
        InvalidInput: no integer, or a region beside it.
    """
    if step is None:
        return None
    if over is not None:
        raise InvalidInput("step and over are both given: a step is a region of its own; give one of them.")
    numbers = as_array(step, "step", advice="one step is expected, or one for each sample.")
    if isinstance(step, bool) or numbers.dtype.kind not in "iu" or numbers.ndim > 1:
        raise InvalidInput(
            f"step={step!r}: expected the number of a step, negative ones counted from the last step that is no padding, or "
            f"(B,) of them."
        )
    return int(numbers) if numbers.ndim == 0 else numbers.astype(np.int64)
