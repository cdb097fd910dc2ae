"""The schedule on which a callback looks at the model."""

from __future__ import annotations

from collections.abc import Callable

from keras_xai.errors import check_int

Every = int | Callable[[int], bool]


class Schedule:
    """Every n-th epoch counted from 0, or the epochs that a function picks; the first and the last always.

    Raises:
        InvalidInput: `every` is neither a positive integer nor callable.
    """

    def __init__(self, every: Every) -> None:
        if not callable(every):
            check_int("every", every, expected="a positive integer (every n-th epoch) or a function epoch -> bool")
        self._every = every

    def due(self, epoch: int, first: int, last: int | None) -> bool:
        """Return True where `epoch` is looked at in a fit that began at `first` and is to end with `last`."""
        if epoch in (first, last):
            return True
        return bool(self._every(epoch)) if callable(self._every) else epoch % self._every == 0
