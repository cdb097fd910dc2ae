"""The rows that are drawn from arrays: each class has its share, a rare one a few rows, and the draw is the same every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.callbacks.drawn_rows import MIN_ROWS_OF_CLASS, drawn_rows


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(40, 512))
def test_each_class_has_its_share(sizes, count):
    """Within one row of it, but for rare classes, which have eight rows or all that there are."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = drawn_rows(y, count)
    assert len(rows) == min(count, len(y))
    assert (np.diff(rows) > 0).all()
    drawn, least = np.bincount(y[rows], minlength=len(sizes)), min(MIN_ROWS_OF_CLASS, count // len(sizes))
    assert (drawn >= np.minimum(sizes, least)).all()
    share = np.minimum(sizes, count * np.asarray(sizes) / len(y))
    if (share >= least).all():
        assert np.abs(drawn - share).max() <= 1
    np.testing.assert_array_equal(rows, drawn_rows(y, count))


def test_sorted_labels_are_drawn_of_every_class():
    """The first rows of such a source hold one class only."""
    y = np.repeat(np.arange(10), 1000)
    assert np.bincount(y[drawn_rows(y, 512)]).tolist() == pytest.approx([51.2] * 10, abs=1)


def test_more_classes_than_rows_and_numbers():
    """The largest classes have a row each; numbers are drawn over all rows."""
    assert len(np.unique(drawn_rows(np.arange(2000) // 2, 512))) == 512
    rows = drawn_rows(np.linspace(0, 1, 5000), 512)
    assert abs(rows.mean() - 2500) < 250
