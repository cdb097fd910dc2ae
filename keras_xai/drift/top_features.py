"""The features with the largest importance, scored by themselves where there are very many features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe.features import OTHER

# Features, as many as a volume has cells; of more, the largest |z| would be that of the noise in thousands of tiny shares.
MAX_SCORED_ALONE = 512
TOP_FEATURES = 200  # scored by themselves where the others are pooled


class TopFeatures:
    """The 200 most important of more than 512 features, and "other", the sum of all others. Up to 512 all are kept.

    They are chosen by the first importance of a run and fixed from then on: a name means the same at every epoch.

    Args:
        features: (F) the names of all.
    """

    def __init__(self, features: Sequence[str]) -> None:
        self._features = tuple(features)
        self._indices: NDArray[np.int64] | None = None
        self.is_pooling = len(self._features) > MAX_SCORED_ALONE

    @property
    def is_fixed(self) -> bool:
        """True once the features that are scored by themselves are chosen."""
        return not self.is_pooling or self._indices is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names (f) of what is scored, in the order of the features, "other" last."""
        if not self.is_pooling:
            return self._features
        return (*(self._features[f] for f in self._fixed_indices()), OTHER)

    def choose(self, importance: NDArray[Any]) -> None:
        """Choose by the first importance (F), non-negative; NaN counts as the largest. Later calls change nothing."""
        if self.is_fixed:
            return
        order = np.argsort(-np.nan_to_num(importance, nan=np.inf), kind="stable")
        if self._features[-1] == OTHER:  # the unnamed tokens of a vocabulary are pooled there already
            order = order[order != len(self._features) - 1]
        self._indices = np.sort(order[:TOP_FEATURES])

    def restore(self, names: Sequence[str], suffix: str = "") -> None:
        """Take the features that a run which is continued has chosen.

        Args:
            names: of its records; where classes are watched by themselves, those of the first class come first.
            suffix: what follows each feature's name there, such as ", class 0".
        """
        if self.is_pooling:
            index = {name + suffix: f for f, name in enumerate(self._features)}
            self._indices = np.asarray([index[name] for name in names[:TOP_FEATURES]], np.int64)

    def sum_others(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values (…, F) as (…, f): those of the pooled features are added up."""
        if not self.is_pooling:
            return values
        top = self._fixed_indices()
        others = np.delete(values, top, -1).sum(-1, keepdims=True)
        return np.concatenate([values[..., top], others], -1)

    def signs(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return signs (…, F) as (…, f): that of the pooled features is 0, since they have no common direction."""
        if not self.is_pooling:
            return values
        top = values[..., self._fixed_indices()]
        return np.concatenate([top, np.zeros_like(top[..., :1])], -1)

    def root_mean_square(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (F) as (f): those of the pooled features as their root mean square."""
        if not self.is_pooling:
            return values
        top = self._fixed_indices()
        others = np.delete(values, top)
        return np.append(values[top], np.sqrt(np.mean(others**2)))

    def _fixed_indices(self) -> NDArray[np.int64]:
        if self._indices is None:
            raise RuntimeError("no importance has chosen the top features yet")
        return self._indices
