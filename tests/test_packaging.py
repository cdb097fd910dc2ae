"""The package as it is installed: with the pages of the documentation, which the tab shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keras_xai

ROOT = Path(__file__).parent.parent
HEAD = re.compile(r"^## (?:Unreleased|(\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\))$")


def test_the_version_is_the_same_wherever_it_stands():
    """In the package, in the citation, and in what the command that sets it takes for the present one."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    tools = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"\nversion: {keras_xai.__version__}\n" in citation
    assert f'\ncurrent_version = "{keras_xai.__version__}"\n' in tools


def test_the_head_of_the_changelog_is_what_comes_next_or_this_version():
    """Each head is "Unreleased", the first alone, or a version with its date; the newest of these is the package's."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    heads = [HEAD.match(line) for line in lines if line.startswith("## ")]
    assert None not in heads, [line for line in lines if line.startswith("## ")]
    versions = [head[1] for head in heads if head]
    released = versions[1:] if versions[0] is None else versions
    assert None not in released
    assert released == [] or released[0] == keras_xai.__version__
    as_numbers = [[int(part) for part in version.split(".")] for version in released if version]
    assert as_numbers == sorted(as_numbers, reverse=True)


@pytest.mark.full
def test_the_package_has_the_documentation_with_it(tmp_path):
    """As setuptools builds it, into a wheel too: every page and image but the site's own, read by the plugin from there."""
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
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file() and path.suffix != ".ipynb"]
    files = [
        path for path in files if path.parent.name not in ("gallery", "figures")
    ]  # of the site alone, and of the notebooks
    pages = {path.relative_to(ROOT / "docs") for path in files}
    folder = built / "keras_xai" / "docs"
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == pages
    assert {path.name for path in built.glob("*")} == {"keras_xai"}
    program = "from keras_xai.plugin import documentation as d; print(d.folder()); assert '<h1' in d.page('index')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=built, env={"PYTHONPATH": str(built)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(folder), done.stderr
