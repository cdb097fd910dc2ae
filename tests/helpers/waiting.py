"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(answer: Callable[[], Any], seconds: float = 30, every: float = 0.1) -> Any:
    """The first true answer; an AssertionError when none came in time."""
    end = time.monotonic() + seconds
    while not (value := answer()):
        assert time.monotonic() < end, "nothing came in time"
        time.sleep(every)
    return value
