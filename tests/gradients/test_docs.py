"""docs/weight_gradients.md: every situation stands in it, every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from keras_xai.records import FLAGS
from tests.gradients.situations import ALL_SITUATIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "weight_gradients.md").read_text(encoding="utf-8")


def test_every_situation_stands_in_the_matrix():
    """With its title and the test behind it."""
    rows = dict(re.findall(r"^\| (.+?) \| `test_every_situation\[(\w+)\]` \|$", TEXT, re.MULTILINE))
    assert {key: title for title, key in rows.items()} == {key: s.title for key, s in ALL_SITUATIONS.items()}


def test_every_flag_stands_in_the_table():
    """With its condition."""
    rows = TEXT[TEXT.index("| flag | when |") :]
    assert [kind for kind in FLAGS if f"\n| {kind} | " not in rows] == []


def test_every_test_that_is_named_exists():
    """A cell of the matrix is a promise."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()
