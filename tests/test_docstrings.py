"""The examples in docstrings run, and print what they say they print."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "keras_xai"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def module_name(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path, source in SOURCES.items() if ">>> " in source]


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name.removeprefix("keras_xai."))
def test_the_examples_of_a_module_print_what_they_say(name, tmp_path, monkeypatch):
    """Every line, in an empty directory, with the names that `tests/reader.py` makes: images and a CNN, or a table."""
    from tests import reader

    monkeypatch.chdir(tmp_path)
    # The clock stands still: on a slow machine a progress bar would be among what is printed.
    monkeypatch.setattr("keras_xai.attribution.progress.clock", lambda: 0.0)
    examples = [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]
    assert examples, "the example stands outside of a docstring"
    for test in examples:
        test.globs = test.globs | (reader.digits() if "images" in (test.docstring or "") else reader.table())
        printed: list[str] = []
        results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=printed.append)
        assert results.attempted == len(test.examples)
        assert not results.failed, "".join(printed)


def test_no_example_is_skipped():
    """An example that does not run is a claim that nobody checks."""
    assert [path.name for path, source in SOURCES.items() if "doctest: +SKIP" in source] == []
