"""Distances for display, each against a slow twin or SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from keras_xai.drift.distance import DISTANCES

shares = (
    hnp.arrays(np.float64, 6, elements=st.floats(0, 1).map(lambda v: round(v, 2)))
    .filter(lambda a: a.sum() > 0)
    .map(lambda a: a / a.sum())
)


@given(shares, shares)
def test_total_variation_is_the_mass_that_moved(p, q):
    """Half of Σ|p − q|, summed one by one; it equals what must be carried from p to q."""
    assert DISTANCES["total_variation"](p, q) == pytest.approx(sum(max(0.0, a - b) for a, b in zip(p, q, strict=True)))


@given(shares, shares)
def test_jensen_shannon_equals_scipys(p, q):
    """scipy.spatial.distance.jensenshannon in base 2."""
    assert DISTANCES["jensen_shannon"](p, q) == pytest.approx(np.nan_to_num(jensenshannon(p, q, 2)), abs=1e-7)


@given(shares, shares)
def test_spearman_equals_scipys(p, q):
    """One minus scipy.stats.spearmanr; NaN where one has no order."""
    if np.ptp(p) == 0 or np.ptp(q) == 0:
        assert np.isnan(DISTANCES["spearman"](p, q))
    else:
        assert DISTANCES["spearman"](p, q) == pytest.approx(1 - spearmanr(p, q).statistic, abs=1e-9)


@pytest.mark.parametrize("name", DISTANCES)
def test_every_distance_of_a_share_to_itself_is_zero(name):
    """And symmetric."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    assert DISTANCES[name](p, p) == pytest.approx(0, abs=1e-7)
    assert DISTANCES[name](p, q) == pytest.approx(DISTANCES[name](q, p))
