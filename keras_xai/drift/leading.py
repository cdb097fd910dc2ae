"""The few features that are scored by themselves where there are very many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe.features import OTHER

MANY = 500  # features: more are pooled, or the noise of thousands of tiny shares is what the chart sees
KEPT = 200


class Leading:
    """The 200 heaviest of more than 500 features; all others together are one more, "other". Up to 500 each stands alone.

    Chosen by the first importance of a run and fixed from then on: a name means the same at every epoch.

    Args:
        features: (F) the names of all.
    """

    def __init__(self, features: Sequence[str]) -> None:
        self._features = tuple(features)
        self._kept: NDArray[np.int64] | None = None
        self.pools = len(self._features) > MANY

    @property
    def settled(self) -> bool:
        """Whether it is known which features stand alone."""
        return not self.pools or self._kept is not None

    @property
    def names(self) -> tuple[str, ...]:
        """(f) what is scored, in the order of the features, "other" last."""
        if not self.pools:
            return self._features
        return (*(self._features[f] for f in self._chosen()), OTHER)

    def choose(self, importance: NDArray[Any]) -> None:
        """By the first importance (F) that can be ordered: non-negative, finite. Later ones change nothing."""
        if not self.settled:
            order = np.argsort(-np.nan_to_num(importance, nan=np.inf), kind="stable")
            if self._features[-1] == OTHER:  # of a vocabulary: what is not named already
                order = order[order != len(self._features) - 1]
            self._kept = np.sort(order[:KEPT])

    def restore(self, names: Sequence[str], endings: Sequence[str] = ("",)) -> None:
        """As a run that is continued chose them.

        Args:
            names: those of its records, for each of `endings` the kept ones and "other".
            endings: what follows a feature's name, such as its class.
        """
        if self.pools:
            place = {name + endings[0]: f for f, name in enumerate(self._features)}
            self._kept = np.asarray([place[name] for name in names[:KEPT]], np.int64)

    def summed(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(…, F) to (…, f), the others added up."""
        if not self.pools:
            return values
        kept = self._chosen()
        others = np.delete(values, kept, -1).sum(-1, keepdims=True)
        return np.concatenate([values[..., kept], others], -1)

    def signs(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """(…, F) to (…, f), the others 0: they do not pull in one direction."""
        if not self.pools:
            return values
        kept = values[..., self._chosen()]
        return np.concatenate([kept, np.zeros_like(kept[..., :1])], -1)

    def root_mean_square(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(F) to (f), of the others their root mean square."""
        if not self.pools:
            return values
        others = np.delete(values, self._chosen())
        return np.append(values[self._chosen()], np.sqrt(np.mean(others**2)))

    def _chosen(self) -> NDArray[np.int64]:
        if self._kept is None:
            raise RuntimeError("no importance has chosen the leading features yet")
        return self._kept
