"""The loops of the page on custom loops run, each on its framework; those of TensorFlow in tests/test_docs.py."""

from __future__ import annotations

import pytest

from tests.helpers.loops_page import PAGE, check_loops_of_this_framework
from tests.helpers.pages import blocks


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
