"""The strata of two sets of rows: their classes, one for all, or none."""

import numpy as np
import pytest

from keras_xai.drift.strata import strata

R = np.random.default_rng(0)


def test_classes_are_compared_within_themselves():
    """Where those with four rows in both sets hold half of the training rows, as of rows of one class only."""
    live, probe = R.integers(0, 10, 512), R.integers(0, 10, 128)
    chosen = strata(live, probe)
    assert chosen.blind == ""
    np.testing.assert_array_equal(chosen.live, live)
    np.testing.assert_array_equal(chosen.probe, probe)
    assert strata(np.zeros(512, int), probe).blind == ""


def test_many_classes_are_one_stratum():
    """Chance makes the shares of a hundred classes differ by more than 0.2; that is not held against them."""
    chosen = strata(R.integers(0, 200, 512), R.integers(0, 200, 128))
    assert chosen.blind == ""
    assert set(chosen.live) == set(chosen.probe) == {0}


@pytest.mark.parametrize(
    ("live", "probe", "blind"),
    [
        (np.arange(512) % 200, np.arange(128) % 20, "class shares that differ"),
        (np.zeros(512, int), np.ones(128, int), "class shares that differ"),
        (np.zeros(3, int), np.zeros(128, int), "too few rows of each class"),
    ],
)
def test_what_cannot_be_compared(live, probe, blind):
    """Other classes in the two sets, or no rows to speak of."""
    assert strata(live, probe).blind == blind
