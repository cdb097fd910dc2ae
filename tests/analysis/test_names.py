"""Long names side by side. The tab's twin is tested with the same cases in `tests/plugin/test_find.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.analysis.names import clip, distinct

CASES = json.loads((Path(__file__).parents[1] / "names.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{len(case['names'])} names in {case['length']}")
def test_names_are_cut_where_they_agree(case):
    """Runs, layers and features as people name them; one name alone, none, equal names, markup, emoji."""
    assert distinct(case["names"], case["length"]) == case["labels"]


@given(st.lists(st.text("ab/_.-1…", max_size=24), max_size=12), st.integers(4, 20))
def test_names_that_differ_have_labels_that_differ(names, length):
    """Whatever the names are; a name that fits stays, and no label is longer than its name."""
    labels = distinct(names, length)
    assert len(set(labels)) == len(set(names))
    for name, label in zip(names, labels, strict=True):
        assert len(label) <= max(len(name), length)
        assert label == name or len(name) > length


def test_a_clipped_name_has_its_length():
    """Both ends stay."""
    assert clip("abcdefghij", 5) == "ab…ij"
    assert clip("abc", 5) == "abc"
