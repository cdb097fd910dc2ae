"""The notebooks of docs/tutorials: run in a kernel of their own, and what of a run is kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

import keras_xai

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
FIGURE = "application/vnd.plotly.v1+json"
SECONDS = 600
# What C++ writes into the process's standard error is no output of a cell: TensorFlow greets there, whatever it is told.
CONFIGURATION = "c = get_config()\nc.IPKernelApp.capture_fd_output = False\n"


def notebooks() -> list[Path]:
    """Return the files of the tutorials, by name."""
    return sorted(TUTORIALS.glob("*.ipynb"))


def executed(path: Path, folder: Path) -> Any:
    """Run a notebook in a fresh kernel, and return it with its outputs.

    Args:
        path: of the notebook, which is not written to.
        folder: an empty directory; temporary files of the notebook are written there.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(CONFIGURATION, encoding="utf-8")
    environment = {
        **os.environ,
        "IPYTHONDIR": str(profile.parent),
        "KERAS_BACKEND": "tensorflow",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(Path(keras_xai.__file__).parents[1]),  # the package that this process has imported
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": str(folder),
    }
    environment.pop("PLOTLY_RENDERER", None)
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources)
    client.execute(env=environment)
    return notebook


def figures(notebook: Any) -> dict[str, Any]:
    """Return what the cells of a notebook drew, as plotly's JSON, by the id of the cell."""
    return {
        cell.id: output.data[FIGURE]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if FIGURE in output.get("data", {})
    }


def picture_path(path: Path, cell: str) -> Path:
    """Return where the picture of a figure is kept."""
    return path.parent / "figures" / f"{path.stem}-{cell}.webp"


def keep_text(notebook: Any) -> None:
    """Leave of the outputs what was printed, in one piece, and values as text; of the kernel its language."""
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.metadata.pop("execution", None)
        outputs = [_as_text(output) for output in cell.outputs if FIGURE not in output.get("data", {})]
        cell.outputs = []
        for output in outputs:
            before = cell.outputs[-1] if cell.outputs else None
            if before is not None and output.output_type == before.output_type == "stream":
                before.text += output.text
            else:
                cell.outputs.append(output)


def _as_text(output: Any) -> Any:
    if output.output_type == "stream":
        return output
    text = {"text/plain": output.data["text/plain"]}
    return nbformat.v4.new_output("display_data", text)
