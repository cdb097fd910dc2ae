"""What the callbacks cost, and when that is worth a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

SHARE = 0.05  # of the training time; above it the callbacks say so, once
LEAST = 10.0  # seconds; below nobody cares
SETTLED = 3  # epochs; before, tracing is most of it


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


class Ledger:
    """Seconds of our callbacks by name, against those of the training they stand in."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of the training, ours included
        self.costs: dict[str, float] = {}
        self.epochs = 0
        self._first = (0.0, 0.0)  # seconds and cost of the first epoch, in which functions are traced
        self._told = False

    def enter(self, seconds: float, costs: Mapping[str, float]) -> None:
        """`seconds` more of training, of which `costs` were ours."""
        self.seconds += seconds
        for name, cost in costs.items():
            self.costs[name] = self.costs.get(name, 0.0) + cost

    @property
    def cost(self) -> float:
        """Seconds of all callbacks."""
        return sum(self.costs.values())

    def notice(self, cheaper: Mapping[str, str]) -> str | None:
        """After an epoch: which part costs what and what to change, once, where the share is above `SHARE`.

        Args:
            cheaper: by callback, what makes it cost less.
        """
        self.epochs += 1
        if self.epochs == 1:
            self._first = self.seconds, self.cost
        dear = self.epochs >= SETTLED and self.cost >= LEAST and self.cost > SHARE * self.seconds
        if self._told or not dear:
            return None
        self._told = True
        most = max(self.costs, key=lambda name: self.costs[name])
        advice = f" To spend less: {cheaper[most]}." if cheaper.get(most) else ""
        if self.cost - self._first[1] <= SHARE * (self.seconds - self._first[0]):
            advice = (
                f" {self._first[1]:.1f} s of it were in the first epoch, in which functions are traced: the share falls"
                " with every other."
            )
        return f"The callbacks took {self._shares()} so far.{advice}"

    def line(self) -> str:
        """What it was in all, when the training ends."""
        return f"the callbacks took {self._shares()}"

    def _shares(self) -> str:
        share = self.cost / self.seconds if self.seconds > 0 else 0.0
        parts = sorted(self.costs.items(), key=lambda part: -part[1])
        each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts)
        return f"{share:.1%} of the training time ({self.cost:.1f} of {self.seconds:.1f} s: {each})"
