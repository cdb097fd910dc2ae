"""The checks of a run's maps: which methods fail on this model, and in which words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keras_xai.analysis.formatting import percent
from keras_xai.recorded import Recorded, moment
from keras_xai.records import MapCheck

# The median move of maps that fails: of 11 networks that learned something it marks none, the largest move was 0.22; of 11 that
# were trained on shuffled labels it marks 5 (`python -m benchmarks.map_checks`, docs/attributions.md).
MOVED_LIMIT = 0.25
ERRORS = 2.0  # standard errors that an order is to lie above a random one


@dataclass(frozen=True)
class MapVerdict:
    """The verdict on the maps of one method at one update.

    Attributes:
        check: that it is of.
        sooner: the mean over samples of `deletion`, NaN where it is of none.
        error: its standard error.
        moved: the median over samples of `sensitivity`, NaN where it is of none.
    """

    check: MapCheck
    sooner: float
    error: float
    moved: float

    @classmethod
    def of(cls, check: MapCheck) -> MapVerdict:
        """Return the verdict on a check; a single sample has no standard error and no verdict on its order."""
        sooner = np.asarray(check.deletion, np.float64)
        sooner = sooner[np.isfinite(sooner)]
        moved = np.asarray(check.sensitivity, np.float64)
        moved = moved[np.isfinite(moved)]
        mean, error = (math.nan, math.nan)
        if len(sooner) > 1:
            mean, error = float(sooner.mean()), float(sooner.std(ddof=1) / math.sqrt(len(sooner)))
        return cls(check, mean, error, float(np.median(moved)) if len(moved) else math.nan)

    @property
    def fails_order(self) -> bool:
        """True where the order is not better than a random one by two standard errors."""
        return self.sooner - ERRORS * self.error <= 0

    @property
    def fails_noise(self) -> bool:
        """True where the noise moves half of the maps by a quarter of their size or more."""
        return self.moved >= MOVED_LIMIT

    @property
    def fails(self) -> bool:
        """True where the maps fail one of the checks."""
        return self.fails_order or self.fails_noise

    @property
    def faults(self) -> list[str]:
        """The checks that the maps fail, as sentences with what was measured."""
        sentences = []
        if self.fails_order:
            sentences.append(f"Its order is not shown to be better than a random one; {self._order_words}.")
        if self.fails_noise:
            sentences.append(f"It does not stay; {self._noise_words}, and {percent(MOVED_LIMIT)} is the limit.")
        return sentences

    @property
    def words(self) -> str:
        """All that was measured, as one clause; "" where it was nothing."""
        parts = []
        if math.isfinite(self.sooner):
            parts.append(self._order_words)
        if math.isfinite(self.moved):
            parts.append(self._noise_words)
        return "; ".join(parts)

    @property
    def _order_words(self) -> str:
        how_far = "less far" if self.sooner < 0 else "further"
        return (
            f"deletion: the score falls {percent(abs(self.sooner))} of its range {how_far} than in random orders "
            f"(±\u00a0{percent(self.error)})"
        )

    @property
    def _noise_words(self) -> str:
        noise, moved = percent(self.check.spread), percent(self.moved)
        return f"sensitivity: a noise of {noise} of the inputs' range moves its maps by {moved} of their size (median)"


def verdict_at(run: Recorded, method: str, update: int | None = None) -> MapVerdict | None:
    """Return the verdict on a method's maps by its last check at or before an update, default the last; None without one."""
    records = [check for check in run.map_checks.get(method, ()) if update is None or check.update <= update]
    return MapVerdict.of(records[-1]) if records else None


def words_on_checks(run: Recorded) -> list[tuple[str, bool]]:
    """Return a sentence on each method's last check, and whether it fails on this model."""
    sentences = []
    for method in run.map_checks:
        verdict = verdict_at(run, method)
        if verdict is None or not verdict.words:
            continue
        title, when = run.method_title(method), moment(run, verdict.check.update)
        if verdict.fails:
            sentences.append((f"{title} fails on this model ({when}). {' '.join(verdict.faults)}", True))
        else:
            sentences.append((f"{title} passes its checks ({when}): {verdict.words}.", False))
    return sentences
