"""When a method fails on a model, and in which words."""

import math

import numpy as np
import pytest

from keras_xai.analysis.map_checks import MapVerdict
from keras_xai.records import MapCheck


def verdict_of(deletion, sensitivity):
    return MapVerdict.of(MapCheck(0, "saliency", np.array(deletion), np.array(sensitivity), 0.02, 2, 4))


def test_mean_error_and_median_are_those_of_the_finite_samples():
    """Mean 0.3, standard error 0.1 / √2; the median of three."""
    verdict = verdict_of([0.2, 0.4, math.nan], [0.1, 0.2, 9.0])
    assert verdict.sooner == pytest.approx(0.3)
    assert verdict.error == pytest.approx(0.1)
    assert verdict.moved == pytest.approx(0.2)
    assert not verdict.fails
    assert verdict.words == (
        "deletion: the score falls 30\u00a0% of its range further than in random orders (±\u00a010\u00a0%); sensitivity: a "
        "noise of 2.0\u00a0% of the inputs' range moves its maps by 20\u00a0% of their size (median)"
    )


def test_an_order_within_two_standard_errors_of_chance_fails():
    """0.1 ± 0.1 fails, and so does one below chance, which says so."""
    assert verdict_of([0.0, 0.2], [0.1, 0.1]).fails_order
    below = verdict_of([-0.3, -0.1], [0.1, 0.1])
    assert "20\u00a0% of its range less far than" in below.faults[0]
    assert len(below.faults) == 1


def test_maps_that_move_by_a_quarter_of_their_size_fail():
    """From a median of 0.25 on."""
    assert verdict_of([0.5, 0.6], [0.25, 0.25]).faults[0].startswith("Its maps are not stable")
    assert not verdict_of([0.5, 0.6], [0.24, 0.24]).fails


def test_what_was_not_measured_is_no_failure():
    """NaN everywhere, or a single sample, whose order has no error."""
    unknown = verdict_of([math.nan] * 3, [math.nan] * 3)
    assert not unknown.fails
    assert unknown.words == ""
    assert not verdict_of([-0.5], [0.1]).fails_order
    assert not verdict_of([], []).fails
