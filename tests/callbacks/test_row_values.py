"""Values of rows feature by feature: columns, members of a group, categories, cells, channels, words."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks.row_values import by_feature, row_values
from keras_xai.drift.row_comparison import RowComparison, compare_classes

R = np.random.default_rng(0)
CLASSES = np.arange(200) % 2


def values(live, probe, **keywords):
    return row_values(kx.Probe(live, CLASSES, **keywords), kx.Probe(probe, CLASSES, **keywords))


def test_the_columns_of_a_table_stand_for_themselves():
    """In float64, one feature each."""
    live, probe = R.normal(size=(200, 3)), R.normal(size=(200, 3))
    a, b = values(live, probe)
    np.testing.assert_array_equal(a.values, live)
    np.testing.assert_array_equal(b.values, probe)
    assert a.owners.tolist() == [0, 1, 2]


def test_a_one_hot_group_is_judged_by_its_columns():
    """Its sum is the same in every row; each member of it says something else about the label."""
    member = R.integers(0, 4, 200)
    probe = np.eye(4)[member]
    live = np.eye(4)[np.where(CLASSES > 0, member % 2, 2 + member % 2)]
    a, b = values(live, probe, groups={"patient": [0, 1, 2, 3]})
    assert a.owners.tolist() == [0] * 4
    comparison = by_feature(compare_classes(a.values, b.values, CLASSES, CLASSES), a.owners, 1)
    assert comparison.dependent[0] > 4.25


def test_a_category_has_a_column_of_its_own():
    """Strings, and integers of few values; two values and many are numbers."""
    words = np.asarray(["a", "b", "c"], object)[R.integers(0, 3, 200)][:, None]
    a, _ = values({"word": words, "number": np.ones((200, 1))}, {"word": words, "number": np.zeros((200, 1))})
    assert a.owners.tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(a.values[:, :3], np.stack([words[:, 0] == word for word in "abc"], 1))
    codes = R.integers(0, 5, (200, 2))
    codes[:, 1] = codes[:, 1] > 2
    a, _ = values(codes, codes, kind="table")
    assert a.owners.tolist() == [0] * 5 + [1]
    many = np.arange(200)[:, None]
    assert values(np.c_[many, many], np.c_[many, many], kind="table")[0].owners.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["image", "series", "tokens"])
def test_other_kinds_are_pooled(kind):
    """Sums over cells and channels, counts of words."""
    if kind == "tokens":
        x = R.integers(1, 5, (200, 6))
        a, _ = values(x, x, kind=kind)
        expected = np.stack([(x == token).sum(1) for token in range(1, 5)] + [np.zeros(200)], 1)
    elif kind == "series":
        x = R.normal(size=(200, 6, 2))
        a, _ = values(x, x, kind=kind)
        expected = x.sum(1)
    else:
        x = R.normal(size=(200, 4, 4, 2))
        a, _ = values(x, x, kind=kind)
        expected = x.sum(3).reshape(200, 16)
    np.testing.assert_allclose(a.values, expected, rtol=1e-6)


def test_of_several_columns_the_one_that_says_most_counts():
    """The largest dependent difference, and the shift of the column that moved furthest."""
    columns = RowComparison(np.array([1.0, -6.0, 2.0]), np.array([0.5, 0.0, 5.0]), np.array([0.1, -0.9, 0.2]), 2)
    comparison = by_feature(columns, np.array([0, 0, 1]), 3)
    assert comparison.common.tolist() == [-6.0, 2.0, 0.0]
    assert comparison.dependent.tolist() == [0.5, 5.0, 0.0]
    assert comparison.shift.tolist() == [-0.9, 0.2, 0.0]
