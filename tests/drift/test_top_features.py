"""The 200 heaviest and the others."""

import numpy as np
import pytest

from keras_xai.drift.top_features import TopFeatures


def test_up_to_500_features_stand_alone():
    """Nothing is chosen, nothing pooled."""
    top = TopFeatures([f"f{i}" for i in range(500)])
    values = np.random.default_rng(0).random((2, 500))
    assert top.is_fixed
    assert len(top.names) == 500
    assert top.sum_others(values) is values
    np.testing.assert_array_equal(top.root_mean_square(values[0]), values[0])


def test_the_heaviest_200_stand_alone_and_the_sum_stays():
    """By hand, with the weights in a shuffled order."""
    r = np.random.default_rng(0)
    importance = r.permutation(700).astype(float)
    names = [f"f{i}" for i in range(700)]
    top = TopFeatures(names)
    assert not top.is_fixed
    top.choose(importance)
    heavy = [i for i in range(700) if importance[i] >= 500]
    assert top.names == (*(names[i] for i in heavy), "other")
    values = r.random((3, 700))
    expected = [[*(row[i] for i in heavy), sum(v for i, v in enumerate(row) if i not in heavy)] for row in values]
    np.testing.assert_allclose(top.sum_others(values), expected)
    np.testing.assert_allclose(top.sum_others(values).sum(1), values.sum(1))
    others = np.delete(values[0], heavy)
    assert top.root_mean_square(values[0])[-1] == pytest.approx(np.sqrt((others**2).mean()))
    signs = top.signs(np.full((1, 700), -1, np.int8))
    assert signs.dtype == np.int8
    assert signs[0].tolist() == [-1] * 200 + [0]


def test_the_choice_is_made_once_and_can_be_restored_from_names():
    """A later importance changes nothing; the names in a file bring the same choice back, with and without classes."""
    names = [f"f{i}" for i in range(600)]
    top = TopFeatures(names)
    top.choose(np.arange(600.0))
    before = top.names
    top.choose(np.arange(600.0)[::-1])
    assert top.names == before
    again, by_class = TopFeatures(names), TopFeatures(names)
    again.restore(before)
    by_class.restore([n + c for c in (", class a", ", class b") for n in before], ", class a")
    assert again.names == by_class.names == before
