"""The control chart of importance: each feature's move, in units of the run's own past moves.

A threshold on the distance between two epochs fits one data set and not the next; one on a feature's move over its usual
moves fits all. The form is Shewhart's chart on differences, with a variance shrunk half-way to the pooled one.
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

MAX_HISTORY = 12  # past moves from which the usual deviation is estimated, at most
MIN_HISTORY = 6  # from fewer it is not estimated: no score
RECENT_MOVES = 3  # of the history, which count by themselves inside an epoch: moves come in bursts there
MOVE_LAGS = (1, 2)  # updates between the two shares of a move: some changes take two updates to show in full
MIN_DEVIATION = 1e-4  # added to the usual deviation, which is 0 for a feature that never moved
MIN_MOVE = 0.002  # of a share: a smaller move is no alarm, however rare


@dataclass(frozen=True, eq=False)
class ChartUpdate:
    """Result of one update of a chart; arrays are (F), float64."""

    score: float  # max |z|; NaN before there is a history, and where the importance could not be scored
    z: NDArray[np.float64]
    before: NDArray[np.float64]  # the share at the beginning of the tested move
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
    """A chart of shares, which is given one vector of them at each update.

    Cost:
        Well under a millisecond an update for 100 features.

    Args:
        limit: |z| above which a feature raises an alarm.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, limit: float = 6.0, burn_in: int = 8, cooldown: int = 3) -> None:
        self.limit = limit
        self._shares: deque[NDArray[np.float64]] = deque(maxlen=MAX_HISTORY + 2 * max(MOVE_LAGS) + 1)
        self._rates: deque[float] = deque(maxlen=MAX_HISTORY + 2 * max(MOVE_LAGS) + 1)
        self._updates = 0
        self._timer = AlarmTimer(burn_in, cooldown)

    def update(
        self, share: NDArray[np.floating], learning_rate: float = 1.0, *, inside_epochs: bool = False
    ) -> ChartUpdate:
        """Score the move from the shares before.

        Args:
            share: (F) non-negative; normalised to a sum of 1 here. One that is not finite or all zero is not scored and leaves
                the chart as it was.
            learning_rate: of the update; NaN where it is not known.
            inside_epochs: updates are made inside epochs, too: the usual move is never below that of the last three.
        """
        share = np.asarray(share, np.float64)
        total = share.sum()
        if not np.isfinite(total) or total <= 0:
            zeros = np.zeros(share.shape)
            return ChartUpdate(np.nan, zeros, zeros, zeros, zeros.astype(bool), alarm=False, rising=False)
        update = self._updates
        self._updates += 1
        self._shares.append(share / total)
        last_rate = self._rates[-1] if self._rates else 1.0  # an unknown rate counts as unchanged
        self._rates.append(learning_rate if np.isfinite(learning_rate) else last_rate)

        shares, rates = np.stack(self._shares), np.asarray(self._rates)
        z, moved = np.zeros(share.shape), np.zeros(share.shape)
        scored = rising = False
        for lag in MOVE_LAGS:
            moves = shares[lag:] - shares[:-lag]
            history = moves[:-lag][-MAX_HISTORY:]  # none that overlaps the tested move
            if len(history) < MIN_HISTORY:
                continue
            # After a warm restart all shares move more: the deviation grows with the learning rate, and never shrinks with it.
            usual_rate = float(np.median(rates[:-lag][-len(history) :]))
            factor = max(1.0, float(rates[-lag:].mean()) / max(usual_rate, 1e-12))
            rising |= factor > 1.0
            centre = history.mean(0) / 2
            recent = RECENT_MOVES if inside_epochs else 0
            z_of_lag = (moves[-1] - centre) / (usual_deviation(history, centre, recent) * factor)
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

    def update_measured(
        self, share: NDArray[np.floating], learning_rate: float = 1.0, *, inside_epochs: bool = False
    ) -> ChartUpdate:
        """Score the features that are measured; those that are NaN in `share` (F) have z = 0 and shares of 0."""
        measured = ~np.isnan(share)
        if measured.all() or not measured.any():
            return self.update(share, learning_rate, inside_epochs=inside_epochs)
        update = self.update(share[measured], learning_rate, inside_epochs=inside_epochs)

        def of_all_features(values: NDArray[Any]) -> NDArray[Any]:
            zero_filled = np.zeros(share.shape, values.dtype)
            zero_filled[measured] = values
            return zero_filled

        return dataclasses.replace(
            update,
            z=of_all_features(update.z),
            before=of_all_features(update.before),
            after=of_all_features(update.after),
            exceeds=of_all_features(update.exceeds),
        )


def usual_deviation(history: NDArray[np.float64], centre: NDArray[np.float64], recent: int = 0) -> NDArray[np.float64]:
    """Return the usual deviation of each feature: the root of the mean of its own variance and the pooled one.

    Args:
        history: (moves, F) past moves.
        centre: (F) from which they deviate.
        recent: a feature's own variance is at least that of so many last moves; 0 for no such floor.

    Returns:
        (F) above 0.
    """
    squares = (history - centre) ** 2
    variance = squares.mean(0)
    if recent:
        variance = np.maximum(variance, squares[-recent:].mean(0))
    return np.sqrt((variance + variance.mean()) / 2) + MIN_DEVIATION
