"""What a callback costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType


class Cost:
    """Seconds spent inside `with cost:`, the outermost counted once, plus what is added by hand.

    Args:
        clock: returns seconds; a fake one in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._depth = 0
        self._since = 0.0
        self._seconds = 0.0

    def __enter__(self) -> Cost:
        if self._depth == 0:
            self._since = self._clock()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._seconds += self._clock() - self._since

    def add(self, seconds: float) -> None:
        """Count time spent outside, as in a second tracing of the train step."""
        self._seconds += seconds

    def take(self) -> float:
        """The seconds since the last call, those of a hook still running included."""
        if self._depth:
            now = self._clock()
            self._seconds += now - self._since
            self._since = now
        seconds, self._seconds = self._seconds, 0.0
        return seconds
