"""All callbacks under a distribution strategy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.tensorflow
def test_two_replicas_are_watched_by_one_writer(tmp_path):
    """Right numbers, one file, weights as without us; what plain Keras cannot do there gives its own error."""
    arguments = [sys.executable, "-m", "tests.trust.mirrored", str(tmp_path)]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
