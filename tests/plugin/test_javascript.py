"""The tab's JavaScript is formatted, and its types hold: prettier and the TypeScript compiler say so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools" / "javascript"


def npm(script):
    """Runs a script of the tools' package.json; a skip, or in CI a failure, where the tools are not installed."""
    program = shutil.which("npm")
    if program is None or not (TOOLS / "node_modules").is_dir():
        words = "no JavaScript tools: `apt-get install nodejs npm`, then `npm ci` in tools/javascript"
        if os.environ.get("KERAS_XAI_REQUIRE_NODE") == "1":
            pytest.fail(words)
        pytest.skip(words)
    done = subprocess.run([program, "run", "--silent", script], cwd=TOOLS, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_javascript_and_stylesheet_are_formatted():
    """As prettier writes them: `npm run format` in tools/javascript."""
    npm("format:check")


def test_the_types_of_the_javascript_hold():
    """The TypeScript compiler, strict, over the modules and the types of the records that they read."""
    npm("types")


def test_the_lock_file_names_no_host():
    """The tools come from whatever registry npm is set to, and from no address of this machine."""
    packages = json.loads((TOOLS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in packages.items() if name)
