"""Faults that are planted into a callback: a method that raises when it is called."""

import errno

from tests.frameworks import exhausted

ERRORS = {
    "RuntimeError": lambda: RuntimeError("planted"),
    "MemoryError": lambda: MemoryError("planted"),
    "OSError": lambda: OSError(errno.EIO, "planted"),
    "ResourceExhaustedError": lambda: exhausted("planted"),
}


def planted(error):
    def broken(*args, **kwargs):
        raise ERRORS[error]()

    return broken
