"""The gap between training rows and probe, against a slow twin and scipy, and what must and must not be an alarm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from keras_xai.drift.reliance_gap import (
    GAP_LIMIT,
    Evidence,
    GapChart,
    Moments,
    normal_deviate,
    reliance_gap,
    stratified_contrast,
)


def evidence(contributions, strata=None, direction=None):
    count = len(contributions)
    strata = np.zeros(count, np.int64) if strata is None else strata
    return Evidence(np.asarray(contributions), strata, np.ones(count) if direction is None else direction)


def slow_shares(contributions):
    totals = [sum(abs(value) for value in row) for row in contributions]
    least = 0.1 * sum(totals) / len(totals) + 1e-12
    return [[value / max(total, least) for value in row] for row, total in zip(contributions, totals, strict=True)]


def slow_gap(live, probe, feature_count):
    """z, gap, live and probe means of every feature: one number after the other."""
    a_rows, b_rows = slow_shares(live.contributions), slow_shares(probe.contributions)
    used = []
    for f in range(feature_count):
        used.append((np.mean([abs(r[f]) for r in a_rows]) + np.mean([abs(r[f]) for r in b_rows])) / 2)
    means = []
    for f in range(feature_count):
        total = live_sum = probe_sum = variance = fourth = 0.0
        for c in sorted(set(live.strata.tolist())):
            a = [r[f] * d for r, s, d in zip(a_rows, live.strata, live.direction, strict=True) if s == c]
            b = [r[f] * d for r, s, d in zip(b_rows, probe.strata, probe.direction, strict=True) if s == c]
            if len(a) < 4 or len(b) < 4:
                continue
            w = len(a) * len(b) / (len(a) + len(b))
            va, vb = (np.var(a, ddof=1) + 1e-6) / len(a), (np.var(b, ddof=1) + 1e-6) / len(b)
            total, live_sum, probe_sum = total + w, live_sum + w * np.mean(a), probe_sum + w * np.mean(b)
            variance += w**2 * (va + vb)
            fourth += w**4 * (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
        means.append((live_sum / total, probe_sum / total, variance / total**2, fourth / total**4))
    typical = np.median([u for u in used if u > 1e-4])
    counts = [f for f in range(feature_count) if used[f] >= 0.3 * typical]
    ratio = {f: (means[f][0] - means[f][1]) / used[f] for f in counts}
    factor = math.pi / 2 if feature_count > 3 else 1.0
    gain_variance = min(1.0, factor * sum(means[f][2] / used[f] ** 2 for f in counts) / max(len(counts) - 1, 1) ** 2)
    results = []
    for f in range(feature_count):
        live_mean, probe_mean, variance, fourth = means[f]
        others = [ratio[g] for g in counts if g != f]
        gain = min(1.0, max(0.0, np.median(others))) if others else 0.0
        gap = live_mean - probe_mean - gain * used[f]
        t = gap / math.sqrt(variance + used[f] ** 2 * gain_variance)
        nu = max(1.5, variance**2 / fourth)
        z = math.copysign((8 * nu + 1) / (8 * nu + 3) * math.sqrt(nu * math.log1p(t * t / nu)), t)
        is_hit = gap >= 0.002 and live_mean > 0 and probe_mean <= live_mean / 2
        results.append((z if is_hit else 0.0, gap, live_mean, probe_mean))
    return np.array(results).T


@pytest.mark.parametrize("features", [2, 3, 4, 9])
@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_the_gap_equals_its_slow_twin(features, kind):
    """With a class of too few rows, a feature that is hardly used, and signed targets."""
    r = np.random.default_rng(features)
    live, probe = r.normal(size=(60, features)) + 0.2, r.normal(size=(50, features))
    live[:, -1] += 1
    live[:, 0], probe[:, 0] = live[:, 0] / 50, probe[:, 0] / 50
    if kind == "classes":
        sets = (
            evidence(live, np.arange(60) % 4),
            evidence(probe, np.minimum(np.arange(50) % 5, 3) + (np.arange(50) < 3)),
        )
    else:
        sets = evidence(live, None, r.normal(size=60).clip(-2, 2)), evidence(probe, None, r.normal(size=50).clip(-2, 2))
    gap = reliance_gap(*sets)
    np.testing.assert_allclose([gap.z, gap.gap, gap.live, gap.probe], slow_gap(*sets, features), rtol=1e-9, atol=1e-12)


def test_one_stratum_is_welchs_test():
    """Difference, variance and degrees of freedom by scipy."""
    r = np.random.default_rng(0)
    a, b = r.normal(size=(40, 3)), r.normal(size=(25, 3)) + 0.5
    # One more column, so that every row has as much evidence.
    rows = [np.c_[values, 12 - np.abs(values).sum(1)] for values in (a, b)]
    contrast = stratified_contrast(*(Moments.of(evidence(part), np.zeros(1, np.int64)) for part in rows))
    t = contrast.difference / np.sqrt(contrast.variance)
    reference = stats.ttest_ind(*rows, equal_var=False)
    np.testing.assert_allclose(t, reference.statistic, rtol=1e-3)
    np.testing.assert_allclose(contrast.freedom, reference.df, rtol=1e-3)


def test_a_t_becomes_the_normal_deviate_of_its_rarity():
    """Wallace's formula against scipy's quantiles, to 2 % from three degrees of freedom on."""
    for freedom in (3, 5, 10, 50, 1000):
        t = np.array([-6.0, -2.0, -0.5, 0.5, 2.0, 6.0])
        exact = stats.norm.isf(stats.t.sf(t, freedom))
        np.testing.assert_allclose(normal_deviate(t, np.full(6, float(freedom))), exact, rtol=0.02)


def test_a_row_is_divided_by_its_own_evidence():
    """Each row's shares sum to 1 in absolute value, but those of a row that hardly says anything."""
    contributions = np.array([[3.0, -1.0], [0.0, 10.0], [1e-6, 0.0]])
    rows = np.arange(3)
    shares = Moments.of(evidence(contributions, rows), rows).means
    np.testing.assert_allclose(shares[:2], [[0.75, -0.25], [0.0, 1.0]])
    assert 0 < shares[2, 0] < 1e-4


def test_classes_without_enough_rows_are_no_comparison():
    """Live rows of one class, a probe of another."""
    gap = reliance_gap(
        evidence(np.ones((20, 3)), np.zeros(20, np.int64)), evidence(np.ones((20, 3)), np.ones(20, np.int64))
    )
    assert gap.strata == 0
    assert np.isnan(gap.z).all()
    assert not gap.hits().any()


def sets_of(seed, features=12, planted=0.0, gain=1.0, rows=256):
    """Two sets of rows whose features say the same but for the last one, and but for a common gain."""
    r = np.random.default_rng(seed)
    strength = np.abs(r.normal(size=features)) + 0.2
    strength[-1] = 0.1
    says = lambda: strength * (1 + r.normal(size=(rows, features)))  # noqa: E731
    live, probe = gain * says(), says()
    live[:, -1] += planted * (r.random(rows) < 0.8)
    return evidence(live, np.arange(rows) % 3), evidence(probe, np.arange(rows) % 3)


def test_equal_sets_are_silent():
    """Of 400 pairs of equal sets none is over the limit, whatever one set says louder."""
    for gain in (1.0, 3.0):
        highest = [np.nanmax(reliance_gap(*sets_of(seed, gain=gain)).z) for seed in range(200)]
        assert max(highest) < GAP_LIMIT


def test_wrong_labels_in_the_training_rows_are_no_shortcut():
    """Where two rows in five argue against their label, a feature that says nothing in either set says no more than before."""
    for seed in range(50):
        live, probe = sets_of(seed)
        r = np.random.default_rng(1000 + seed)
        live.contributions[:] *= np.where(np.arange(256) % 5 < 2, -1, 1)[:, None]
        for says in (live, probe):
            says.contributions[:, :4] = r.normal(size=(256, 4))
        gap = reliance_gap(live, probe)
        assert gap.live[5] < gap.probe[5]
        assert not gap.hits().any()


def test_a_planted_feature_is_the_largest():
    """In every one of fifty pairs."""
    for seed in range(50):
        gap = reliance_gap(*sets_of(seed, planted=2.0))
        assert gap.hits()[-1]
        assert gap.z.argmax() == 11


def test_a_feature_that_speaks_in_the_probe_too_is_none():
    """Half as much there, and it is no training-only shortcut, however certain the difference."""
    live, probe = sets_of(0, planted=3.0)
    probe.contributions[:, -1] += 2.0
    gap = reliance_gap(live, probe)
    assert gap.gap[-1] > 0.002
    assert gap.z[-1] == 0


def test_three_updates_running_are_an_alarm_once():
    """Not two, not three with a gap between them; never again for the same feature."""
    chart = GapChart()
    masks = ([1, 0], [1, 1], [0, 1], [1, 1], [1, 1], [1, 1], [1, 1])
    assert [chart.update(np.array(mask, bool)) for mask in masks] == [[], [], [], [1], [], [0], []]


def test_a_chart_goes_on_where_a_run_stopped():
    """The last two updates and the alarms of before are all that it needs."""
    r = np.random.default_rng(0)
    masks = r.random((30, 8)) < 0.8
    whole = GapChart()
    alarms = [whole.update(mask) for mask in masks]
    for stopped in range(1, 30):
        chart = GapChart()
        before = {feature for features in alarms[:stopped] for feature in features}
        chart.restore(masks[max(0, stopped - 2) : stopped], sorted(before))
        assert [chart.update(mask) for mask in masks[stopped:]] == alarms[stopped:]
