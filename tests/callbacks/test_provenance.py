"""How a training was begun is recorded: once, at each restart, without a secret, and at no risk to the training."""

import sys

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.callbacks import provenance as provenance_module
from keras_xai.callbacks.command import recorded_command, without_secrets


@pytest.mark.every_backend
@pytest.mark.oldest
def test_a_run_says_what_began_it(model, fit, data, tmp_path, monkeypatch):
    """Versions, backend, model, probe, seed and command of a real training; the counts by hand."""
    monkeypatch.setattr(sys, "argv", ["/home/me/train.py", "--lr", "0.1", "--api-key", "abc"])
    monkeypatch.setitem(sys.modules, "__main__", object())
    probe = kx.Probe(*data, slices={"side": np.where(data[1] > 0, "left", "right")})
    fit(model, kx.ProbeAttributions(tmp_path, probe, samples=4), epochs=1)
    [record] = kx.load(tmp_path)["."].provenance
    assert (record.epoch, record.step, record.epochs) == (0, None, 1)
    assert record.backend == keras.backend.backend()
    assert list(record.versions) == ["keras_xai", "keras", record.backend, "numpy", "python"]
    assert record.versions["keras"] == keras.__version__
    assert record.command == ("train.py", "--lr", "0.1", "--api-key", "***")
    assert record.model.parameters == model.count_params() == sum(layer.parameters for layer in record.model.layers)
    assert [layer.name for layer in record.model.layers] == [layer.name for layer in model.layers]
    assert (record.model.kind, record.model.optimizer) == (type(model).__name__, type(model.optimizer).__name__)
    assert (record.probe.size, record.probe.gallery, record.probe.slices) == (len(data[0]), 4, ("side",))
    assert (record.probe.source, record.probe.hash) == ("numpy.ndarray", probe.of_kind(record.probe.kind).hash)
    assert record.seed == (1 if record.seed_is_known else None)


@pytest.mark.parametrize("every", [1, "1 steps"])
def test_a_run_that_goes_on_keeps_the_first_record_and_adds_one(model, fit, tmp_path, every):
    """At the epoch of the restart."""
    fit(model, kx.WeightGradients(tmp_path, every=every), epochs=2)
    fit(model, kx.WeightGradients(tmp_path, every=every), epochs=3, initial_epoch=2)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0, 1, 2]
    assert [record.epoch for record in run.provenance] == [0, 2]
    assert [record.epochs for record in run.provenance] == [2, 3]
    assert run.passed_over == {}


def test_a_model_without_weights_is_described_once_it_has_them(fit, tmp_path):
    """Its weights come with the first step."""
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, kx.WeightGradients(tmp_path), epochs=2)
    [record] = kx.load(tmp_path)["."].provenance
    assert record.model.parameters == model.count_params() > 0


@pytest.mark.parametrize("part", ["_model_summary", "_versions", "recorded_command", "provenance_of", "global_seed"])
def test_a_fault_costs_a_line_and_no_more(model, fit, tmp_path, monkeypatch, part):
    """The training goes on without a warning, and is recorded."""

    def fail(*arguments, **options):
        raise RuntimeError("planted")

    module = provenance_module if part != "provenance_of" else sys.modules["keras_xai.callbacks.model_reading"]
    monkeypatch.setattr(module, part, fail)
    callback = kx.WeightGradients(tmp_path, on_error="raise")
    fit(model, callback, epochs=1)
    run = kx.load(tmp_path)["."]
    assert run.epochs == [0]
    assert len(run.provenance) == (part != "provenance_of")
    if part == "global_seed":
        assert not run.provenance[0].seed_is_known


def test_the_seed_is_that_of_keras(monkeypatch):
    """Not set, set, and of a Keras that keeps none."""
    from keras.src.utils import rng_utils

    if hasattr(rng_utils, "get_random_seed"):
        keras.utils.set_random_seed(7)
        assert provenance_module.global_seed() == (7, True)
        monkeypatch.setattr(rng_utils, "get_random_seed", lambda: None)
        assert provenance_module.global_seed() == (None, True)
        monkeypatch.delattr(rng_utils, "get_random_seed")
    assert provenance_module.global_seed() == (None, False)


def test_the_command_can_be_left_out(monkeypatch):
    """By an environment variable; of a notebook only that it is one, of a module its name."""
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "/run/user/kernel-123.json"])
    assert recorded_command() == ("notebook",)
    monkeypatch.setattr(sys, "argv", ["/home/me/project/train.py", *["x" * 1000] * 100])
    assert recorded_command()[0] != "/home/me/project/train.py"
    assert len(recorded_command()) < 100
    assert max(map(len, recorded_command())) == 300
    monkeypatch.setenv("KERAS_XAI_COMMAND", "0")
    assert recorded_command() == ()


@pytest.mark.parametrize(
    ("arguments", "recorded"),
    [
        (["--token=abc", "--lr=0.1"], ["--token=***", "--lr=0.1"]),
        (["--password", "abc", "last"], ["--password", "***", "last"]),
        (["--use-auth", "--lr", "1"], ["--use-auth", "--lr", "1"]),
        (["+db.secret=abc"], ["+db.secret=***"]),
        (["s3://key:pw@bucket/path"], ["s3://***@bucket/path"]),
        (["hf_abcdefghijklmnop"], ["***"]),
        (["--epochs", "3", "data.csv"], ["--epochs", "3", "data.csv"]),
    ],
)
def test_secrets_are_hidden(arguments, recorded):
    """By the name of their option, in a URL, and by their own form; everything else is as it came."""
    assert without_secrets(arguments) == recorded
