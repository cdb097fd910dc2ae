"""The store's side of shipping: which runs there are, which name a run of ours goes by, and its files."""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import time
from pathlib import Path
from typing import Any

from keras_xai.remote.address import Address
from keras_xai.remote.run_files import event_files, named, ordinal, runs_among
from keras_xai.summary.plugin_name import PLUGIN_NAME


class Destination:
    """The remote log directory, as the thread of a `Shipper` uses it; no other thread does.

    A run of ours goes by its local name, unless another process has a run of that name there by then: object stores have no
    locks, so it looks whether there is one before its first file, and behind it once more.

    Args:
        address: of the directory.

    Attributes:
        names: of our runs in the store, by their local names.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._opened: tuple[Any, str] | None = None
        self.names: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}  # the files of a run that are ours, or that it continues
        self._confirmed: set[str] = set()  # local names of runs that no other process writes

    def check(self) -> None:
        """Check that a file can be written; raises what the store raises."""
        file_system, root = self._open()
        trial = f"{root}/.{PLUGIN_NAME}-{secrets.token_hex(4)}"
        self._make_parent(trial)
        file_system.pipe_file(trial, b"")
        with contextlib.suppress(Exception):  # the right to write may come without that to delete
            file_system.rm_file(trial)

    def runs(self) -> list[str]:
        """Return the names of the runs that are stored, the oldest first."""
        file_system, root = self._open()
        return runs_among(posixpath.basename(path.rstrip("/")) for path in self._list(file_system, root))

    def read(self, run: str, directory: Path) -> list[str]:
        """Read the event files of a run into a directory; the run is then continued under its name.

        Returns:
            The names of the files.
        """
        file_system, root = self._open()
        file_system.invalidate_cache()
        listing = file_system.find(f"{root}/{run}", detail=True)
        names = [name for name, _ in event_files(f"{root}/{run}", listing) if "/" not in name]
        file_system.get([f"{root}/{run}/{name}" for name in names], [str(directory / name) for name in names])
        self.names[run] = run
        self._files[run] = set(names)
        self._confirmed.discard(run)
        return names

    def forget(self, run: str) -> None:
        """Forget a run of ours that is complete: its local name may be used for another one."""
        self.names.pop(run, None)
        self._files.pop(run, None)
        self._confirmed.discard(run)

    def write(self, run: str, name: str, data: bytes) -> bool:
        """Write a file of a run, in place of what was there.

        Returns:
            False where another process has the run's name: it goes by another one, and all its files are to be written again.
        """
        file_system, root = self._open()
        if run not in self.names:
            self.names[run] = self._free_name(run)
        folder = f"{root}/{self.names[run]}"
        ours = self._files.setdefault(run, set())
        self._make_parent(f"{folder}/{name}")
        file_system.pipe_file(f"{folder}/{name}", data)
        ours.add(name)
        if run in self._confirmed:
            return True
        others = {posixpath.basename(path) for path in self._list(file_system, folder)} - ours
        if any("tfevents" in other for other in others):
            with contextlib.suppress(Exception):
                file_system.rm_file(f"{folder}/{name}")
            time.sleep(secrets.randbelow(500) / 1000)  # the other one may do the same at this moment
            self.forget(run)
            self.names[run] = self._free_name(run)
            return False
        self._confirmed.add(run)
        return True

    def _free_name(self, run: str) -> str:
        numbers = [ordinal(name) or 0 for name in self.runs()]
        wished = ordinal(run) or 1
        return run if wished not in numbers else named(max(numbers) + 1)

    def _list(self, file_system: Any, path: str) -> list[str]:
        file_system.invalidate_cache()
        try:
            return [str(entry) for entry in file_system.ls(path, detail=False)]
        except FileNotFoundError:  # an object store has no empty directories
            return []

    def _make_parent(self, path: str) -> None:
        if self._address.has_directories:
            file_system, _ = self._open()
            file_system.makedirs(posixpath.dirname(path), exist_ok=True)

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            self._opened = self._address.open()
        return self._opened
