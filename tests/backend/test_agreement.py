"""The same weights give the same answers on every backend: one process each, compared array by array."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backend.agreement import KINKED, LOOPS, MODELS, SMOOTH

OTHERS = ("jax", "torch")
ROW = 1e-5  # of the largest value: the rounding of single precision after a few layers
# Where a rounding lands on the other side of a rectifier's kink, or at another place of a maximum, a whole row moves.
FLIPPED = 1e-4
FLIPPED_ROWS = 0.1  # the share of such rows of a model with kinks


# PyTorch runs a recurrent layer step by step: those models take longer than all others.
QUICK = tuple(name for name in MODELS if name not in LOOPS)


@pytest.fixture(scope="module", params=[QUICK, pytest.param(LOOPS, marks=pytest.mark.full)], ids=["", "recurrent"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """{backend: {name: array}}; skipped where a framework is not installed, unless KERAS_XAI_REQUIRE_BACKENDS says it is."""
    missing = [name for name in OTHERS if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("KERAS_XAI_REQUIRE_BACKENDS") != "1":
        pytest.skip(f"{' and '.join(missing)}: not installed")
    directory = tmp_path_factory.mktemp("agreement")
    root = Path(__file__).parents[2]
    processes = {}
    for backend in ("tensorflow", *OTHERS):
        # One thread: on few cores PyTorch's threads wait for each other most of the time.
        environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        arguments = f"{str(directory / backend)!r}, {request.param!r}"
        code = f"from tests.backend.agreement import write_answers; write_answers({arguments})"
        command = [sys.executable, "-W", "ignore", "-c", code]
        processes[backend] = subprocess.Popen(command, env=environment, cwd=root, stderr=subprocess.PIPE, text=True)
    for backend, process in processes.items():
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, f"{backend}: {errors[-3000:]}"
    return {backend: dict(np.load(directory / f"{backend}.npz")) for backend in processes}


def differences(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The largest difference in each row, relative to the largest value of all."""
    scale = np.abs(reference[np.isfinite(reference)]).max(initial=1e-12)
    apart = np.abs(np.nan_to_num(values) - np.nan_to_num(reference)) / scale
    return apart.reshape(len(apart), -1).max(1) if apart.ndim else apart.reshape(1)


def disagreements(answers: dict[str, dict[str, Any]], backend: str, models: tuple[str, ...]) -> list[str]:
    """What a backend answers otherwise than TensorFlow, a line each."""
    lines = []
    for name, reference in answers["tensorflow"].items():
        model, values = name.split("|")[0], answers[backend].get(name)
        if model not in models:
            continue
        if values is None or values.shape != reference.shape:
            lines.append(f"{name}: {None if values is None else values.shape} for {reference.shape}")
        elif reference.dtype.kind in "Ub":
            if not (values == reference).all():
                lines.append(f"{name}: {values} for {reference}")
        elif not (np.isnan(values) == np.isnan(reference)).all():
            lines.append(f"{name}: NaN elsewhere")
        else:
            apart = differences(values, reference)
            flipped = (apart > FLIPPED).mean() if model in KINKED else (apart > ROW).mean()
            if np.median(apart) > ROW or flipped > (FLIPPED_ROWS if model in KINKED else 0):
                lines.append(f"{name}: median row {np.median(apart):.1e}, worst {apart.max():.1e}")
    return lines


@pytest.mark.parametrize("backend", OTHERS)
def test_smooth_models_have_the_same_answers_in_every_row(answers, backend):
    """Values, scores, shares, curves and mapping matrices to 1e-5 of the largest."""
    assert disagreements(answers, backend, SMOOTH) == []


@pytest.mark.parametrize("backend", OTHERS)
def test_models_with_kinks_have_the_same_answers_but_for_a_few_rows(answers, backend):
    """The median row to 1e-5, and at most one row in ten off by more than 1e-4."""
    assert disagreements(answers, backend, KINKED) == []


@pytest.mark.parametrize("backend", OTHERS)
def test_the_same_questions_are_answered(answers, backend):
    """No method, layer or statistic is missing or added, and each kind of answer is compared."""
    assert set(answers[backend]) == set(answers["tensorflow"])
    parts = {name.split("|")[1] for name in answers["tensorflow"]}
    assert {"integrated_gradients", "deeplift", "kernel_shap", "importance", "mapping", "deletion"} <= parts
