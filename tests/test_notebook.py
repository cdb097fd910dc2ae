"""A notebook that is executed and converted: its page shows the tables, and the figures where plotly is told to."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbconvert")
pytest.importorskip("ipykernel")

CELLS = (
    "import keras_xai as kx\nruns = kx.load({directory!r})\nruns",
    "runs['columns'].figure('probe_attributions', samples=2)",
)


@pytest.mark.full
@pytest.mark.parametrize("renderer", ["notebook", None])
def test_a_converted_notebook_shows_runs_and_figures(told_directory, tmp_path, renderer):
    """With PLOTLY_RENDERER=notebook; by plotly's default figures are left out, and the tables of runs are there all the same."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell.format(directory=str(told_directory))) for cell in CELLS]
    nbformat.write(notebook, tmp_path / "page.ipynb")
    environment = {**os.environ, **({"PLOTLY_RENDERER": renderer} if renderer else {})}
    if renderer is None:
        environment.pop("PLOTLY_RENDERER", None)
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "page.ipynb"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">alarm<" in page
    assert ("Plotly.newPlot" in page) == bool(renderer)
