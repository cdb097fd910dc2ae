"""Structures of inputs: list their leaves, change them, put them back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.errors import InvalidInput, check_int
from keras_xai.image import cell_edges, cell_numbers, channel_axis, grid_mean, is_channels_first, pixels
from keras_xai.tree import leaves, like, map_leaves

STRUCTURES = [np.ones(3), [np.ones(3), np.zeros(2)], {"b": np.ones(3), "a": np.zeros(2)}, (1, 2), [], {}]


@pytest.mark.parametrize("x", STRUCTURES, ids=str)
def test_leaves_put_back_are_the_structure(x):
    """In order, in a structure of the same type."""
    again = like(x, leaves(x))
    assert type(again) is type(x)
    assert all(a is b for a, b in zip(leaves(again), leaves(x), strict=True))
    assert not isinstance(x, dict) or list(again) == list(x)


def test_a_tuple_is_one_leaf():
    """It is (x, y) elsewhere, and no list of inputs."""
    assert leaves((1, 2)) == [(1, 2)]


@pytest.mark.parametrize("x", [1, [1, 2], {"a": 1}], ids=str)
def test_another_number_of_leaves_is_refused(x):
    """Nothing is dropped without a word."""
    with pytest.raises(ValueError, match=r"."):
        like(x, [1, 2, 3])


def test_a_function_reaches_every_leaf():
    """And the structure stays."""
    assert map_leaves(lambda n: 2 * n, {"a": 1, "b": 2}) == {"a": 2, "b": 4}
    assert map_leaves(lambda n: 2 * n, [1, 2]) == [2, 4]
    assert map_leaves(lambda n: 2 * n, 3) == 6


@pytest.mark.parametrize("value", [1, np.int64(2), np.uint8(3)], ids=repr)
def test_an_integer_is_taken(value):
    """Python's or NumPy's; it comes back as Python's."""
    number = check_int("n", value)
    assert type(number) is int
    assert number == value


@pytest.mark.parametrize("value", [True, np.bool_(True), 0, -1, 1.0, "1", None, np.float64(2)], ids=repr)
def test_anything_else_is_refused_by_name(value):
    """A truth value is no number; with the argument's name, and what came."""
    with pytest.raises(InvalidInput, match=r"^n=.*: expected a positive integer\.$"):
        check_int("n", value)


def test_the_smallest_number_stands_in_the_message():
    """And the words of the caller, where there are some."""
    with pytest.raises(InvalidInput, match=r"^n=1: expected an integer, 2 or more\.$"):
        check_int("n", 1, minimum=2)
    with pytest.raises(InvalidInput, match=r"^n=0: expected steps\.$"):
        check_int("n", 0, expected="steps")


@pytest.mark.parametrize(
    ("shape", "first", "plane"),
    [((3, 32, 48), True, (32, 48)), ((32, 48, 3), False, (32, 48)), ((32, 48), False, (32, 48)),
     ((4, 4, 4), False, (4, 4)), ((1, 5, 5), True, (5, 5))],
)  # fmt: skip
def test_the_layout_of_an_image(shape, first, plane):
    """Channels first where few entries come first and many last; else they come last."""
    assert is_channels_first(shape) == first
    assert channel_axis(shape) == (1 if first else -1)
    assert pixels(shape) == plane


@given(st.integers(1, 40), st.integers(1, 16))
def test_cells_cover_a_side_once(length, cells):
    """Whichever way they are given, each position lies in one cell, and no cell is empty."""
    edges = cell_edges(length, cells)
    assert (edges[0], edges[-1], len(edges)) == (0, length, min(cells, length) + 1)
    assert (np.diff(edges) > 0).all()
    assert np.unique(cell_numbers(length, cells)).tolist() == list(range(min(cells, length)))


def test_the_mean_of_each_cell_is_that_of_its_pixels():
    """Against a loop."""
    values = np.random.default_rng(0).normal(size=(2, 10, 7))
    rows, columns = cell_edges(10, 3), cell_edges(7, 3)
    means = grid_mean(values, 3)
    for r in range(3):
        for c in range(3):
            cell = values[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
            np.testing.assert_allclose(means[:, r, c], cell.mean((1, 2)))
