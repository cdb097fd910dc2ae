"""Epochs that stand for others, and how long an alert lasted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.analysis.epochs import film_epochs
from keras_xai.analysis.importance import lasted_until
from keras_xai.records import Alert, Importance
from tests.run_in_epochs import RunInEpochs


@given(st.lists(st.integers(0, 500), min_size=1, unique=True).map(sorted), st.lists(st.integers(0, 500), max_size=30))
def test_a_film_strip_has_the_ends_and_the_alerts(epochs, alerts):
    """At most twenty-four recorded epochs, in order; of a short run all of them."""
    chosen = film_epochs(epochs, alerts)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(epochs)
    assert {epochs[0], epochs[-1]} <= set(chosen)
    assert len(chosen) <= 24
    if len(epochs) <= 24:
        assert chosen == epochs
    first = [epoch for epoch in alerts if epoch in epochs][:1]
    assert set(first) <= set(chosen) or len(alerts) > 22


@pytest.mark.parametrize(
    ("scores", "last"),
    [
        ([1, 1, 9, 9, 9, 1, 9], 4),  # the unbroken stretch, not the later one
        ([1, 1, 9, 1, 9, 9, 9], 2),
        ([1, 1, 9, 9, 9, 9, 9], 6),
        ([1, 1, 9, np.nan, 9, 9, 1], 2),  # a gap ends it: nothing is known there
    ],
)
def test_an_alert_lasts_while_the_score_stays_over_its_limit(scores, last):
    """From its own epoch on; without an importance it is its own epoch."""
    importance = Importance(np.arange(7), ("a",), np.ones((7, 1), "f4"), np.array(scores, float), 6.0)
    run = RunInEpochs(importance=importance, importance_live=None, data_score=None)
    alert = Alert(2, "clean", "reliance moved", False, (("a", 0.1, 0.5, 1, 9.0),), 9.0, 6.0)
    assert lasted_until(alert, run) == last
    live = Alert(2, "live", "reliance moved", False, (("a", 0.1, 0.5, 1, 9.0),), 9.0, 6.0)
    assert lasted_until(live, run) == 2
