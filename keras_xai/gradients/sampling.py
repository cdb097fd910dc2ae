"""The choice of the executions of an epoch that are recorded."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from keras_xai.errors import check_int

Samples = int | Literal["all"]


class Sampling:
    """`samples` executions, spread evenly from the first to the last of the epoch.

    Where the length of the epoch is not known, executions 0, 10, 100, … of the first epoch; later epochs are taken to
    be as long as the one before. An execution is one call of the compiled train function: one step, or
    `steps_per_execution` of them.

    Args:
        samples: how many an epoch, or "all".

    Raises:
        InvalidInput: neither a positive integer nor "all".
    """

    def __init__(self, samples: Samples) -> None:
        if samples != "all":
            check_int("samples_per_epoch", samples, expected="a positive integer or 'all'")
        self.samples = samples
        self._chosen: frozenset[int] | None = None

    def begin(self, length: int | None) -> None:
        """Begin an epoch of `length` executions, None where that is not known."""
        self._chosen = None if length is None else self._spread(length)

    def _spread(self, length: int) -> frozenset[int]:
        if self.samples == "all" or self.samples >= length:
            return frozenset(range(length))
        return frozenset(np.linspace(0, length - 1, self.samples).round().astype(int).tolist())

    def due(self, execution: int) -> bool:
        """Return True where execution number `execution` of this epoch is recorded."""
        if self.samples == "all":
            return True
        if self._chosen is not None:
            return execution in self._chosen
        return execution == 0 or (execution >= 10 and math.log10(execution).is_integer())
