"""The control chart against a slow twin written from its definition, and against closed forms."""

import math

import numpy as np
import pytest

from keras_xai.drift.control_chart import ControlChart


def slow_score(shares, rates, limit=6.0, recent=None):
    """The definition, one feature and one lag at a time, in plain Python: (score, z of each feature, which exceed)."""
    now, features = len(shares) - 1, len(shares[0])
    best, moved = [0.0] * features, [0.0] * features
    scored = False
    for lag in (1, 2):
        ends = list(range(lag, now - lag + 1))[-12:]  # moves that end before the tested one begins
        if now - lag < 0 or len(ends) < 6:
            continue
        scored = True
        history = [[shares[k][f] - shares[k - lag][f] for f in range(features)] for k in ends]
        centre = [sum(h[f] for h in history) / len(history) / 2 for f in range(features)]
        variance = [sum((h[f] - centre[f]) ** 2 for h in history) / len(history) for f in range(features)]
        if recent is not None:
            last = [sum((h[f] - centre[f]) ** 2 for h in history[-recent:]) / recent for f in range(features)]
            variance = [max(pair) for pair in zip(variance, last, strict=True)]
        pooled = sum(variance) / features
        usual = sorted(rates[: now - lag + 1][-len(history) :])
        middle = (usual[(len(usual) - 1) // 2] + usual[len(usual) // 2]) / 2
        factor = max(1.0, sum(rates[now - lag + 1 : now + 1]) / lag / middle)
        for f in range(features):
            move = shares[now][f] - shares[now - lag][f]
            z = (move - centre[f]) / ((math.sqrt((variance[f] + pooled) / 2) + 1e-4) * factor)
            if abs(z) > abs(best[f]):
                best[f], moved[f] = z, move
    exceeds = [abs(z) > limit and abs(m) >= 0.002 for z, m in zip(best, moved, strict=True)]
    return (max(map(abs, best)) if scored else math.nan), best, exceeds


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("inside_epochs", [False, True])
def test_the_chart_equals_its_slow_twin(seed, inside_epochs):
    """40 updates of random shares under a changing learning rate: the same scores, features over the limit and alarms."""
    r = np.random.default_rng(seed)
    shares = r.dirichlet(np.full(5, 5000.0), 40)
    shares[25] = [0.6, 0.1, 0.1, 0.1, 0.1]
    rates = np.where(np.arange(40) < 20, 1e-3, 3e-3)
    chart, last = ControlChart(), -100
    for t in range(40):
        update = chart.update(shares[t], rates[t], inside_epochs=inside_epochs)
        recent = 3 if inside_epochs else None
        score, z, exceeds = slow_score(shares[: t + 1].tolist(), rates[: t + 1].tolist(), recent=recent)
        np.testing.assert_allclose(update.score, score, rtol=1e-9)
        np.testing.assert_allclose(update.z, z, rtol=1e-9)
        assert update.exceeds.tolist() == exceeds
        alarm = any(exceeds) and t >= 8 and t - last > 3
        assert update.alarm == alarm
        if alarm:
            last = t
    assert last >= 25


def test_a_jump_out_of_stillness_has_a_closed_form():
    """Nothing ever moved, so the scale is its floor of 1e-4: a jump of 0.01 scores 100."""
    chart = ControlChart()
    for _ in range(10):
        assert not chart.update(np.array([0.5, 0.5])).alarm
    update = chart.update(np.array([0.51, 0.49]))
    assert update.score == pytest.approx(100.0, rel=1e-9)
    assert update.alarm
    assert update.features_over_limit().tolist() == [0, 1]
    np.testing.assert_allclose(update.after - update.before, [0.01, -0.01])


@pytest.mark.parametrize(("inside_epochs", "score"), [(False, 13.40), (True, 7.08)])
def test_inside_epochs_a_burst_is_its_own_yardstick(inside_epochs, score):
    """Twelve moves, the last three of 0.004 and the others 0, and then one of 0.026.

    The centre is half their mean, 0.0005; both features move alike, so that the pooled variance is each one's own: the mean of
    twelve squares, or inside epochs of the last three.
    """
    chart = ControlChart()
    for share in [0.5] * 10 + [0.504, 0.508, 0.512]:
        chart.update(np.array([share, 1 - share]), inside_epochs=inside_epochs)
    update = chart.update(np.array([0.538, 0.462]), inside_epochs=inside_epochs)
    variance = 0.0035**2 if inside_epochs else (3 * 0.0035**2 + 9 * 0.0005**2) / 12
    assert update.score == pytest.approx(0.0255 / (math.sqrt(variance) + 1e-4), rel=1e-9)
    assert update.score == pytest.approx(score, abs=0.01)


def test_a_move_too_small_to_matter_is_no_alarm():
    """|Δshare| under 0.002 is no alarm, however rare."""
    chart = ControlChart()
    for _ in range(10):
        chart.update(np.array([0.5, 0.5]))
    update = chart.update(np.array([0.5019, 0.4981]))
    assert update.score > 6
    assert not update.alarm


@pytest.mark.parametrize("importance", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_what_cannot_be_scored_leaves_the_chart_as_it_was(importance):
    """An importance of zeros or NaN is skipped: the chart goes on as if it had not been there."""
    r = np.random.default_rng(0)
    shares = r.dirichlet(np.full(2, 50.0), 20)
    with_gap, without = ControlChart(), ControlChart()
    for t, share in enumerate(shares):
        if t == 12:
            assert math.isnan(with_gap.update(np.array(importance)).score)
        assert with_gap.update(share).score == without.update(share).score or t < 7


def test_burn_in_and_cooldown_count_updates():
    """No alarm before update 8; after one none for three more."""
    chart, alarms = ControlChart(), []
    for t in range(30):
        share = np.array([0.5, 0.5]) + (0.1 * (-1) ** (t // 5) if t >= 7 else 0.0) * np.array([1, -1])
        if chart.update(share).alarm:
            alarms.append(t)
    assert alarms
    assert alarms[0] >= 8
    assert min(np.diff(alarms), default=4) > 3


def test_a_rising_learning_rate_widens_the_scale_and_a_falling_one_does_not_narrow_it():
    """The same move scores less by the factor of the rates; a drop of the rate leaves the score as it is."""

    def score(rate):
        chart = ControlChart()
        for _ in range(10):
            chart.update(np.array([0.5, 0.5]), 1.0)
        return chart.update(np.array([0.51, 0.49]), rate)

    assert score(4.0).score == pytest.approx(score(1.0).score / 2.5)  # lag 2: the mean of the rates 1 and 4
    assert score(4.0).rising
    assert score(0.1).score == score(1.0).score
    assert not score(0.1).rising


def test_an_unknown_learning_rate_is_no_jump():
    """A rate that is not known counts as the one before: the scale stays what it was."""

    def scores(unknown):
        r, chart = np.random.default_rng(0), ControlChart()
        return [chart.update(r.dirichlet(np.full(3, 50.0)), unknown if t == 12 else 1e-3).score for t in range(16)]

    np.testing.assert_array_equal(scores(math.nan), scores(1e-3))
