"""The time that graphs take to be traced, and to run for the first time, which compiles them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class _Spent(threading.local):
    """One thread's time: nobody waits for what another one builds."""

    seconds = 0.0
    depth = 0


_spent = _Spent()


@contextlib.contextmanager
def building_time() -> Iterator[None]:
    """Count the time inside, once where one graph is built inside another."""
    _spent.depth += 1
    start = time.perf_counter()
    try:
        yield
    finally:
        _spent.depth -= 1
        if not _spent.depth:
            _spent.seconds += time.perf_counter() - start


def seconds_built() -> float:
    """Return the seconds so far in this thread."""
    return _spent.seconds
