"""`MirroredStrategy` on two virtual devices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.tensorflow  # whose strategy it is
def test_two_replicas_give_the_gradient_of_the_whole_batch(tmp_path):
    """Figures of the all-reduced gradient, weights bit-identical with and without us, loss scaling included."""
    arguments = [sys.executable, "-m", "tests.gradients.mirrored", str(tmp_path)]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
