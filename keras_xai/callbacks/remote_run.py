"""The run of one fit in a remote log directory: chosen among those of the store, written locally, and shipped."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_xai.callbacks.run_directory import Beginning, ChosenRun, choose_run, new_run, run_directories
from keras_xai.remote.address import Address
from keras_xai.remote.shipper import ROLL_BYTES, Shipper
from keras_xai.remote.staging import shipper_of


class RemoteRun:
    """The run that one fit ships; a local one where there is no address: then nothing here does anything.

    Args:
        address: of the log directory; None for a local one.
    """

    def __init__(self, address: Address | None) -> None:
        self._address = address
        self._shipper: Shipper | None = None
        self._answers = False
        self._end: weakref.finalize[..., Any] | None = None  # of a fit that was broken off

    def check(self) -> None:
        """Check at train begin that the store takes files, once.

        Raises:
            InvalidInput: it never will: the bucket, the rights, the credentials or a package is missing.
        """
        if self._address is not None and self._shipper is None:
            shipper = shipper_of(self._address)
            self._answers = shipper.check()
            self._shipper = shipper

    def choose(
        self, log_dir: Path, beginning: Beginning, identity: Mapping[str, Any], preferred: Sequence[Path]
    ) -> ChosenRun:
        """Choose the run directory, as `choose_run` does; a run in the store is read first where it may be continued."""
        if self._shipper is None:
            return choose_run(log_dir, beginning, identity, preferred)
        with self._shipper.choosing():
            run = self._choose(self._shipper, log_dir, beginning, identity, preferred)
            self._shipper.begin(run.directory.name)
        self._end = weakref.finalize(self, self._shipper.end, run.directory.name, wait=False)
        self._end.atexit = False  # the shipper sees to that itself
        return run

    def _choose(
        self,
        shipper: Shipper,
        log_dir: Path,
        beginning: Beginning,
        identity: Mapping[str, Any],
        preferred: Sequence[Path],
    ) -> ChosenRun:
        if self._answers and (beginning.epoch > 0 or beginning.unit == "step"):
            shipper.read([path.name for path in preferred])
            preferred = [shipper.renamed(path) for path in preferred]
        runs = run_directories(log_dir)
        if runs and beginning.epoch == 0 and shipper.is_elsewhere(runs[-1]):
            return new_run(runs[-1], 0, f"{runs[-1].name} holds an earlier training: this one is {{}}.")
        return choose_run(log_dir, beginning, identity, preferred)

    def place(self, log_dir: Path) -> str:
        """Return the log directory as `kx.load` takes it: its address where it has one."""
        return str(self._address or log_dir)

    @property
    def writer_options(self) -> dict[str, Any]:
        """Options of a `Writer` whose file is shipped."""
        return {} if self._shipper is None else {"roll_bytes": ROLL_BYTES, "on_flush": self._shipper.ship}

    def notice(self) -> str:
        """Return a sentence for a warning where the store does not answer; "" where it does, or it was said before."""
        return "" if self._shipper is None else self._shipper.notice()

    def close(self, directory: Path | None) -> str:
        """Wait until the run is shipped, for a minute at most.

        Args:
            directory: of the run; None where it has not begun.

        Returns:
            A sentence for a warning where it is not; "" where it is, or it was said before.
        """
        if self._shipper is None or directory is None or self._end is None or not self._end.detach():
            return ""
        self._shipper.end(directory.name)
        return self._shipper.notice(at_end=True)
