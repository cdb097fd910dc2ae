"""The choice of the executions of an epoch that are recorded."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from keras_xai.errors import check_int

# A step that is computed twice costs some 1.2 more: with one in 24 that is a twentieth of an epoch.
REPEATED_ONE_IN = 24

Samples = int | Literal["all"]


class Sampling:
    """`samples` executions, spread evenly from the first to the last of the epoch.

    Where a recorded step is computed twice, there are fewer in a short epoch: at most one in `REPEATED_ONE_IN`, at least one.
    That is a rule of counts alone, so that all processes of a training record the same steps.

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

    def begin(self, length: int | None, repeats_steps: bool = False) -> None:
        """Begin an epoch.

        Args:
            length: number of executions, None where that is not known.
            repeats_steps: a recorded step is computed twice.
        """
        self._chosen = None if length is None else self._spread(length, repeats_steps)

    def _spread(self, length: int, repeats_steps: bool) -> frozenset[int]:
        if self.samples == "all":
            return frozenset(range(length))
        limit = max(1, length // REPEATED_ONE_IN) if repeats_steps else length
        count = min(self.samples, limit)
        return frozenset(np.linspace(0, length - 1, count).round().astype(int).tolist())

    def due(self, execution: int) -> bool:
        """Return True where execution number `execution` of this epoch is recorded."""
        if self.samples == "all":
            return True
        if self._chosen is not None:
            return execution in self._chosen
        return execution == 0 or (execution >= 10 and math.log10(execution).is_integer())
