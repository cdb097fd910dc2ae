"""The documentation site, without building it: its reference has every public name, and its pages say what the code says."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path

import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.cli import command_parser
from keras_xai.figures import FIGURES, PANELS
from keras_xai.figures.colour import TOKENS
from tests.helpers.pages import DOCS, ROOT

SITE = ROOT / "tools" / "site"
REFERENCE = {path.stem: path.read_text(encoding="utf-8") for path in sorted((SITE / "reference").glob("*.md"))}
NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def documented(page: str | None = None) -> list[str]:
    """The names behind each `:::`, of a page of the reference or of all."""
    texts = REFERENCE.values() if page is None else [REFERENCE[page]]
    return [name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]


def resolved(name: str) -> object:
    """The object that a name stands for; a module where it is one."""
    module, _, attribute = name.rpartition(".")
    holder = importlib.import_module(module)
    return getattr(holder, attribute) if hasattr(holder, attribute) else importlib.import_module(name)


def test_the_reference_has_every_public_name():
    """A name of `kx.__all__`; of its modules each function, or the module as a whole."""
    objects = [resolved(name) for name in documented()]
    for name in kx.__all__:
        value = getattr(kx, name)
        parts = getattr(value, "__all__", ()) if value not in objects else ()
        for public in [getattr(value, part) for part in parts] or [value]:
            assert public in objects, f"{public}: give it a `:::` in tools/site/reference"


def test_the_reference_has_every_record():
    """The modules of records stand there as a whole; the page leaves out what stands on another, and helpers."""
    assert {"keras_xai.records", "keras_xai.training_records"} <= set(documented("records"))
    [left_out] = re.findall(r"!\^\(([\w|]+)\)\$", REFERENCE["records"])
    records = importlib.import_module("keras_xai.records")
    classes = [name for name in left_out.split("|") if isinstance(getattr(records, name, None), type)]
    assert all(f"keras_xai.records.{name}" in documented() for name in classes)


@pytest.mark.parametrize(("page", "named"), [("figures", {**FIGURES, **PANELS}), ("methods", METHODS)])
def test_the_reference_has_every_figure_and_method_under_its_name(page, named):
    """The heading is the name by which it is asked for."""
    entries = re.findall(r"^::: (\S+)\n    options:\n      heading: (\w+)$", REFERENCE[page], re.MULTILINE)
    assert {heading: resolved(path) for path, heading in entries} == named


def test_the_navigation_has_every_page():
    """Of docs/ and of the reference; tutorials are listed by themselves."""
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    pages += [f"reference/{name}.md" for name in REFERENCE]
    missing = [page for page in pages if not page.startswith("tutorials/") and not re.search(rf" {page}\n", NAVIGATION)]
    assert missing == []


def test_the_colours_of_the_site_are_those_of_the_product():
    """In both themes; no colour stands anywhere else in the stylesheet."""
    style = (SITE / "theme" / "stylesheets" / "keras_xai.css").read_text(encoding="utf-8")
    for scheme, theme in (("default", "light"), ("slate", "dark")):
        [block] = re.findall(rf'\[data-md-color-scheme="{scheme}"\] {{(.*?)}}', style, re.DOTALL)
        colours = dict(re.findall(r"--kx-([\w-]+): (#\w+);", block))
        assert colours == {name: TOKENS[theme][name] for name in colours}
    assert len(re.findall("#[0-9a-f]{3,8}\\b", style)) == style.count("--kx-") - style.count("var(--kx-")


def test_a_notebook_is_a_page_of_its_text_and_code():
    """What a cell printed or drew, where it was kept, stands below; an empty cell is nothing, nor is a check."""
    spec = importlib.util.spec_from_file_location("notebook_pages", SITE / "notebook_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "\n", "Text."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {"cell_type": "code", "source": "figure", "outputs": [{"data": {"image/png": "AA==\n", "text/plain": "F"}}]},
        {"cell_type": "code", "source": "", "outputs": []},
    ]
    checks = {"cell_type": "code", "source": "assert f", "metadata": {"tags": ["check"]}, "outputs": []}
    drawing = {"cell_type": "code", "source": "f", "id": "gap", "outputs": []}
    more = module.page_of({"cells": [*cells, checks, drawing]}, "a.ipynb", {"figures/a-gap.webp"})
    assert more.endswith("```python\nf\n```\n\n![What this cell draws](figures/a-gap.webp)\n")
    assert "assert f" not in more
    lines = module.page_of({"cells": cells}, "a.ipynb").split("\n\n")
    assert lines[:2] == ["# A", "Text."]
    assert 'href="a.ipynb"' in lines[2]
    assert lines[3:] == [
        "```python\nprint(1)\n```",
        "``` { .text .output }\n1\n```",
        "```python\nfigure\n```",
        "![](data:image/png;base64,AA==)\n",
    ]


def sections(page: Path, level: str) -> dict[str, str]:
    """What stands below each heading of a level."""
    parts = re.split(rf"^{level} (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_the_page_of_methods_says_what_the_code_says(name):
    """Formula and papers of the docstring, and a row of what the method promises."""
    method = METHODS[name]
    section = sections(DOCS / "methods.md", "###")[method.title]
    docstring = method.__doc__ or ""
    first = " ".join(docstring.partition("\n\n")[0].split())
    assert f"`{name}`, " in section
    assert re.findall(r"```\n(values = .*)\n```", section) == [
        re.findall(r"^ +(values = .*)$", docstring, re.MULTILINE)[0]
    ]
    assert set(re.findall(r"arXiv [\d.]+\d|doi \S+\d", first)) <= set(re.findall(r"arXiv [\d.]+\d|doi \S+\d", section))
    kind = method.quantity if method.input_shaped or method.quantity == "slope" else "map"
    adds_up = "yes" if method.satisfies_completeness else "no"
    shape = "input" if method.input_shaped else "layer"
    asks = "gradients" if method.needs_gradient else "forward passes"
    row = f"| `{name}` | {kind} | {adds_up} | {shape} | {asks} |"
    assert row in (DOCS / "methods.md").read_text(encoding="utf-8")


def test_the_page_of_the_command_line_has_every_option():
    """Under the heading of its command, with the words of `--help`."""
    pages = sections(DOCS / "command_line.md", "##")
    [commands] = [action for action in command_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for command, parser in commands.choices.items():
        options = [action for action in parser._actions if action.help and action.dest != "help"]
        for action in options:
            name = " ".join(filter(None, [(action.option_strings or [action.dest])[0], action.metavar]))
            words = action.help.replace("%(default)s", str(action.default))
            assert f"| `{name}` | {words} |" in pages[f"keras-xai {command}"]


def test_the_costs_of_the_faq_are_those_that_were_measured():
    """Each row of its table stands in the page that says how they were measured."""
    measured = (DOCS / "trust.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in (DOCS / "faq.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert [row for row in rows if row not in measured] == []
