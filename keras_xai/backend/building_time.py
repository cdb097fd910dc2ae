"""The seconds in which graphs are traced, and run for the first time, which compiles them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class _Spent(threading.local):
    """The seconds of one thread: a callback is not charged for what another thread builds."""

    seconds = 0.0
    depth = 0


_spent = _Spent()


@contextlib.contextmanager
def building_time() -> Iterator[None]:
    """Count the seconds inside; of nested blocks only the outermost."""
    _spent.depth += 1
    start = time.perf_counter()
    try:
        yield
    finally:
        _spent.depth -= 1
        if not _spent.depth:
            _spent.seconds += time.perf_counter() - start


def seconds_built() -> float:
    """Return the seconds counted in this thread so far."""
    return _spent.seconds
