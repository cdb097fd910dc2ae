"""When a callback looks."""

from __future__ import annotations

import operator
from collections.abc import Callable

from keras_xai.errors import InvalidInput

Every = int | Callable[[int], bool]


class Schedule:
    """Every n-th epoch counted from 0, or the epochs that a function picks; the first and the last always.

    Raises:
        InvalidInput: `every` is neither a positive integer nor callable.
    """

    def __init__(self, every: Every) -> None:
        if not callable(every):
            try:
                count = 0 if isinstance(every, bool) else operator.index(every)
            except TypeError:
                count = 0
            if count < 1:
                raise InvalidInput(
                    f"every={every!r}: expected a positive integer (every n-th epoch) or a function epoch -> bool."
                )
        self._every = every

    def due(self, epoch: int, first: int, last: int | None) -> bool:
        """Whether `epoch` is looked at in a fit that began at `first` and is to end with `last`."""
        if epoch in (first, last):
            return True
        return bool(self._every(epoch)) if callable(self._every) else epoch % self._every == 0
