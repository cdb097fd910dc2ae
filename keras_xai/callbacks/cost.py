"""What the callbacks cost, once and in each epoch, and when that is worth a word."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from types import TracebackType
from typing import NamedTuple

SHARE = 0.05  # of the training time; above it the callbacks say so, once
LEAST = 10.0  # seconds; below nobody cares
SETTLED = 3  # epochs; before, compiling is most of it


class Spent(NamedTuple):
    """Seconds of a callback: all of them, and how many of these come once: building, tracing and compiling."""

    seconds: float
    once: float = 0.0


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
        self._once = 0.0

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

    def add(self, seconds: float, *, once: bool = False) -> None:
        """Count time spent outside, as in building a second train step."""
        self._seconds += seconds
        if once:
            self._once += seconds

    def of_these_once(self, seconds: float) -> None:
        """So much of what is counted anyway comes once."""
        self._once += seconds

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """What is counted in here comes once, as what is made for a fit."""
        began = self._clock()
        try:
            yield
        finally:
            self._once += self._clock() - began

    def take(self) -> Spent:
        """The seconds since the last call, those of a hook still running included."""
        if self._depth:
            now = self._clock()
            self._seconds += now - self._since
            self._since = now
        spent = Spent(self._seconds, min(self._once, self._seconds))
        self._seconds = self._once = 0.0
        return spent


class Row(NamedTuple):
    """An epoch: seconds of the training, what of them was ours, and how much of that came once."""

    seconds: float
    cost: float
    once: float


class Ledger:
    """Seconds of our callbacks by name, against those of the training they stand in."""

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}
        self._once: dict[str, float] = {}
        self._numbers = array("d")  # of each epoch three, see `Row`: a long training holds no object an epoch
        self._told = False

    def enter(
        self,
        seconds: float,
        costs: Mapping[str, float],
        once: Mapping[str, float] | None = None,
        *,
        more: bool = False,
    ) -> None:
        """An epoch of `seconds`, of which `costs` were ours; how much of these came `once`. With `more` it is the epoch before
        that went on: the end of the training."""
        once = once or {}
        for total, part in ((self.costs, costs), (self._once, once)):
            for name, amount in part.items():
                total[name] = total.get(name, 0.0) + amount
        row = Row(seconds, sum(costs.values()), sum(once.values()))
        if more and self._numbers:
            row = Row(*(a + b for a, b in zip(self._numbers[-3:], row, strict=True)))
            del self._numbers[-3:]
        self._numbers.extend(row)

    @property
    def _rows(self) -> list[Row]:
        return [Row(*self._numbers[k : k + 3]) for k in range(0, len(self._numbers), 3)]

    @property
    def once(self) -> float:
        """Seconds that came once. What an epoch usually takes is none of it: a first pass is a pass, too."""
        settled = [row.cost for row in self._rows if not row.once]
        looked_at = [cost for cost in settled if cost >= max(settled) / 2]
        usual = median(looked_at) if looked_at else 0.0
        return sum(min(row.once, max(0.0, row.cost - usual)) for row in self._rows)

    @property
    def each(self) -> float:
        """Seconds an epoch, where nothing is built; over all epochs where something is in each."""
        return self._settled().cost / max(1, len([row for row in self._rows if not row.once]) or len(self._rows))

    @property
    def share(self) -> float:
        """The same as a part of the epoch's seconds."""
        settled = self._settled()
        return settled.cost / settled.seconds if settled.seconds > 0 else 0.0

    def _settled(self) -> Row:
        """The sum of the epochs in which nothing was built, or of all without what came once."""
        rows = [row for row in self._rows if not row.once]
        if not rows:
            once = self.once
            rows = [*self._rows, Row(-once, -once, -once)]
        return Row(*(sum(column) for column in zip(*rows, strict=True)))

    def notice(self, cheaper: Mapping[str, str]) -> str | None:
        """After an epoch: which part costs what and what to change, once, where the share is above `SHARE`.

        What comes once is not held against an epoch: it weighs less with every other.

        Args:
            cheaper: by callback, what makes it cost less.
        """
        lasting = {name: cost - self._once.get(name, 0.0) for name, cost in self.costs.items()}
        dear = len(self._rows) >= SETTLED and sum(lasting.values()) >= LEAST and self.share > SHARE
        if self._told or not dear:
            return None
        self._told = True
        most = max(lasting, key=lambda name: lasting[name])
        advice = f" To spend less: {cheaper[most]}." if cheaper.get(most) else ""
        return f"The callbacks took {self._in_words()} so far.{advice}"

    def line(self) -> str:
        """What it was in all, when the training ends."""
        return f"the callbacks took {self._in_words()}"

    def _in_words(self) -> str:
        once = self.once
        parts = sorted(self.costs.items(), key=lambda part: -part[1])
        named = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts)
        compiling = f"{once:.1f} s once to compile, then " if once >= 0.05 else ""
        return f"{compiling}{_seconds(self.each)} an epoch ({self.share:.1%}) (in all: {named})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
