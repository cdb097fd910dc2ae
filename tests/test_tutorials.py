"""The notebooks of docs/tutorials: each runs, what it says holds, and it ends in a decision.

What a notebook says of its data and figures stands as `assert` in cells with the tag "check", which the site leaves out.
"""

from __future__ import annotations

import ast

import pytest

from tests.helpers.pages import DOCS

TUTORIALS = sorted((DOCS / "tutorials").glob("*.ipynb"))
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def names_in(source: str, context: type[ast.expr_context]) -> set[str]:
    """Names that Python code binds (`ast.Store`) or reads (`ast.Load`); lines for the shell are left out."""
    code = "\n".join(line for line in source.splitlines() if not line.startswith("!"))
    return {
        node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_ends_in_a_decision(path, tmp_path):
    """In a fresh kernel: no cell fails, none warns, and the figures are those whose pictures are kept."""
    from benchmarks._notebooks import executed, figures, picture_path

    notebook = executed(path, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert "Decision: " in notebook.cells[-1].outputs[0].text
    kept = set((path.parent / "figures").glob(f"{path.stem}-*.webp"))
    assert kept == {picture_path(path, cell) for cell in figures(notebook)}


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_small_and_keeps_its_text(path):
    """A valid notebook with what its cells printed, the decision at its end, and nothing else: figures are pictures beside it."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert path.stat().st_size < 30_000
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type == "stream" or set(output.data) == {"text/plain"}
    assert notebook.cells[-1].outputs[0].text.startswith("Decision: ")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_reads_without_its_checks(path):
    """They assert something, and nothing that a reader sees needs them."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    bound: set[str] = set()
    bound_by_checks: set[str] = set()
    for cell in cells:
        if "check" in cell.metadata.get("tags", ()):
            assert "assert " in cell.source
            bound_by_checks |= names_in(cell.source, ast.Store)
        else:
            bound |= names_in(cell.source, ast.Store)
            assert not names_in(cell.source, ast.Load) & (bound_by_checks - bound)
    assert "check" not in cells[-1].metadata.get("tags", ())


def test_the_list_of_tutorials_has_each():
    """docs/tutorials/index.md links to all of them."""
    text = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in TUTORIALS if f"]({path.name})" not in text] == []
