"""The share of attribution inside a region: relevance mass accuracy (Arras et al. 2022, Information Fusion 81)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe
from keras_xai.records import Attribution
from keras_xai.tree import leaves


class RegionShare:
    """Measures, while attributions of a probe's rows pass by, how much of each lies inside the probe's region.

    Args:
        probe: with a region.

    Attributes:
        rows: (B) Σ |attribution| inside / Σ |attribution|, 0 to 1; NaN of a row without any.
    """

    def __init__(self, probe: Probe) -> None:
        assert probe.region is not None
        self._region = probe.region
        self._input = probe.spatial_input
        self._spatial = probe.spatial
        self.rows: NDArray[np.float64] = np.zeros(0)

    def of(self, parts: Iterable[Attribution]) -> Iterator[Attribution]:
        """Yield attributions that come some rows at a time, in order, as they are."""
        shares, begin = [], 0
        for part in parts:
            magnitude = np.abs(np.asarray(leaves(part.values)[self._input], np.float64))
            if magnitude.ndim > self._region.ndim:
                magnitude = self._spatial.sum_over_channels(magnitude)
            region = self._region[begin : begin + len(magnitude)]
            begin += len(magnitude)
            positions = tuple(range(1, magnitude.ndim))
            total = magnitude.sum(positions)
            inside = np.where(region, magnitude, 0.0).sum(positions)
            shares.append(np.divide(inside, total, out=np.full(len(magnitude), np.nan), where=total > 0))
            yield part
        self.rows = np.concatenate(shares) if shares else np.zeros(0)

    @property
    def mean(self) -> float:
        """The mean over rows; NaN where no row has an attribution."""
        finite = self.rows[np.isfinite(self.rows)]
        return float(finite.mean()) if len(finite) else float("nan")

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        finite = self.rows[np.isfinite(self.rows)]
        return float(finite.std(ddof=1) / np.sqrt(len(finite))) if len(finite) > 1 else float("nan")
