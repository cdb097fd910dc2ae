"""The demo as a newcomer runs it."""

import re
import subprocess
import sys

import pytest

import keras_xai as kx
from keras_xai.cli import main
from keras_xai.demo import FROM_START


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(what the command printed, the log directory)."""
    logs = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "keras_xai.cli", "demo", str(logs), "--seed", "0"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600), logs


def test_the_model_is_caught(demo):
    """The live rows see the watermark at its epoch, in its corner, and say that the data changed."""
    _, logs = demo
    run = kx.load(logs)["."]
    first = run.alerts[0]
    assert first.epoch in (14, 15)
    assert (first.source, first.verdict) == ("data", "data changed")
    corner = {f"block ({r},{c})" for r in (0, 1) for c in (0, 1)}
    assert first.features[0].name in corner


def test_the_terminal_says_so(demo):
    """The alert with epoch, verdict and region, progress, and how to open TensorBoard; no noise on stderr."""
    printed, logs = demo
    assert "ALERT    epoch 14 (Keras prints 15): the training data changed: block (" in printed.stdout
    assert printed.stdout.count("accuracy on clean images") == 24
    assert f"tensorboard --logdir {logs}" in printed.stdout
    assert printed.stderr == ""


@pytest.mark.every_backend
def test_a_watermark_from_the_first_epoch_is_caught_at_the_third_update(tmp_path, capsys, monkeypatch):
    """By the gap of training rows to probe, in its corner, in words and figures; no drift is seen, and `check` ends with 1."""
    monkeypatch.setattr("keras_xai.demo.FROM_START", FROM_START._replace(epochs=4))
    assert main(["demo", "--from-start", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    run = kx.load(tmp_path)["."]
    assert run.epochs == list(range(4))
    first = run.alerts[0]
    assert (first.epoch, first.source, first.verdict) == (2, "gap", "training-only shortcut")
    corner = {f"block ({r},{c})" for r in (0, 1) for c in (0, 1)}
    assert first.features[0].name in corner
    assert {alert.source for alert in run.alerts} == {"gap"}
    assert "ALERT    epoch 2 (Keras prints 3): in the training rows block (" in printed
    assert re.search(r"epoch  2 .* gap +\d+\.\d \(limit 4\.25\)\n", printed)
    assert main(["check", str(tmp_path)]) == 1


def test_every_part_was_recorded(demo):
    """Gradients, three methods, importance of both probes, 24 epochs of each; no gradient flag in a normal training."""
    run = kx.load(demo[1])["."]
    assert run.epochs == list(range(24))
    assert len(run.weight_gradients) == len(run.importance.epochs) == len(run.importance_live.epochs) == 24
    assert run.methods == ("grad_cam", "integrated_gradients", "saliency")
    assert not any(g.flags for g in run.weight_gradients)
    assert all(g.steps == 3 for g in run.weight_gradients)
    notes = [note for epoch in run.history[2:] for note in epoch.notes]
    assert [note.split(" took")[0] for note in notes] in (
        [],
        ["The callbacks"],
    )  # their share of so short a training, once


def test_a_log_dir_that_cannot_be_written_is_said_in_one_line(tmp_path):
    """No traceback, exit status 2."""
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "keras_xai.cli", "demo", str(tmp_path / "file")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "is a file" in process.stderr
    assert "Traceback" not in process.stderr
