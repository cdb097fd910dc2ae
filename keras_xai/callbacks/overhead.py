"""The time that the callbacks take, once and in each epoch, and when the user is told of it."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from types import TracebackType
from typing import NamedTuple

# A training is noted as slowed down, once, where all three are exceeded.
NOTICE_ABOVE = 0.05  # share of the training time
NOTICE_AFTER_SECONDS = 10.0  # spent in our callbacks
NOTICE_AFTER_EPOCHS = 3  # in the first ones compiling is most of the cost


class TimeSpent(NamedTuple):
    """Seconds that a callback took."""

    seconds: float  # in all
    once: float = 0.0  # of these, what comes once in a fit: building, tracing and compiling


class Stopwatch:
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

    def __enter__(self) -> Stopwatch:
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

    def mark_once(self, seconds: float) -> None:
        """Mark so many of the seconds that are counted anyway as cost that comes once."""
        self._once += seconds

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Mark the seconds inside as cost that comes once in a fit."""
        began = self._clock()
        try:
            yield
        finally:
            self._once += self._clock() - began

    def take(self) -> TimeSpent:
        """Return the seconds since the last call, those of a hook still running included."""
        if self._depth:
            time_of_call = self._clock()
            self._seconds += time_of_call - self._since
            self._since = time_of_call
        spent = TimeSpent(self._seconds, min(self._once, self._seconds))
        self._seconds = self._once = 0.0
        return spent


class EpochTime(NamedTuple):
    """Seconds of one epoch."""

    seconds: float  # of the training
    cost: float  # of these, spent in our callbacks
    once: float  # of the cost, what came once


class OverheadLedger:
    """The seconds that our callbacks took, by name, and those of the training, epoch by epoch, or update by update."""

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}
        self._once: dict[str, float] = {}
        # Three of each epoch, see `EpochTime`: plain numbers, since a training may have many epochs.
        self._numbers = array("d")
        self._has_noticed = False
        self.counts_epochs = True  # False where there is a row for each update inside an epoch, too

    def enter(
        self,
        seconds: float,
        costs: Mapping[str, float],
        once: Mapping[str, float] | None = None,
        *,
        extends_last: bool = False,
    ) -> None:
        """Enter an epoch.

        Args:
            seconds: of the training.
            costs: of these, spent in our callbacks, by their names.
            once: of the costs, what comes once.
            extends_last: this is no epoch but the end of the training, which is added to the last epoch.
        """
        once = once or {}
        _add(self.costs, costs)
        _add(self._once, once)
        row = EpochTime(seconds, sum(costs.values()), sum(once.values()))
        if extends_last and self._numbers:
            row = EpochTime(*(a + b for a, b in zip(self._numbers[-3:], row, strict=True)))
            del self._numbers[-3:]
        self._numbers.extend(row)

    @property
    def _rows(self) -> list[EpochTime]:
        return [EpochTime(*self._numbers[k : k + 3]) for k in range(0, len(self._numbers), 3)]

    @property
    def once(self) -> float:
        """Seconds that came once. What an epoch usually costs is taken off: the pass that compiles also is a pass."""
        usual_costs = [row.cost for row in self._rows if not row.once]
        scheduled = [cost for cost in usual_costs if cost >= max(usual_costs) / 2]  # cheap epochs were not recorded
        usual = median(scheduled) if scheduled else 0.0
        return sum(min(row.once, max(0.0, row.cost - usual)) for row in self._rows)

    @property
    def seconds_per_epoch(self) -> float:
        """The callbacks' mean seconds in the epochs in which nothing is built; in all of them where there is none."""
        epochs = len([row for row in self._rows if not row.once]) or len(self._rows)
        return self._usual_sum().cost / max(1, epochs)

    @property
    def share(self) -> float:
        """The callbacks' seconds over those of the training, in the same epochs as `seconds_per_epoch`."""
        total = self._usual_sum()
        return total.cost / total.seconds if total.seconds > 0 else 0.0

    def _usual_sum(self) -> EpochTime:
        """Return the sum of the epochs in which nothing was built, or of all without what came once."""
        rows = [row for row in self._rows if not row.once]
        if not rows:
            once = self.once
            rows = [*self._rows, EpochTime(-once, -once, -once)]
        return EpochTime(*(sum(column) for column in zip(*rows, strict=True)))

    def notice(self, hints: Mapping[str, str]) -> str | None:
        """Return, once, what each callback costs and what to change, where the share is above 5 %; else None.

        Cost that comes once does not count: with every further epoch it is a smaller share.

        Args:
            hints: by callback, what makes it cost less.
        """
        lasting = {name: cost - self._once.get(name, 0.0) for name, cost in self.costs.items()}
        is_known = len(self._rows) >= NOTICE_AFTER_EPOCHS and sum(lasting.values()) >= NOTICE_AFTER_SECONDS
        if self._has_noticed or not is_known or self.share <= NOTICE_ABOVE:
            return None
        self._has_noticed = True
        largest = max(lasting, key=lambda name: lasting[name])
        advice = f" To spend less: {hints[largest]}." if hints.get(largest) else ""
        return f"The callbacks took {self._in_words()} so far.{advice}"

    def line(self) -> str:
        """Return the cost of the whole training as a sentence without a full stop."""
        return f"the callbacks took {self._in_words()}"

    def _in_words(self) -> str:
        once = self.once
        parts = sorted(self.costs.items(), key=lambda part: -part[1])
        named = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts)
        compiling = f"{once:.1f} s once to compile, then " if once >= 0.05 else ""
        row = "epoch" if self.counts_epochs else "update"
        return f"{compiling}{_seconds(self.seconds_per_epoch)} an {row} ({self.share:.1%}) (in all: {named})"


def _add(totals: dict[str, float], amounts: Mapping[str, float]) -> None:
    for name, amount in amounts.items():
        totals[name] = totals.get(name, 0.0) + amount


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds:.2f} s" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
