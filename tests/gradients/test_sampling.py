"""Which calls of the train function are recorded."""

from __future__ import annotations

import pytest

from keras_xai.errors import InvalidInput
from keras_xai.gradients.sampling import Sampling


def chosen(sampling, length):
    return [k for k in range(length) if sampling.due(k)]


@pytest.mark.parametrize(
    ("samples", "length", "expected"),
    [
        (3, 157, [0, 78, 156]),
        (1, 157, [0]),
        (2, 157, [0, 156]),
        (5, 9, [0, 2, 4, 6, 8]),
        (3, 3, [0, 1, 2]),
        (3, 2, [0, 1]),
        (3, 1, [0]),
        ("all", 4, [0, 1, 2, 3]),
    ],
)
def test_spread_over_an_epoch_of_known_length(samples, length, expected):
    """First, middle, last; never more than there are."""
    sampling = Sampling(samples)
    sampling.begin(length)
    assert chosen(sampling, length) == expected


@pytest.mark.parametrize(
    ("samples", "length", "expected"),
    [
        (3, 157, [0, 78, 156]),
        (3, 71, [0, 70]),
        (3, 47, [0]),
        (3, 5, [0]),
        (10, 100, [0, 33, 66, 99]),
        ("all", 3, [0, 1, 2]),
    ],
)
def test_steps_that_are_computed_twice(samples, length, expected):
    """At most one in 24, at least one, unless all are asked for."""
    sampling = Sampling(samples)
    sampling.begin(length, repeats_steps=True)
    assert chosen(sampling, length) == expected


def test_powers_of_ten_where_the_length_is_not_known():
    """The first call for certain, and a few later ones of an epoch however long."""
    sampling = Sampling(3)
    sampling.begin(None)
    assert chosen(sampling, 20_000) == [0, 10, 100, 1000, 10_000]
    sampling.begin(21)
    assert chosen(sampling, 21) == [0, 10, 20]


@pytest.mark.parametrize("samples", [0, -1, True, 2.5, "some", None])
def test_other_numbers_are_refused(samples):
    """With the value and what is expected."""
    with pytest.raises(InvalidInput, match=r"samples_per_epoch=.*positive integer or 'all'"):
        Sampling(samples)
