"""One run directory, one writer: a second training writes one of its own, in another process, thread or fork."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import keras_xai as kx
from keras_xai.callbacks.directory_lock import DirectoryLock
from tests.trust.trainings import At, callback, trained, with_warnings

ROOT = Path(__file__).parents[2]


class Other:
    """A process of its own that writes `count` epochs; made ready first, since Python takes its time to start."""

    def __init__(self, log_dir: Path, start: int = 0, count: int = 3) -> None:
        command = [sys.executable, "-m", "tests.trust.writing", str(log_dir), str(start), str(count)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.said: list[str] = []
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        """Lets it go on for one epoch."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")

    def told(self) -> str:
        """The run directory that it wrote the epoch to."""
        self.said.append(self._line())
        return self.said[-1].partition(" ")[2]

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        else:
            for _ in range(9):
                self.go()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if kill:
            self.process.stdin.close()
        else:
            self.process.communicate()
        self.process.wait(30)
        self.process.stdout.close()


def epochs(log_dir: Path) -> dict[str, list[int]]:
    return {name: run.epochs for name, run in kx.load(log_dir).items()}


def test_a_second_process_in_the_middle_of_a_fit_writes_a_run_of_its_own(tmp_path):
    """Also one that would continue the run: neither loses an epoch, neither has one of the other's, and it is said."""
    fresh, resumed = Other(tmp_path), Other(tmp_path, start=1)

    def meanwhile(model):
        for other in (fresh, resumed):
            other.go()
            other.told()

    _, said = with_warnings(lambda: trained(At(1, meanwhile), callback("WeightGradients", tmp_path)))
    fresh.end()
    resumed.end()
    assert said == []
    assert epochs(tmp_path) == {".": [0, 1, 2], "keras_xai-2": [0, 1, 2], "keras_xai-3": [1, 2, 3]}
    runs = kx.load(tmp_path)
    assert "keras_xai is being written by another training" in runs["keras_xai-2"].history[0].notes[0]
    assert "keras_xai-2 is being written by another training" in runs["keras_xai-3"].history[0].notes[0]


def test_processes_that_start_at_the_same_moment_do_not_mix(tmp_path):
    """Whoever claims a directory first has it; four at once end up with four runs."""
    others = [Other(tmp_path) for _ in range(4)]
    for other in others:
        other.go()
    directories = [other.told() for other in others]
    assert len(set(directories)) == 4
    for other in others:
        other.end()
    assert list(epochs(tmp_path).values()) == [[0, 1, 2]] * 4


def test_a_killed_process_leaves_no_claim(tmp_path):
    """kill -9, and the run is continued by the next process."""
    first = Other(tmp_path)
    for _ in range(2):
        first.go()
        first.told()
    first.end(kill=True)
    second = Other(tmp_path, start=2)
    second.go()
    assert second.told() == "keras_xai"
    second.end()
    assert epochs(tmp_path) == {".": [0, 1, 2, 3, 4]}


def test_a_fit_in_another_thread_writes_a_run_of_its_own(tmp_path):
    """As two processes do."""

    def meanwhile(model):
        thread = threading.Thread(target=trained, args=(callback("WeightGradients", tmp_path),), kwargs={"epochs": 2})
        thread.start()
        thread.join()

    _, said = with_warnings(lambda: trained(At(1, meanwhile), callback("WeightGradients", tmp_path)))
    assert said == []
    assert epochs(tmp_path) == {".": [0, 1, 2], "keras_xai-2": [0, 1]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_worker_holds_no_claim(tmp_path):
    """One that loads data and outlives a killed training must not keep others from continuing it."""
    claim = DirectoryLock.acquire(tmp_path / "run")
    held = multiprocessing.get_context("fork").Barrier(2)
    worker = multiprocessing.get_context("fork").Process(target=lambda: (held.wait(30), held.wait(30)))
    worker.start()
    held.wait(30)
    assert DirectoryLock.acquire(tmp_path / "run") is None  # the child's end is closed; that gives nothing back
    claim.release()
    again = DirectoryLock.acquire(tmp_path / "run")
    assert again is not None
    again.release()
    held.wait(30)
    worker.join(30)


def test_a_claim_ends_with_its_object(tmp_path):
    """An aborted training whose callbacks are gone holds nothing."""
    claim = DirectoryLock.acquire(tmp_path)
    assert DirectoryLock.acquire(tmp_path) is None
    del claim
    assert DirectoryLock.acquire(tmp_path) is not None


def test_where_the_system_cannot_lock_a_claim_succeeds(tmp_path, monkeypatch):
    """As on some network file systems: training goes on, two processes are then the user's to keep apart."""

    def refuse(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("keras_xai.callbacks.directory_lock.fcntl.flock", refuse)
    assert DirectoryLock.acquire(tmp_path) is not None
    assert DirectoryLock.acquire(tmp_path) is not None


def test_only_the_chief_writes(tmp_path, processes):
    """The other workers of a distributed training do the same work, train the same, and make no file."""
    _, said = with_warnings(lambda: processes.run(lambda rank: trained(callback("Explain", tmp_path / str(rank)))))
    assert said == []
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
