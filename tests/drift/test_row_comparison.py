"""Rows against rows without a model: against scipy and closed forms, and what is told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from keras_xai.drift.row_comparison import COMMON_LIMIT, DEPENDENT_LIMIT, NOTE_LIMIT, compare_classes, compare_slopes

CLASSES = np.arange(300) % 3


def rows(seed, count=300, features=6):
    return np.random.default_rng(seed).normal(size=(count, features))


def test_the_dependent_part_is_cochrans_q():
    """Of three classes: inverse variance weights, χ² with two degrees of freedom, as a normal deviate."""
    live, probe = rows(0) + CLASSES[:, None] * np.linspace(0, 0.5, 6), rows(1)
    comparison = compare_classes(live, probe, CLASSES, CLASSES)
    for f in range(6):
        pairs = [(live[c == CLASSES, f], probe[c == CLASSES, f]) for c in range(3)]
        difference = np.array([a.mean() - b.mean() for a, b in pairs])
        weight = 1 / np.array([a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b) for a, b in pairs])
        mean = np.average(difference, weights=weight)
        q = (weight * (difference - mean) ** 2).sum()
        np.testing.assert_allclose(comparison.common[f], mean * np.sqrt(weight.sum()), rtol=1e-4)
        np.testing.assert_allclose(
            comparison.dependent[f], max(0, stats.norm.isf(stats.chi2.sf(q, 2))), rtol=1e-3, atol=1e-6
        )
        np.testing.assert_allclose(comparison.shift[f], mean / probe[:, f].std(), rtol=1e-4)


def test_slopes_are_those_of_linear_regressions():
    """Against scipy's, feature by feature, with the standard errors."""
    r = np.random.default_rng(0)
    live_target, probe_target = 50 + 7 * r.normal(size=300), 50 + 7 * r.normal(size=200)
    live, probe = rows(0) + 0.05 * live_target[:, None], rows(1, 200)
    comparison = compare_slopes(live, probe, live_target, probe_target)
    scale = live_target.std()
    for f in range(6):
        a = stats.linregress((live_target - live_target.mean()) / scale, live[:, f])
        b = stats.linregress((probe_target - live_target.mean()) / scale, probe[:, f])
        z = abs(a.slope - b.slope) / np.hypot(a.stderr, b.stderr)
        np.testing.assert_allclose(
            comparison.dependent[f], max(0, stats.norm.isf(2 * stats.norm.sf(z))), rtol=1e-4, atol=1e-6
        )
        shift = (a.intercept - b.intercept) / np.hypot(a.intercept_stderr, b.intercept_stderr)
        np.testing.assert_allclose(comparison.common[f], shift, rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_a_shift_and_a_leak_are_told_apart(seed):
    """A shift of everybody is common and not dependent; a leak of the label is dependent; the others are neither."""
    live, probe = rows(seed), rows(seed + 1000)
    live[:, 0] += 0.7
    leaks = np.random.default_rng(seed).random(300) < 0.8
    live[leaks, 1] = (CLASSES[leaks] - 1) * 1.2
    comparison = compare_classes(live, probe, CLASSES, CLASSES)
    assert comparison.rows_differ().tolist() == [True, False, False, False, False, False]
    assert comparison.common[0] > COMMON_LIMIT
    assert (comparison.dependent > NOTE_LIMIT).tolist() == [False, True, False, False, False, False]


def test_equal_sets_are_silent():
    """Of 200 pairs of equal sets with six features each none reaches a limit."""
    for seed in range(200):
        comparison = compare_classes(rows(seed), rows(seed + 5000), CLASSES, CLASSES)
        assert np.abs(comparison.common).max() < COMMON_LIMIT + 0.5
        assert comparison.dependent.max() < NOTE_LIMIT


def test_a_column_that_is_constant_is_no_infinity():
    """Constant in both, in the probe alone, and within each class."""
    live, probe = rows(0), rows(1)
    live[:, 0], probe[:, :2], live[:, 2] = 3.0, 3.0, CLASSES
    comparison = compare_classes(live, probe, CLASSES, CLASSES)
    assert np.isfinite([comparison.common, comparison.dependent, comparison.shift]).all()
    assert comparison.common[0] == 0
    assert comparison.dependent[0] < DEPENDENT_LIMIT
    assert comparison.dependent[2] > 10


def test_no_class_in_both_sets_is_no_comparison():
    """Said by the number of strata, and NaN."""
    comparison = compare_classes(rows(0), rows(1), np.zeros(300, int), np.ones(300, int))
    assert comparison.strata == 0
    assert np.isnan(comparison.common).all()
    assert not comparison.rows_differ().any()


def test_a_single_class_has_nothing_that_depends_on_it():
    """A difference of one class alone may be either; it is taken for common."""
    comparison = compare_classes(rows(0) + 1, rows(1), np.zeros(300, int), np.zeros(300, int))
    assert comparison.dependent.tolist() == [0.0] * 6
    assert comparison.rows_differ().all()


def test_thousands_of_equal_columns_are_silent_and_a_leak_among_them_is_not():
    """The largest of 20,000 deviates exceeds 4.25 in every third pair of sets; the limit grows with their number."""
    generator = np.random.default_rng(3)
    classes = np.arange(300) % 2
    highest = []
    for _ in range(5):
        live, probe = generator.normal(size=(2, 300, 20_000))
        comparison = compare_classes(live, probe, classes, classes)
        assert not comparison.rows_differ().any()
        assert not comparison.depends_on_label().any()
        highest.append(max(comparison.dependent.max(), np.abs(comparison.common).max()))
    assert max(highest) > NOTE_LIMIT
    live[:, 7] += 0.6 * (2 * classes - 1)
    live[:, 11] += 0.6
    comparison = compare_classes(live, probe, classes, classes)
    assert np.flatnonzero(comparison.depends_on_label()).tolist() == [7]
    assert np.flatnonzero(comparison.rows_differ()).tolist() == [11]
