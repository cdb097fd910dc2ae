"""The schedule on which a callback looks at the model: every n-th epoch, or every n training steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from keras_xai.errors import InvalidInput, check_int

AUTO = "auto"
EXPECTED = (
    "a positive integer or 'n epochs' (every n-th epoch), a function epoch -> bool, 'n steps' or kx.steps(n) (every n training "
    "steps), or 'auto' (at most 30 updates over the whole training, beside the ends of epochs)"
)


@dataclass(frozen=True)
class Steps:
    """An interval of so many training steps; see `steps`."""

    count: int


def steps(count: int) -> Steps:
    """Return an interval of training steps, for the argument `every` of a callback.

    An update is made each time that the number of steps done passes a multiple of `count`, and at the end of each epoch. A step
    is one batch: `count` is not affected by `steps_per_execution`, nor by gradient accumulation.

    Args:
        count: 1 or more.

    Raises:
        InvalidInput: no positive integer.

    Example:
        >>> steps(200)
        Steps(count=200)
    """
    return Steps(check_int("steps", count, expected="a number of training steps, 1 or more"))


Every = int | Callable[[int], bool] | Steps | str


class Schedule:
    """Every n-th epoch counted from 0, or the epochs that a function picks, the first and the last always; or every n steps.

    Args:
        every: see `EXPECTED`.

    Attributes:
        interval: so many training steps; None where epochs are counted, and for "auto".
        is_auto: the interval is chosen once the training has begun.

    Raises:
        InvalidInput: `every` is none of these.
    """

    def __init__(self, every: Every) -> None:
        self.interval: int | None = None
        self.is_auto = every == AUTO if isinstance(every, str) else False
        if isinstance(every, Steps):
            self.interval = steps(every.count).count
        elif isinstance(every, str) and not self.is_auto:
            match = re.fullmatch(r"\s*(\d+)\s+(step|epoch)s?\s*", every)
            if match is None or not int(match.group(1)):
                raise InvalidInput(f"every={every!r}: expected {EXPECTED}.")
            count = int(match.group(1))
            if match.group(2) == "step":
                self.interval = count
            every = count
        elif not callable(every) and not self.is_auto:
            check_int("every", every, expected=EXPECTED)
        self._every = every

    @property
    def counts_steps(self) -> bool:
        """True for every n steps, and for "auto"."""
        return self.is_auto or self.interval is not None

    def due(self, epoch: int, first: int, last: int | None) -> bool:
        """Return True where the end of `epoch` is looked at in a fit that began at `first` and is to end with `last`."""
        if self.counts_steps or epoch in (first, last):
            return True
        if callable(self._every):
            return bool(self._every(epoch))
        assert isinstance(self._every, int)
        return epoch % self._every == 0
