"""The page about attributions: it names every method."""

import re
from pathlib import Path

import keras_xai as kx
from keras_xai.attribution import METHODS

PAGE = (Path(kx.__file__).parent.parent / "docs" / "attributions.md").read_text(encoding="utf-8")


def test_its_table_names_every_method():
    """In the order of the table in the code is not needed; each once."""
    table = PAGE[PAGE.index("## Which method") : PAGE.index("## Baselines")]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(METHODS)


def test_a_method_that_fails_a_sanity_test_says_so_with_the_figure():
    """In its docstring, as the page's tables have it; and who fails nothing does not."""
    row = re.compile(r"^\| `(\w+)` \| \S+ \| (\S+) \| (\S+) \(.*?\) \| (\S+) \(.*?\) \| (.+) \|$", re.MULTILINE)
    failing = set()
    for name, shuffled, deletion, insertion, faults in row.findall(PAGE):
        if faults != "none":
            failing.add(name)
        text = " ".join((METHODS[name].__doc__ or "").split())
        for word, figure in (
            ("randomisation", f"({shuffled} after all weights"),
            ("deletion", f"deletion {deletion}"),
            ("insertion", f"insertion {insertion}"),
        ):
            assert word not in faults or figure in text, (name, figure)
    assert failing == {name for name, method in METHODS.items() if "Sanity:" in (method.__doc__ or "")}
