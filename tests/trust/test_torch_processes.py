"""Several processes of `torch.distributed`: Keras does not synchronise them, so they are refused before the first step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_xai as kx

pytestmark = pytest.mark.torch


def run(directory: Path, size: int) -> list[str]:
    """What each process prints."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.trust.torch_processes", str(directory / "store")]
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(directory / "logs")],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    printed = []
    for process in processes:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-4000:]
        printed.append(out)
    return printed


def test_two_processes_are_refused_at_train_begin(tmp_path):
    """In both, in words, with no step and no file; without us they train on."""
    for out in run(tmp_path, 2):
        assert "refused after 0 steps" in out
        assert "torch.distributed" in out
        assert "2 processes" in out
        assert "trained 3 steps" in out
    assert kx.load(tmp_path) == {}


def test_one_process_alone_is_watched(tmp_path):
    """Where `torch.distributed` is initialised for a single process, as some launchers do."""
    (out,) = run(tmp_path, 1)
    assert "refused" not in out
    assert "trained 6 steps" in out
    assert kx.load(tmp_path)["logs"].epochs == [0, 1]
