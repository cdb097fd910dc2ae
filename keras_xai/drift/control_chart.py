"""The control chart of importance: each feature's move, in units of the run's own past moves.

Thresholds on distances between epochs do not travel from one data set to the next; a feature's move scaled by the moves it
usually makes does. The form is Shewhart's chart on differences, with a variance shrunk half-way to the pooled one.
Compared with: epoch-to-epoch attribution change (Dhayalkar 2026, arXiv 2601.11625), explanation shift (Mougan et al.
2023, arXiv 2303.08081).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HISTORY = 12  # past moves from which the usual deviation is taken
MIN_HISTORY = 6  # fewer give none
LAGS = (1, 2)  # updates: a change that takes two of them to show is as large over two
MIN_DEVIATION = 1e-4  # added to the usual deviation: a feature that never moved has none of its own
MIN_MOVE = 0.002  # of a share: what moves by less is no alarm, however rare


@dataclass(frozen=True, eq=False)
class ChartUpdate:
    """Result of one update of a chart; arrays are (F), float64."""

    score: float  # max |z|; NaN before there is a history, and where the importance could not be scored
    z: NDArray[np.float64]
    before: NDArray[np.float64]  # the share at the begin of the tested move
    after: NDArray[np.float64]
    exceeds: NDArray[np.bool_]  # |z| is over the limit, and the move is not too small to matter
    alarm: bool
    rising: bool  # the learning rate is above what it was over the history

    def features_over_limit(self) -> NDArray[np.int64]:
        """Return the features that exceed the limit, the largest |z| first."""
        order = np.argsort(-np.abs(self.z), kind="stable")
        return order[self.exceeds[order]]


class AlarmTimer:
    """Permits an alarm once the burn-in is over, and not again before the cooldown is.

    Args:
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, burn_in: int, cooldown: int) -> None:
        self._burn_in, self._cooldown = burn_in, cooldown
        self._last_alarm: int | None = None

    def alarm(self, update: int, exceeds: bool) -> bool:
        """Return True where this update is an alarm, which begins the cooldown."""
        is_cool = self._last_alarm is None or update - self._last_alarm > self._cooldown
        if not (exceeds and update >= self._burn_in and is_cool):
            return False
        self._last_alarm = update
        return True


class ControlChart:
    """A chart fed with one share vector an update; well under a millisecond for 100 features.

    Args:
        limit: |z| above which a feature raises an alarm.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, limit: float = 6.0, burn_in: int = 8, cooldown: int = 3) -> None:
        self.limit = limit
        self._shares: deque[NDArray[np.float64]] = deque(maxlen=HISTORY + 2 * max(LAGS) + 1)
        self._rates: deque[float] = deque(maxlen=HISTORY + 2 * max(LAGS) + 1)
        self._updates = 0
        self._timer = AlarmTimer(burn_in, cooldown)

    def update(self, share: NDArray[np.floating], learning_rate: float = 1.0) -> ChartUpdate:
        """Score the move to `share` (F), a non-negative vector; it is normalised here.

        A share that is not finite or all zero is not scored and leaves the chart as it was.
        """
        share = np.asarray(share, np.float64)
        total = share.sum()
        if not np.isfinite(total) or total <= 0:
            zeros = np.zeros(share.shape)
            return ChartUpdate(np.nan, zeros, zeros, zeros, zeros.astype(bool), alarm=False, rising=False)
        update = self._updates
        self._updates += 1
        self._shares.append(share / total)
        last_rate = self._rates[-1] if self._rates else 1.0  # a rate that is not known is no jump
        self._rates.append(learning_rate if np.isfinite(learning_rate) else last_rate)

        shares, rates = np.stack(self._shares), np.asarray(self._rates)
        z, moved = np.zeros(share.shape), np.zeros(share.shape)
        scored = rising = False
        for lag in LAGS:
            moves = shares[lag:] - shares[:-lag]
            history = moves[:-lag][-HISTORY:]  # none that overlaps the tested move
            if len(history) < MIN_HISTORY:
                continue
            # A warm restart moves everything more: the deviation grows with the learning rate, it never shrinks with it.
            usual_rate = float(np.median(rates[:-lag][-len(history) :]))
            factor = max(1.0, float(rates[-lag:].mean()) / max(usual_rate, 1e-12))
            rising |= factor > 1.0
            centre = history.mean(0) / 2
            z_of_lag = (moves[-1] - centre) / (usual_deviation(history, centre) * factor)
            larger = np.abs(z_of_lag) > np.abs(z)
            z, moved = np.where(larger, z_of_lag, z), np.where(larger, moves[-1], moved)
            scored = True

        exceeds = (np.abs(z) > self.limit) & (np.abs(moved) >= MIN_MOVE)
        return ChartUpdate(
            score=float(np.abs(z).max()) if scored else np.nan,
            z=z,
            before=shares[-1] - moved,
            after=shares[-1],
            exceeds=exceeds,
            alarm=self._timer.alarm(update, bool(exceeds.any())),
            rising=rising,
        )

    def update_measured(self, share: NDArray[np.floating], learning_rate: float = 1.0) -> ChartUpdate:
        """Score the features that are measured; of those that are NaN in `share` (F) nothing is said."""
        measured = ~np.isnan(share)
        if measured.all() or not measured.any():
            return self.update(share, learning_rate)
        update = self.update(share[measured], learning_rate)

        def filled(values: NDArray[Any]) -> NDArray[Any]:
            all_features = np.zeros(share.shape, values.dtype)
            all_features[measured] = values
            return all_features

        z, before, after = filled(update.z), filled(update.before), filled(update.after)
        return dataclasses.replace(update, z=z, before=before, after=after, exceeds=filled(update.exceeds))


def usual_deviation(history: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the usual deviation (F) of the rows of `history` from `centre`: half a feature's own variance, half the pooled
    one."""
    variance = ((history - centre) ** 2).mean(0)
    return np.sqrt((variance + variance.mean()) / 2) + MIN_DEVIATION
