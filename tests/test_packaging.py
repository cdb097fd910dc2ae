"""The package as it is installed: with the pages of the documentation, which the tab shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.full
def test_the_package_has_the_documentation_with_it(tmp_path):
    """As setuptools builds it, into a wheel too: every page and image, read by the plugin from there."""
    pytest.importorskip("setuptools")
    source, built = tmp_path / "source", tmp_path / "built"
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("keras_xai", "docs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=left_out)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.is_file()}
    folder = built / "keras_xai" / "docs"
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == pages
    assert {path.name for path in built.glob("*")} == {"keras_xai"}
    program = "from keras_xai.plugin import documentation as d; print(d.folder()); assert '<h1' in d.page('index')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=built, env={"PYTHONPATH": str(built)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(folder), done.stderr
