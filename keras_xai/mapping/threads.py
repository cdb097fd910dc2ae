"""Matrices of a few hundred rows are done soonest by one thread."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread inside this context; several only wait for each other, and for the framework's own.

    An eigenvalue problem of size 256 takes 11 ms on one thread, and 16 to 67 ms on two that something else uses as well.
    """
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
