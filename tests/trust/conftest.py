"""A small training with and without us, and what may be told of a fault."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import keras_xai as kx
from keras_xai.backend import get_backend
from tests.helpers.processes import Processes
from tests.trust.trainings import state, trained


@pytest.fixture(scope="session")
def alone() -> Callable[[int], list[np.ndarray]]:
    """`alone(epochs)`: the state after so many epochs without us."""
    states: dict[int, list[np.ndarray]] = {}

    def state_after(epochs: int) -> list[np.ndarray]:
        if epochs not in states:
            states[epochs] = state(trained(epochs=epochs))
        return states[epochs]

    return state_after


@pytest.fixture
def probe() -> kx.Probe:
    """Three small images."""
    images = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    return kx.Probe(images, [0, 1, 2], class_names=["zero", "<b>one</b>", "two"])


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Two processes: a callback that begins to train in one of them has the other one in its team."""
    both = Processes()
    monkeypatch.setattr(get_backend(), "team", both.team)
    return both
