"""The control chart of the inputs: whether the values of the same rows moved more than between earlier reads.

Where a pipeline draws its noise anew at each read, a hash of the rows always differs, and the attribution of a few
hundred rows is too noisy to score. The movement of the values is not, and it needs no model.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.drift.control_chart import MAX_HISTORY, MIN_HISTORY, AlarmTimer, ChartUpdate, usual_deviation

MAX_DISTANCE = 3.0  # in usual ranges: without a bound, outliers of heavy-tailed noise would decide the mean of squares


class InputDriftChart:
    """A chart of each feature's movement between reads of the same rows in the same order.

    It keeps the last two reads (B × F float64).

    Args:
        limit: |z| above which a feature raises an alarm.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, limit: float = 7.0, burn_in: int = 8, cooldown: int = 3) -> None:
        self.limit = limit
        self._reads: deque[NDArray[np.float64]] = deque(maxlen=2)
        self._range: NDArray[np.float64] | None = None
        self._movements: deque[NDArray[np.float64]] = deque(maxlen=MAX_HISTORY)
        self._updates = 0
        self._timer = AlarmTimer(burn_in, cooldown)

    def movement(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far each feature of a new read lies from the two reads before.

        Args:
            rows: (B, F) the read.

        Returns:
            (F) the root mean square over rows of the distance to a row's mean over the two reads before, in units of the
            feature's usual range and clipped at 3 of these; NaN for the first two reads.
        """
        rows = rows.astype(np.float64)
        if self._range is None:
            self._range = _usual_range(rows)
        if len(self._reads) < 2:
            movement = np.full(rows.shape[1], np.nan)
        else:
            distance = (rows - (self._reads[0] + self._reads[1]) / 2) / self._range
            movement = np.sqrt((np.clip(distance, -MAX_DISTANCE, MAX_DISTANCE) ** 2).mean(0))
        self._reads.append(rows)
        return movement

    def update(self, movement: NDArray[Any]) -> ChartUpdate:
        """Score a movement (F); one that is not finite counts as an update but is not scored."""
        movement = movement.astype(np.float64)
        update = self._updates
        self._updates += 1
        z, usual, score = np.zeros(movement.shape), np.zeros(movement.shape), np.nan
        if np.isfinite(movement).all():
            if len(self._movements) >= MIN_HISTORY:
                history = np.stack(self._movements)
                usual = history.mean(0)
                z = (movement - usual) / usual_deviation(history, usual)
                score = float(np.abs(z).max())
            self._movements.append(movement)
        exceeds = np.abs(z) > self.limit
        alarm = self._timer.alarm(update, bool(exceeds.any()))
        return ChartUpdate(score, z, before=usual, after=movement, exceeds=exceeds, alarm=alarm, rising=False)


def _usual_range(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a robust standard deviation (F) of rows (B, F), above 0: the inner 90 % of a normal distribution are 3.3 wide."""
    low, high = np.quantile(rows, [0.05, 0.95], axis=0)
    spread = np.where(high > low, (high - low) / 3.3, rows.std(0))
    # A feature that hardly varies gets a fifth of the median range, of all features or else of those that vary.
    smallest = 0.2 * float(np.median(spread))
    positive = spread[spread > 0]
    if smallest == 0 and positive.size:
        smallest = 0.2 * float(np.median(positive))
    return np.maximum(spread, smallest or 1.0)
