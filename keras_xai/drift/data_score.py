"""The control chart of the data themselves: did the same rows come out of the pipeline differently than before?

Where a pipeline draws its noise anew at each read, a hash of the rows always differs and the attribution of a few
hundred rows is blurred. The rows' own movement is not: it needs no model and no second read.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.drift.detector import LEAST, WINDOW, Update, scale

CLIP = 3.0  # heavy-tailed noise would own a mean of raw squares


class DataScore:
    """Movement of each feature between reads, and how unusual it is.

    Fed with the same rows in the same order at each update; keeps two reads of them (rows × F float64).

    Args:
        limit: |z| above which a feature is hit.
        burn_in: updates before the first alarm.
        cooldown: an alarm needs more than so many updates since the last one.
    """

    def __init__(self, limit: float = 7.0, burn_in: int = 8, cooldown: int = 3) -> None:
        self.limit, self.burn_in, self.cooldown = limit, burn_in, cooldown
        self._reads: deque[NDArray[np.float64]] = deque(maxlen=2)
        self._range: NDArray[np.float64] | None = None
        self._history: deque[NDArray[np.float64]] = deque(maxlen=WINDOW)
        self._updates = 0
        self._last_alarm: int | None = None

    def movement(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """q (F): root mean square over `rows` (B, F) of the clipped distance to their mean over the two reads before,
        in units of the feature's range; NaN for the first two reads."""
        rows = rows.astype(np.float64)
        if self._range is None:
            self._range = _usual_range(rows)
        if len(self._reads) < 2:
            q = np.full(rows.shape[1], np.nan)
        else:
            distance = (rows - (self._reads[0] + self._reads[1]) / 2) / self._range
            q = np.sqrt((np.clip(distance, -CLIP, CLIP) ** 2).mean(0))
        self._reads.append(rows)
        return q

    def update(self, q: NDArray[Any]) -> Update:
        """Score a movement q (F); one that is not finite counts as an update but is not scored."""
        q = q.astype(np.float64)
        now = self._updates
        self._updates += 1
        z, scored = np.zeros(q.shape), False
        usual = np.zeros(q.shape)
        if np.isfinite(q).all():
            if len(self._history) >= LEAST:
                history = np.stack(self._history)
                usual = history.mean(0)
                z, scored = (q - usual) / scale(history, usual), True
            self._history.append(q)
        hit = np.abs(z) > self.limit
        rested = self._last_alarm is None or now - self._last_alarm > self.cooldown
        alarm = bool(hit.any()) and now >= self.burn_in and rested
        if alarm:
            self._last_alarm = now
        score = float(np.abs(z).max()) if scored else np.nan
        return Update(score, z, before=usual, after=q, hit=hit, alarm=alarm, rising=False)


def _usual_range(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """A standard deviation (F) that outliers cannot move: the inner 90 % of a normal is 3.3 of them wide."""
    low, high = np.quantile(rows, [0.05, 0.95], axis=0)
    spread = np.where(high > low, (high - low) / 3.3, rows.std(0))
    positive = spread[spread > 0]
    least = 0.2 * float(np.median(spread)) or (0.2 * float(np.median(positive)) if positive.size else 1.0)
    return np.maximum(spread, least)
