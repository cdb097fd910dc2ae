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

WINDOW = 12  # past moves that make the scale
LEAST = 6  # fewer make none
LAGS = (1, 2)  # a change that takes two epochs to show is as large over two
FLOOR = 1e-4  # of the scale: a feature that never moved has no usual move
EFFECT = 0.002  # a share that moves by less is not worth a word, however rare


@dataclass(frozen=True, eq=False)
class Update:
    """What one update of a chart found; arrays are (F), float64."""

    score: float  # max |z|; NaN before there is a history, and where the importance could not be scored
    z: NDArray[np.float64]
    before: NDArray[np.float64]  # the share at the begin of the tested move
    after: NDArray[np.float64]
    hit: NDArray[np.bool_]
    alarm: bool
    rising: bool  # the learning rate is above what it was over the history

    def guilty(self) -> NDArray[np.int64]:
        """The features that were hit, the largest |z| first."""
        order = np.argsort(-np.abs(self.z), kind="stable")
        return order[self.hit[order]]


class Chart:
    """A chart fed with one share vector an update; well under a millisecond for 100 features.

    Args:
        limit: |z| above which a feature is hit.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, limit: float = 6.0, burn_in: int = 8, cooldown: int = 3) -> None:
        self.limit, self.burn_in, self.cooldown = limit, burn_in, cooldown
        self._shares: deque[NDArray[np.float64]] = deque(maxlen=WINDOW + 2 * max(LAGS) + 1)
        self._rates: deque[float] = deque(maxlen=WINDOW + 2 * max(LAGS) + 1)
        self._updates = 0
        self._last_alarm: int | None = None

    def update(self, share: NDArray[np.floating], learning_rate: float = 1.0) -> Update:
        """Score the move to `share` (F), a non-negative vector; it is normalised here.

        A share that is not finite or all zero is not scored and leaves the chart as it was.
        """
        share = np.asarray(share, np.float64)
        total = share.sum()
        if not np.isfinite(total) or total <= 0:
            nothing = np.zeros(share.shape)
            return Update(np.nan, nothing, nothing, nothing, nothing.astype(bool), alarm=False, rising=False)
        now = self._updates
        self._updates += 1
        self._shares.append(share / total)
        known = self._rates[-1] if self._rates else 1.0  # one that is not known is no jump
        self._rates.append(learning_rate if np.isfinite(learning_rate) else known)

        shares, rates = np.stack(self._shares), np.asarray(self._rates)
        z, moved = np.zeros(share.shape), np.zeros(share.shape)
        scored = rising = False
        for lag in LAGS:
            moves = shares[lag:] - shares[:-lag]
            history = moves[:-lag][-WINDOW:]  # none that overlaps the tested move
            if len(history) < LEAST:
                continue
            # A warm restart moves everything more: the scale grows with the learning rate, it never shrinks with it.
            usual = float(np.median(rates[:-lag][-len(history) :]))
            factor = max(1.0, float(rates[-lag:].mean()) / max(usual, 1e-12))
            rising |= factor > 1.0
            found = (moves[-1] - history.mean(0) / 2) / (scale(history, history.mean(0) / 2) * factor)
            larger = np.abs(found) > np.abs(z)
            z, moved = np.where(larger, found, z), np.where(larger, moves[-1], moved)
            scored = True

        hit = (np.abs(z) > self.limit) & (np.abs(moved) >= EFFECT)
        alarm = bool(hit.any()) and now >= self.burn_in and self._rested(now)
        if alarm:
            self._last_alarm = now
        return Update(
            score=float(np.abs(z).max()) if scored else np.nan,
            z=z,
            before=shares[-1] - moved,
            after=shares[-1],
            hit=hit,
            alarm=alarm,
            rising=rising,
        )

    def update_measured(self, share: NDArray[np.floating], learning_rate: float = 1.0) -> Update:
        """`update` by the features that are measured, where NaN (F) are those that cannot be: nothing is said of them."""
        measured = ~np.isnan(share)
        if measured.all() or not measured.any():
            return self.update(share, learning_rate)
        update = self.update(share[measured], learning_rate)

        def spread(values: NDArray[Any]) -> NDArray[Any]:
            whole = np.zeros(share.shape, values.dtype)
            whole[measured] = values
            return whole

        z, before, after, hit = map(spread, (update.z, update.before, update.after, update.hit))
        return dataclasses.replace(update, z=z, before=before, after=after, hit=hit)

    def _rested(self, now: int) -> bool:
        return self._last_alarm is None or now - self._last_alarm > self.cooldown


def scale(history: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """The usual deviation (F) of the rows of `history` from `centre`: half a feature's own variance, half the pooled one."""
    variance = ((history - centre) ** 2).mean(0)
    return np.sqrt((variance + variance.mean()) / 2) + FLOOR
