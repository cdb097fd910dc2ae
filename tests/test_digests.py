"""The digest of a row."""

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.digests import PERIOD, multipliers


def by_hand(rows, leaf=0):
    """Sums of products in Python's own whole numbers, value by value."""
    factors = multipliers(leaf, rows.shape[1])
    digests = []
    for row in np.ascontiguousarray(rows, np.float32).view(np.int32).tolist():
        halves = [sum((v ^ (v >> 16)) * int(a) for v, a in zip(row, half, strict=True)) % 2**32 for half in factors]
        digests.append(halves[0] << 32 | halves[1])
    return np.asarray(digests, np.uint64).view(np.int64)


def test_against_sums_in_python():
    """Σ aⱼ·mⱼ modulo 2^32, two of them; of several inputs their sum, half by half."""
    r = np.random.default_rng(0)
    rows = r.normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_array_equal(kx.row_digest(rows), by_hand(rows))
    np.testing.assert_array_equal(kx.row_digest(rows.reshape(7, 5, 1)), by_hand(rows))
    np.testing.assert_array_equal(
        kx.row_digest({"b": rows[:, 2:], "a": rows[:, :2]}), kx.row_digest([rows[:, :2], rows[:, 2:]])
    )


def test_factors_are_odd_and_repeat():
    """An odd factor loses no bit of a value; a long row has the same factors again."""
    factors = multipliers(0, 2 * PERIOD + 3)
    assert (factors % 2 == 1).all()
    np.testing.assert_array_equal(factors[:, :3], factors[:, 2 * PERIOD :])
    assert not (multipliers(1, 9) == factors[:, :9]).any()


def test_what_agrees_and_what_differs():
    """A float64 has the digest of its float32, padding adds nothing; tables of zeros and ones do not collide."""
    r = np.random.default_rng(0)
    rows = r.normal(size=(4, 3))
    np.testing.assert_array_equal(kx.row_digest(rows), kx.row_digest(rows.astype(np.float32)))
    tokens = r.integers(1, 9, (4, 5))
    np.testing.assert_array_equal(kx.row_digest(tokens), kx.row_digest(np.pad(tokens, ((0, 0), (0, 3)))))
    ones = np.unique(r.integers(0, 2, (20_000, 24)), axis=0)
    for dtype in (np.float32, np.int64, bool):
        assert len(np.unique(kx.row_digest(ones.astype(dtype)))) == len(ones)


@pytest.mark.parametrize("x", [np.array([["a"]]), np.float32(1), [np.zeros((2, 1)), np.zeros((3, 1))], {}])
def test_what_has_no_digest(x):
    """Text, a number alone, inputs of different lengths, nothing."""
    with pytest.raises(kx.InvalidInput, match="x has"):
        kx.row_digest(x)
