"""The chart of the inputs against a slow twin, and on noise it must and must not notice."""

import math

import numpy as np
import pytest

from keras_xai.drift.input_chart import InputDriftChart


def slow_movement(reads, first):
    """q of the last read, one value at a time."""
    rows, features = first.shape
    spread = []
    for f in range(features):
        low, high = np.quantile(first[:, f], 0.05), np.quantile(first[:, f], 0.95)
        spread.append((high - low) / 3.3 if high > low else first[:, f].std())
    least = 0.2 * np.median(spread)
    q = []
    for f in range(features):
        total = 0.0
        for b in range(rows):
            d = (reads[-1][b, f] - (reads[-2][b, f] + reads[-3][b, f]) / 2) / max(spread[f], least)
            total += min(3.0, max(-3.0, d)) ** 2
        q.append(math.sqrt(total / rows))
    return q


def test_the_movement_equals_its_slow_twin():
    """Clipped distance to the mean of the two reads before, in units of a robust range."""
    r = np.random.default_rng(0)
    base = r.normal(size=(20, 4)) * [1, 10, 0, 0.001]
    reads = [base + r.standard_cauchy((20, 4)) for _ in range(5)]
    chart = InputDriftChart()
    movements = [chart.movement(read) for read in reads]
    assert np.isnan(movements[0]).all()
    assert np.isnan(movements[1]).all()
    for t in range(2, 5):
        np.testing.assert_allclose(movements[t], slow_movement(reads[: t + 1], reads[0]), rtol=1e-12)


def test_the_score_is_a_shrunk_z_of_the_last_twelve():
    """By hand: (q − mean) / (√ of half own, half pooled variance + 1e-4)."""
    r = np.random.default_rng(1)
    q = 0.1 + 0.01 * r.random((20, 3))
    chart = InputDriftChart()
    for t in range(20):
        update = chart.update(q[t])
        if t >= 6:
            history = q[max(0, t - 12) : t]
            variance = history.var(0)
            z = (q[t] - history.mean(0)) / (np.sqrt((variance + variance.mean()) / 2) + 1e-4)
            np.testing.assert_allclose(update.z, z, rtol=1e-9)
        else:
            assert math.isnan(update.score)


@pytest.mark.parametrize("seed", range(3))
def test_redrawn_noise_is_silent_and_a_change_under_it_is_found(seed):
    """256 rows with fresh noise at every read: no alarm in 30 reads, one at the read where a column is zeroed."""
    r = np.random.default_rng(seed)
    base = r.normal(size=(256, 8))
    chart, alarms = InputDriftChart(), []
    for t in range(40):
        rows = base + 0.7 * r.normal(size=base.shape)
        if t >= 30:
            rows[:, 3] = 0.7 * r.normal(size=256)
        update = chart.update(chart.movement(rows))
        if update.alarm:
            alarms.append((t, int(update.features_over_limit()[0])))
    assert alarms[0] == (30, 3)
