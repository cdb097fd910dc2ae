"""The rank correlation of two maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import Attribution
from keras_xai.tree import leaves


def flat_values(attribution: Attribution) -> NDArray[np.float64]:
    """Return the values (B, entries of all inputs) of a map."""
    parts = [np.asarray(values).reshape(len(values), -1) for values in leaves(attribution.values)]
    return np.concatenate(parts, 1).astype(np.float64)


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's, ties sharing their mean rank; 0 where one of the two is constant and says nothing."""
    from scipy.stats import rankdata

    ranks = [rankdata(v) - (len(v) + 1) / 2 for v in (a, b)]
    norm = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / norm if norm else 0.0
