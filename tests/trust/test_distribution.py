"""All callbacks under `keras.distribution`: on two devices of one process, and in two processes on loopback.

Batches divided among the devices (`DataParallel`), or one layer's weights (`ModelParallel`): the same figures everywhere, one
writer, and what happens in one process happens in both.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_xai as kx

pytestmark = [pytest.mark.every_backend, pytest.mark.jax]

ROOT = Path(__file__).parents[2]
SECONDS = 240  # after which a process hangs, and is killed
KILLED = -9
# As where TensorFlow is not installed.
PROGRAM = "import sys; sys.modules['tensorflow'] = None; from tests.trust.distributed import main; main()"


def start(directory: Path, *arguments: Any, devices: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-c", PROGRAM, str(directory), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Outcome:
    """What the scenarios of one or two processes came to."""

    def __init__(self, directory: Path, spread: str, *scenarios: str, processes: int) -> None:
        self.directory, self.ranks = directory, [""] if processes == 1 else ["0", "1"]
        port = free_port()
        running = []
        for rank in range(processes):
            ours = [] if processes == 1 else ["--process", rank, port]
            running.append(start(directory, spread, *scenarios, *ours, devices=2 // processes))
        outputs = []
        try:
            outputs += [process.communicate(timeout=SECONDS)[0] for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait(30)
        self.codes = [process.returncode for process in running]
        expected = [0, KILLED] if "killed" in scenarios else [0] * processes
        assert self.codes == expected, "\n".join(outputs)[-6000:]

    def values(self, scenario: str, rank: str = "") -> dict[str, Any]:
        with np.load(self.directory / f"{scenario}{rank}.npz") as saved:
            return dict(saved)

    def warnings(self, scenario: str, rank: str) -> str:
        return (self.directory / f"{scenario}{rank}.txt").read_text()

    def run(self, scenario: str) -> kx.Run:
        """What the chief wrote; nobody else wrote anything."""
        written = [rank for rank in self.ranks if (self.directory / f"{scenario}{rank}").exists()]
        assert written == self.ranks[:1]
        runs = kx.load(self.directory / f"{scenario}{self.ranks[0]}")
        assert list(runs) == ["."]
        return runs["."]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """On two devices, batches divided: what all others are compared with."""
    return Outcome(tmp_path_factory.mktemp("one"), "data", "watched", "in_steps", "stops", processes=1)


@pytest.fixture(scope="module")
def data_processes(tmp_path_factory):
    scenarios = "watched", "in_steps", "stops", "fault", "live", "refused", "alone", "killed"
    return Outcome(tmp_path_factory.mktemp("data"), "data", *scenarios, processes=2)


@pytest.fixture(scope="module")
def model_processes(tmp_path_factory):
    return Outcome(tmp_path_factory.mktemp("model"), "model", "watched", "stops", "raises", processes=2)


@pytest.fixture(scope="module")
def model_devices(tmp_path_factory):
    return Outcome(tmp_path_factory.mktemp("model_devices"), "model", "watched", processes=1)


@pytest.fixture(params=["model_devices", "data_processes", "model_processes"])
def several(request):
    return request.getfixturevalue(request.param)


def test_the_same_figures_wherever_the_model_lies(one_process, several):
    """To the last digits: sums over devices are added in another order. The weights are as without us, bit for bit."""
    expected = one_process.values("watched")
    for rank in several.ranks:
        values = several.values("watched", rank)
        assert set(values) == set(expected)
        for name, figures in values.items():
            np.testing.assert_allclose(figures, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
        for name, figures in several.values("watched", several.ranks[0]).items():
            if name.startswith("xai_"):
                np.testing.assert_array_equal(values[name], figures, err_msg=name)
        said = several.warnings("watched", rank)
        assert ("The probe has 64 rows" in said) == (rank == several.ranks[0])
        assert "\n" not in said


def test_the_record_is_whole_and_the_same(one_process, several):
    """One file by one writer, with the gradients, attributions and importance of a training on one process."""
    run, expected = several.run("watched"), one_process.run("watched")
    directory = several.directory / f"watched{several.ranks[0]}" / "keras_xai"
    assert len(list(directory.glob("*tfevents*"))) == 1
    assert run.epochs == expected.epochs == [0, 1, 2]
    np.testing.assert_allclose(run.importance.share, expected.importance.share, rtol=1e-4)
    np.testing.assert_allclose(run.importance_live.share, expected.importance_live.share, rtol=1e-4)
    for record, other in zip(run.weight_gradients, expected.weight_gradients, strict=True):
        assert record.missing == ""
        np.testing.assert_allclose(record.statistics["rms"], other.statistics["rms"], rtol=1e-4)
    for record, other in zip(run.attributions("saliency"), expected.attributions("saliency"), strict=True):
        np.testing.assert_allclose(record.values, other.values, rtol=1e-3, atol=1e-5)
    for record, other in zip(run.mappings, expected.mappings, strict=True):
        np.testing.assert_allclose(record.result.logits, other.result.logits, rtol=1e-3, atol=1e-5)
        assert record.features.layers == other.features.layers


def test_the_run_is_viewed_while_it_grows(several):
    """The tab over the chief's directory has each epoch when the next one begins; the other process has nothing to show."""
    chief, *others = several.ranks
    assert several.values("viewed", chief)["epochs"].tolist() == [1, 2, 3]
    for other in others:
        assert several.values("viewed", other)["epochs"].tolist() == [0, 0, 0]


def test_updates_inside_an_epoch_are_made_in_step(one_process, data_processes):
    """At the same steps, also after the run was continued, whose records the chief alone has."""
    run, expected = data_processes.run("in_steps"), one_process.run("in_steps")
    moments = [(record.epoch, record.step) for record in run.history]
    assert moments == [(record.epoch, record.step) for record in expected.history]
    assert moments[:4] == [(0, 3), (0, 4), (1, 6), (1, 8)]
    assert moments[-2:] == [(3, 15), (3, 16)]
    np.testing.assert_allclose(run.importance.share, expected.importance.share, rtol=1e-4)
    for name, figures in data_processes.values("in_steps", "0").items():
        if name.startswith("xai_"):
            np.testing.assert_array_equal(data_processes.values("in_steps", "1")[name], figures, err_msg=name)


@pytest.mark.parametrize("name", ["data_processes", "model_processes"])
def test_an_alarm_stops_both_at_one_epoch(one_process, request, name):
    """The same as on one process; the chief alone warns of it."""
    both = request.getfixturevalue(name)
    expected = one_process.values("stops")["epochs"].tolist()
    assert [both.values("stops", rank)["epochs"].tolist() for rank in both.ranks] == [expected, expected]
    assert "Training stops." in both.warnings("stops", "0")
    assert both.warnings("stops", "1") == ""


def test_a_fault_in_one_process_ends_the_callback_in_both(data_processes):
    """The chief says where it was, the others go on."""
    for rank in data_processes.ranks:
        values = data_processes.values("fault", rank)
        assert values["epochs"].tolist() == [0, 1, 2]
        assert values["retired"].tolist() == [False, True, False]
    assert "ProbeAttributions stopped in on_epoch_end: process 1: RuntimeError: planted" in data_processes.warnings(
        "fault", "0"
    )
    assert data_processes.warnings("fault", "1") == ""
    run = data_processes.run("fault")
    assert run.epochs == run.importance.epochs.tolist() == [0, 1, 2]
    assert [stop.part for stop in run.stops] == ["probe_attributions"]


def test_live_rows_that_differ_are_watched_by_neither(data_processes):
    """The fixed probe is."""
    for rank in data_processes.ranks:
        values = data_processes.values("live", rank)
        assert values["epochs"].tolist() == [0, 1, 2]
        assert values["lost"]
        assert not values["retired"]
    assert "differ between the processes" in data_processes.warnings("live", "0")
    assert data_processes.warnings("live", "1") == ""
    assert data_processes.run("live").importance.epochs.tolist() == [0, 1, 2]


def test_another_probe_in_each_process_is_refused(data_processes):
    """In both, before the first step."""
    for rank in data_processes.ranks:
        assert "ImportanceDrift: probe is not the same in the 2 processes" in str(
            data_processes.values("refused", rank)["text"]
        )


def test_callbacks_in_one_process_alone_are_refused(data_processes):
    """After a while, since the other process never answers; it trains on as if nothing was."""
    assert "Give the callbacks of keras_xai to fit() in every process" in str(
        data_processes.values("alone", "0")["text"]
    )


@pytest.mark.parametrize(("name", "scenario"), [("data_processes", "killed"), ("model_processes", "raises")])
def test_a_process_that_ends_leaves_nobody_waiting_for_us(request, name, scenario):
    """By kill -9, or by an error: the other's fit ends with JAX's own error, as without us, and what was flushed is read."""
    both = request.getfixturevalue(name)
    values = both.values(scenario, "0")
    assert "Gloo" in str(values["error"])
    assert values["seconds"] < SECONDS / 4  # a moment, but for the load of the machine
    run = both.run(scenario)
    assert run.epochs[:2] == [0, 1]
    assert [record.epoch for record in run.weight_gradients][:2] == [0, 1]
