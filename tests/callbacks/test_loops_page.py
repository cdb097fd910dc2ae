"""The loops of the page on custom loops run, each on its framework; those of TensorFlow in tests/test_docs.py."""

from __future__ import annotations

import pytest

import keras_xai as kx
from tests.frameworks import BACKEND
from tests.helpers.pages import DOCS, blocks

PAGE = DOCS / "custom_loops.md"
LOG_DIRS = {"tensorflow": {"tape", "function"}, "jax": {"jax"}, "torch": {"torch"}}


@pytest.mark.every_backend
@pytest.mark.jax
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:ALERT")
def test_the_loops_of_this_framework_run(tmp_path, monkeypatch):
    """Their blocks one after the other, behind the common ones; five epochs each, with the gradients that are promised."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(PAGE, "python"):
        exec(compile(block, str(PAGE), "exec"), names)
    check_loops_of_this_framework(names)


def check_loops_of_this_framework(names: dict[str, object]) -> None:
    """Run the blocks of this framework behind the common ones, and look at the runs."""
    for block in blocks(PAGE, f"python {BACKEND}"):
        exec(compile(block, str(PAGE), "exec"), names)
    runs = kx.load("logs")
    assert set(runs) == {"batches", "step", *LOG_DIRS[BACKEND]}
    for name, run in runs.items():
        assert sorted(set(run.epochs)) == [0, 1, 2, 3, 4], name
        assert all(record.logs["loss"] > 0 for record in run.history), name
        assert all(record.steps and not record.missing for record in run.weight_gradients), name
    for name in LOG_DIRS[BACKEND] - {"function"}:
        assert [record.step for record in runs[name].history][:4] == [8, 12, 16, 24]
