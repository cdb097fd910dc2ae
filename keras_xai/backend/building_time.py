"""How long graphs took to be traced, and to run for the first time, which compiles them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class _Spent(threading.local):
    """Of one thread: what another one builds is not waited for."""

    seconds = 0.0
    depth = 0


_spent = _Spent()


@contextlib.contextmanager
def building_time() -> Iterator[None]:
    """What is done in here counts, once where one graph is built inside another."""
    _spent.depth += 1
    began = time.perf_counter()
    try:
        yield
    finally:
        _spent.depth -= 1
        if not _spent.depth:
            _spent.seconds += time.perf_counter() - began


def seconds_built() -> float:
    """Seconds so far in this thread."""
    return _spent.seconds
