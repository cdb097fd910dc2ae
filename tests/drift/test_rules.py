"""Rules: what they name, when they are broken, and that each is an alarm once."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.drift.reliance_gap import share_of
from keras_xai.drift.rules import RuleChart, resolve_rules

FEATURES = ["age", "site_1", "site_2", "site[3]"]


def test_names_patterns_groups_slices_and_the_region():
    """A name that is a feature's is no pattern."""
    rules = resolve_rules(
        {"age": 0.1, "site_*": 0, "site[3]": 0.2, "hospital": 0.1, "region": 0.6},
        FEATURES,
        slices=["hospital"],
        has_region=True,
    )
    assert [(rule.kind, rule.features.tolist()) for rule in rules] == [
        ("features", [0]),
        ("features", [1, 2]),
        ("features", [3]),
        ("slice", []),
        ("region", []),
    ]


@pytest.mark.parametrize("limit", [-0.1, 1.5, True, "much", float("nan"), None])
def test_a_limit_is_a_share(limit):
    """Anything else is an error with what came."""
    with pytest.raises(kx.InvalidInput, match="expected a share from 0 to 1"):
        resolve_rules({"age": limit}, FEATURES)


def test_a_rule_that_matches_nothing_names_what_is_near():
    """And a name that stands for two things is refused."""
    with pytest.raises(kx.InvalidInput, match="age"):
        resolve_rules({"agee": 0.1}, FEATURES)
    with pytest.raises(kx.InvalidInput, match="a feature and a slice"):
        resolve_rules({"age": 0.1}, FEATURES, slices=["age"])


def test_a_rule_is_broken_by_two_standard_errors():
    """Above a limit; of a region below it; what is not known breaks nothing."""
    most, least = resolve_rules({"age": 0.1, "region": 0.6}, FEATURES, has_region=True)
    assert (most.is_broken(0.13, 0.01), most.is_broken(0.13, 0.02)) == (True, False)
    assert (least.is_broken(0.5, 0.04), least.is_broken(0.5, 0.06)) == (True, False)
    assert not most.is_broken(float("nan"), float("nan"))


def test_an_alarm_at_the_second_update_running_and_once():
    """A pause begins anew, and early updates do not count."""
    chart = RuleChart()
    broken = [True, False, True, True, True, False, True, True]
    assert [chart.update("age", is_broken=b) for b in broken] == [False, False, False, True, False, False, False, False]
    burning_in = RuleChart()
    assert not any(burning_in.update("age", is_broken=True, is_early=True) for _ in range(3))
    assert [burning_in.update("age", is_broken=True) for _ in range(2)] == [False, True]
    continued = RuleChart()
    continued.restore(["age"])
    assert not any(continued.update("age", is_broken=True) for _ in range(3))


def test_the_share_and_its_standard_error():
    """A ratio estimate: against the bootstrap."""
    r = np.random.default_rng(0)
    magnitude = r.exponential(size=(400, 3)) * [1, 0.5, 0.1]
    total = magnitude.sum(1)
    share = share_of(magnitude, total)
    np.testing.assert_allclose(share.share, magnitude.sum(0) / total.sum())
    draws = [r.integers(0, 400, 400) for _ in range(2000)]
    bootstrap = np.stack([magnitude[rows].sum(0) / total[rows].sum() for rows in draws]).std(0)
    np.testing.assert_allclose(share.error, bootstrap, rtol=0.1)
    assert np.isnan(share_of(np.zeros((5, 2)), np.zeros(5)).share).all()
