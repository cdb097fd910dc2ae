"""Faults that are planted into a callback: a method that raises when it is called."""

import errno

import tensorflow as tf

ERRORS = {
    "RuntimeError": lambda: RuntimeError("planted"),
    "MemoryError": lambda: MemoryError("planted"),
    "OSError": lambda: OSError(errno.EIO, "planted"),
    "ResourceExhaustedError": lambda: tf.errors.ResourceExhaustedError(None, None, "planted"),
}


def planted(error):
    def broken(*args, **kwargs):
        raise ERRORS[error]()

    return broken
