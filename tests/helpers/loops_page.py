"""The blocks of the page on custom loops that are for one framework, and what comes of them."""

from __future__ import annotations

import keras_xai as kx
from tests.frameworks import BACKEND
from tests.helpers.pages import DOCS, blocks

PAGE = DOCS / "custom_loops.md"
LOG_DIRS = {"tensorflow": {"tape", "function"}, "jax": {"jax"}, "torch": {"torch"}}


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
