"""The thread that ships event files to a remote log directory; no training waits for it but at its two ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_xai.errors import InvalidInput
from keras_xai.remote.address import Address, is_misuse
from keras_xai.remote.destination import Destination

logger = logging.getLogger("keras_xai")

ROLL_BYTES = 1 << 20  # a file is shipped whole at each change: beyond this size the run goes on in another one
INTERVAL_SECONDS = 5.0  # between two shipments: what is flushed in between goes with the second
FIRST_RETRY_SECONDS = 1.0  # doubled at each failure in a row
LAST_RETRY_SECONDS = 60.0
RETRY_SECONDS_AT_END = 2.0
BEGIN_SECONDS = 30.0  # that a training waits at its begin, at most, for the names of the runs
READ_SECONDS = 120.0  # and for the records of the run that it continues
END_SECONDS = 60.0  # that a training waits at its end, at most, for what is not shipped yet
_OCCUPIED = ".stored_remotely"  # stands in a local run directory whose run is in the store alone


class _Request:
    """Work for the thread, with its outcome."""

    def __init__(self, work: Callable[[_Request], Any]) -> None:
        self.work = work
        self.is_done = False
        self.is_abandoned = False
        self.result: Any = None
        self.fault: Exception | None = None


class Shipper:
    """Ships the event files of one staging directory to one address, from one thread.

    The newest content of a file is shipped, whole; what was overtaken by then is not. A failure is tried again, with pauses of
    up to a minute, as long as the process lives.

    Args:
        address: of the remote log directory.
        directory: the staging directory.

    Attributes:
        bytes_sent: the contents of all files that were shipped.
    """

    def __init__(self, address: Address, directory: Path) -> None:
        self.address, self.directory = address, directory
        self.bytes_sent = 0
        self._process = os.getpid()
        self._destination = Destination(address)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._requests: list[_Request] = []
        self._whole: dict[tuple[str, str], int] = {}  # run and file, and the bytes that are to be shipped
        self._shipped: dict[tuple[str, str], int] = {}
        self._former: dict[str, str] = {}  # names in the store of runs that are complete, by their local names
        self._active: dict[str, int] = {}  # runs that are being written, and by how many writers
        self._choosing = 0  # trainings that have yet to choose a run
        self._not_before = 0.0
        self._failures = 0  # in a row
        self._has_answered = False
        self._is_ending = 0  # trainings that wait for the end
        self._reason = ""  # of the last failure
        self._has_warned = False
        _at_exit(self._end_with_process)

    # What a training calls.

    def check(self) -> bool:
        """Check that the remote directory can be written, and mark the names of runs that are taken there.

        Returns:
            False where the store does not answer.

        Raises:
            InvalidInput: the bucket, the rights, the credentials or a package is missing.
        """
        self._has_warned = False
        return self._outcome_of(self._look, BEGIN_SECONDS) is not None

    def read(self, preferred: Sequence[str]) -> bool:
        """Read the records of the newest run, and of the runs of these local names, into the staging directory.

        Returns:
            False where the store does not answer.
        """
        return self._outcome_of(lambda request: self._read(request, preferred), READ_SECONDS) is not None

    def renamed(self, directory: Path) -> Path:
        """Return the local directory of a run that a training before wrote, by the name that the store knows it by."""
        return self.directory / self._former.get(directory.name, directory.name)

    def is_elsewhere(self, directory: Path) -> bool:
        """Return True where a run is in the store alone, and its local directory only marks its name."""
        return (directory / _OCCUPIED).exists()

    @contextlib.contextmanager
    def choosing(self) -> Iterator[None]:
        """Keep inside all local directories: the run that is chosen is not noted yet, and another training may end meanwhile."""
        with self._condition:
            self._choosing += 1
        try:
            yield
        finally:
            with self._condition:
                self._choosing -= 1

    def begin(self, run: str) -> None:
        """Note that a run is being written."""
        with self._condition:
            self._active[run] = self._active.get(run, 0) + 1

    def ship(self, path: Path, size: int) -> None:
        """Ship a file of a run up to a size, later; returns at once."""
        if os.getpid() != self._process:  # a forked worker: it has no thread, and the lock may be held for ever
            return
        with self._condition:
            self._whole[path.parent.name, path.name] = size
            self._start()
            self._condition.notify_all()

    def end(self, run: str, *, wait: bool = True) -> None:
        """Note that a run is complete, and wait until all of it is shipped: `END_SECONDS` at most.

        A store that never answered is asked once more.
        """
        if os.getpid() != self._process:
            return
        with self._condition:
            self._active[run] = self._active.get(run, 1) - 1
            if self._active[run] <= 0:
                del self._active[run]
            self._condition.notify_all()
        if wait:
            self._wait(END_SECONDS)
            self._clear()

    def notice(self, *, at_end: bool = False) -> str:
        """Return a sentence on files that could not be shipped, where there are any and it was not said yet; else ""."""
        with self._condition:
            is_behind = bool(self._pending()) if at_end else self._failures > 0
            if not is_behind:
                return ""
            if self._has_warned:
                if at_end:
                    logger.warning("%s", self._words_at_end())
                return ""
            self._has_warned = True
            return self._words_at_end() if at_end else self._words()

    def _words(self) -> str:
        return (
            f"{self.address} does not take what is recorded ({self._reason}): the training goes on, the records are kept in "
            f"{self.directory} and shipped as soon as it does."
        )

    def _words_at_end(self) -> str:
        files = len(self._pending())
        return (
            f"{files} file{'' if files == 1 else 's'} of this training could not be shipped to {self.address} "
            f"({self._reason or 'there was no time'}). The records are whole in {self.directory}: kx.load reads them there, or "
            f"copy what is below it. This process goes on trying while it lives."
        )

    # The thread.

    def _outcome_of(self, work: Callable[[_Request], Any], seconds: float) -> Any:
        """Return what the thread returns for a request; None where it fails or takes longer."""
        request = _Request(work)
        with self._condition:
            self._requests.append(request)
            self._start()
            self._condition.notify_all()
            try:
                self._condition.wait_for(lambda: request.is_done, seconds)
            finally:
                request.is_abandoned = not request.is_done
        fault = request.fault
        if request.is_done and fault is None:
            return request.result
        if fault is not None and is_misuse(fault):
            raise InvalidInput(f"log_dir={str(self.address)!r} is not writable: {self._text(fault)}") from fault
        with self._condition:
            self._failed("it does not answer" if fault is None else self._text(fault))
        return None

    def _text(self, fault: Exception) -> str:
        return self.address.hidden(f"{type(fault).__name__}: {fault}")[:300]

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="keras_xai shipper", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        """Answer requests and ship files; end when there is nothing left to do."""
        while True:
            with self._condition:
                if not self._requests and not self._pending() and not self._active:
                    self._thread = None
                    return
                self._condition.wait(self._pause())
                request = self._requests.pop(0) if self._requests else None
                is_due = request is None and self._pause() == 0
            if request is not None:
                self._answer(request)
            elif is_due:
                self._attempt()
            with self._condition:
                self._condition.notify_all()

    def _pause(self) -> float | None:
        """Return the seconds until there is something to do; None until somebody says so."""
        if self._requests:
            return 0
        return max(0.0, self._not_before - time.monotonic()) if self._pending() else None

    def _pending(self) -> list[tuple[str, str]]:
        """Return the files that are not shipped as they are now, in the order in which they were begun."""
        return sorted(key for key, size in self._whole.items() if self._shipped.get(key) != size)

    def _answer(self, request: _Request) -> None:
        try:
            request.result = request.work(request)
        except Exception as fault:
            logger.debug("%s", self.address, exc_info=True)
            request.fault = fault
        with self._condition:
            self._has_answered |= request.fault is None
            request.is_done = True

    def _attempt(self) -> None:
        with self._condition:
            pending = self._pending()
        try:
            for run, name in pending:
                self._ship(run, name)
        except Exception as fault:
            logger.debug("%s", self.address, exc_info=True)
            with self._condition:
                self._failed(self._text(fault))
            return
        with self._condition:
            if self._failures and self._has_warned:
                logger.warning("%s takes the records again: all of them are shipped.", self.address)
            self._failures, self._has_answered = 0, True
            self._not_before = time.monotonic() + (0.0 if self._is_ending else INTERVAL_SECONDS)

    def _failed(self, reason: str) -> None:
        self._reason = reason
        pause = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._not_before = time.monotonic() + (min(pause, RETRY_SECONDS_AT_END) if self._is_ending else pause)

    def _ship(self, run: str, name: str) -> None:
        with self._condition:
            size = self._whole[run, name]
        try:
            with open(self.directory / run / name, "rb") as file:
                data = file.read(size)
        except OSError as fault:
            logger.warning("%s/%s cannot be shipped to %s: %s", run, name, self.address, fault.strerror)
            with self._condition:
                self._whole.pop((run, name), None)
            return
        is_ours = self._destination.write(run, name, data)
        with self._condition:
            self.bytes_sent += len(data)
            if is_ours:
                self._shipped[run, name] = size
            else:
                self._shipped = {key: value for key, value in self._shipped.items() if key[0] != run}
        if not is_ours:
            logger.warning(
                "Another training writes %s/%s: this one is %s there.", self.address, run, self._name_of(run)
            )
            for other in self._files_of(run):
                self._ship(run, other)

    def _name_of(self, run: str) -> str:
        return self._destination.names.get(run, run)

    def _files_of(self, run: str) -> list[str]:
        with self._condition:
            return sorted(name for other, name in self._whole if other == run)

    # The beginning of a training.

    def _look(self, request: _Request) -> list[str]:
        """Ship what an earlier training left, and mark the names that are taken in the store."""
        with self._condition:
            pending = self._pending()
        for run, name in pending:
            self._ship(run, name)
        self._destination.check()
        names = self._destination.runs()
        self._clear()
        with self._condition:
            if not request.is_abandoned:
                for name in names:
                    self._occupy(name)
        return names

    def _occupy(self, run: str) -> None:
        directory = self.directory / run
        directory.mkdir(parents=True, exist_ok=True)
        if not any(directory.iterdir()):
            (directory / _OCCUPIED).touch()

    def _read(self, request: _Request, preferred: Sequence[str]) -> list[str]:
        names = self._destination.runs()
        by_preference = {self._former.get(name, name) for name in preferred}
        chosen = [name for name in names if name == names[-1] or name in by_preference]
        for name in chosen:
            with self._condition:
                is_here = name in self._active or any(run == name for run, _ in self._whole)
            if not is_here:
                self._read_run(request, name)
        return chosen

    def _read_run(self, request: _Request, run: str) -> None:
        incoming = self.directory / f".incoming-{run}"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        try:
            names = self._destination.read(run, incoming)
            with self._condition:
                if request.is_abandoned or run in self._active:
                    return
                directory = self.directory / run
                directory.mkdir(exist_ok=True)
                for name in names:
                    os.replace(incoming / name, directory / name)
                (directory / _OCCUPIED).unlink(missing_ok=True)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    # The end.

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._condition:
            self._is_ending += 1
            failures_before = self._failures
            self._not_before = 0.0
            if self._pending():
                self._start()
            self._condition.notify_all()
            try:
                while self._pending() and time.monotonic() < end:
                    if not self._has_answered and self._failures > failures_before:
                        break
                    self._condition.wait(min(0.5, max(0.0, end - time.monotonic())))
            finally:
                self._is_ending -= 1

    def _clear(self) -> None:
        """Delete the local copies of runs that are shipped and not being written."""
        with self._condition:
            if self._choosing:
                return
            unshipped = {run for run, _ in self._pending()}
            for directory in list(self.directory.iterdir()) if self.directory.is_dir() else []:
                run = directory.name
                if run in unshipped or run in self._active or run.startswith("."):
                    continue
                shutil.rmtree(directory, ignore_errors=True)
                self._former[run] = self._name_of(run)
                self._destination.forget(run)
                self._whole = {key: size for key, size in self._whole.items() if key[0] != run}
                self._shipped = {key: size for key, size in self._shipped.items() if key[0] != run}
            if not self._active and not unshipped:
                with contextlib.suppress(OSError):
                    self.directory.rmdir()

    def _end_with_process(self) -> None:
        """Ship what is left when the process ends: of a training that was broken off."""
        if os.getpid() != self._process or not self._pending():
            return
        self._wait(END_SECONDS)
        text = self.notice(at_end=True)
        if text:
            logger.warning("%s", text)
        if not self._pending():
            self._active = {}
            self._clear()


def _at_exit(function: Callable[[], None]) -> None:
    """Call a function when the process ends, before the thread pools end in which file systems look up hosts."""
    register = getattr(threading, "_register_atexit", None) or atexit.register
    register(function)
