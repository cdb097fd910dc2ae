"""Warnings of a constructor, when the processes of a training have no model in common yet."""

from __future__ import annotations

import warnings

from keras_xai.backend import get_backend


def warn_in_first_process(text: str, *, stacklevel: int) -> None:
    """Issue a Python warning, of several processes that train together in the first one only.

    Args:
        text: the sentence.
        stacklevel: as of `warnings.warn`, counted from the caller.
    """
    if get_backend().is_first_process():
        warnings.warn(text, stacklevel=stacklevel + 1)
