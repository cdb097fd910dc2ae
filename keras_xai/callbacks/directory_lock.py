"""The lock on a run directory: one process writes at a time."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from pathlib import Path

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger("keras_xai")


class DirectoryLock:
    """A run directory held for one writer.

    An advisory lock (`flock`) on the directory itself: no file is made that could outlive its writer, and the system
    releases it when the process ends, however it ends. Where the system has no such lock (Windows, some network file
    systems) acquiring it always succeeds.
    """

    def __init__(self, handle: int | None) -> None:
        self._handle = handle
        self._finalizer = weakref.finalize(self, _close, handle)
        _held.add(self)

    @classmethod
    def acquire(cls, directory: Path) -> DirectoryLock | None:
        """Return a lock on `directory`, which is made if it is missing; None where another process holds it.

        Raises:
            OSError: the directory cannot be made or opened.
        """
        directory.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":
            return cls(None)
        handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as fault:
            logger.debug("%s cannot be locked: %s", directory, fault)
        return cls(handle)

    def release(self) -> None:
        """Release the lock. Idempotent.

        A forked process only closes its copy of the handle: the lock ends with the last handle to it.
        """
        self._finalizer()


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


# A worker that is forked to load data would hold its parent's lock, and go on holding it when the parent is killed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_all)
