"""Each check lets through what is written, and says what came instead of it."""

import math

import numpy as np
import pytest

from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable

FITS = [
    (checks.parsed, b'{"a": [1]}', {"a": [1]}),
    (checks.text, "größe", "größe"),
    (checks.flag, False, False),
    (checks.whole, 2**53 - 1, 2**53 - 1),
    (checks.epoch, 0, 0),
    (checks.number, "-inf", -math.inf),
    (checks.number, 3, 3.0),
    (checks.amount, 0, 0.0),
    (checks.numbers, {"loss": "inf"}, {"loss": math.inf}),
    (checks.unique, ["a", "b"], ("a", "b")),
    (checks.sides, (0, 3, 2**31), (0, 3, 2**31)),
    (lambda v: checks.several(v, checks.whole, 2), [1, 2], (1, 2)),
    (lambda v: checks.word(v, ("quiet", "loud")), "loud", "loud"),
    (lambda v: checks.entry(v, "a"), {"a": None}, None),
]
FAILS = [
    (checks.parsed, b"[1]", "a JSON object"),
    (checks.parsed, b"\xff", "a JSON object"),
    (checks.parsed, b"[" * 100_000, "a JSON object"),
    (checks.parsed, b'{"a": ' + b"9" * 5000 + b"}", "a JSON object"),
    (checks.parsed, '{"\\ud800": 1}', "half characters"),
    (checks.text, b"bytes", "text"),
    (checks.text, "\ud800", "half characters"),
    (checks.flag, 1, "true or false"),
    (checks.whole, True, "a whole number"),
    (checks.whole, 1.0, "a whole number"),
    (checks.whole, -1, "a whole number"),
    (checks.whole, 10**400, "a whole number"),
    (checks.epoch, 10**9, "a whole number"),
    (checks.number, "nan", "a number"),
    (checks.number, 10**400, "a float can hold"),
    (checks.number, True, "a number"),
    (checks.amount, None, "a finite number"),
    (checks.amount, "inf", "a finite number"),
    (checks.amount, -1e-9, "a finite number"),
    (checks.numbers, {"loss": [1]}, "a number"),
    (checks.unique, ["a", "a"], "2 names that differ"),
    (checks.sides, (1,) * 9, "the shape of an array"),
    (checks.sides, (-1,), "the shape of an array"),
    (checks.sides, (0, 2**31, 2**31), "the shape of an array"),
    (lambda v: checks.several(v, checks.whole), "abc", "a list"),
    (lambda v: checks.several(v, checks.whole, 2), [1], "a list of 2"),
    (lambda v: checks.word(v, ("quiet", "loud")), ["loud"], "one of quiet, loud"),
    (lambda v: checks.entry(v, "a"), {}, "'a' is missing"),
]
TABLE = np.array([[0.0, 1.0], [np.nan, 0.5]], "f4")
UNFIT_ARRAYS = [
    (checks.floats, ([[1.0]], (1, 1)), "got list"),
    (checks.floats, (TABLE, (2,)), r"of shape \(2,\)"),
    (checks.floats, (TABLE, (None, 3)), r"of shape \(any, 3\)"),
    (checks.floats, (np.zeros((2, 2), int), (2, 2)), "expected floats"),
    (checks.floats, (np.array(["a"], object), (1,)), "expected floats"),
    (checks.finite, (TABLE, (2, 2)), "finite"),
    (checks.shares, (TABLE + 1, (2, 2)), "from 0 to 1"),
    (checks.numeric, (np.array([True]), (1,)), "numbers"),
    (checks.wholes, (TABLE[:1] / 2, (1, 2), 0, 9), "whole numbers"),
    (checks.wholes, (TABLE, (2, 2), 0, 9), "whole numbers"),
    (checks.wholes, (np.array([0.0, 9.0]), (2,), 0, 9), "under 9, got 0 to 9"),
]


@pytest.mark.parametrize(("check", "value", "expected"), FITS)
def test_what_is_written_fits(check, value, expected):
    """The value itself, or what it stands for."""
    assert check(value) == expected


@pytest.mark.parametrize(("check", "value", "words"), FAILS)
def test_what_does_not_fit_is_named(check, value, words):
    """One short line, whatever came."""
    with pytest.raises(Unreadable, match=words) as caught:
        check(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("check", "arguments", "words"), UNFIT_ARRAYS)
def test_arrays_that_do_not_fit_are_named(check, arguments, words):
    """By what was expected, and the shape and type that came."""
    with pytest.raises(Unreadable, match=words):
        check(*arguments)


def test_arrays_that_fit_pass_unchanged():
    """NaN stands for what is not known; whole numbers in floats become whole."""
    assert checks.floats(TABLE, (None, 2)) is TABLE
    assert checks.shares(TABLE, (2, 2)) is TABLE
    assert checks.finite(TABLE[0], (2,)) is not None
    assert checks.wholes(TABLE[0], (2,), 0, 2).tolist() == [0, 1]
