"""Which variables are recorded."""

from __future__ import annotations

import pytest

from keras_xai.errors import InvalidInput
from keras_xai.gradients.selection import Selection

PATHS = ["backbone/stem/kernel", "backbone/top_conv/kernel", "backbone/top_conv/bias", "head/kernel", "head/bias"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4]),
        ("backbone", None, [0, 1, 2]),
        ("backbone/top_conv", None, [1, 2]),
        ("top_conv", None, [1, 2]),
        ("head/bias", None, [4]),
        ("*/kernel", None, [0, 1, 3]),
        ("backbone/*", "bias", [0, 1]),
        (["stem", "head"], None, [0, 3, 4]),
        (None, ["backbone", "head/b*"], [3]),
    ],
)
def test_patterns_match_stretches_of_the_path(include, exclude, expected):
    """Layer paths, layer names, sub-models, variables, wildcards."""
    selection = Selection.of(include, exclude)
    selection.check(PATHS)
    assert [k for k, path in enumerate(PATHS) if path in selection] == expected


def test_part_of_a_name_is_not_a_match():
    """Without a wildcard a pattern is whole parts."""
    assert "backbone/stem/kernel" not in Selection.of("back", None)


def test_unknown_patterns_name_close_matches():
    """Also in `exclude`: a typing error there would record what was to be left out."""
    for selection in (Selection.of("backbone/top_con", None), Selection.of(None, "backbone/top_con")):
        with pytest.raises(InvalidInput, match=r"backbone/top_con'.*Did you mean 'backbone/top_conv'"):
            selection.check(PATHS)


def test_selections_that_leave_nothing_are_refused():
    """Whether by an empty list or by taking everything out."""
    with pytest.raises(InvalidInput, match="selects nothing"):
        Selection.of([], None)
    with pytest.raises(InvalidInput, match="leave no variable"):
        Selection.of("head", "head").check(PATHS)


@pytest.mark.parametrize("given", [3, [3], "", [None]])
def test_what_is_not_text_is_refused(given):
    """Patterns are text."""
    with pytest.raises(InvalidInput, match=r"include=.*as text"):
        Selection.of(given, None)
