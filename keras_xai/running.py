"""Trainings that are running: a fit that was broken off leaves its callbacks behind, one that runs inside another does not."""

from __future__ import annotations

import sys
from types import FrameType


def is_running(params: object) -> bool:
    """Return True while a fit goes on, in any thread.

    A fit that ended with an error never says so to its callbacks. It is over when no function on any stack holds the list
    of its callbacks.

    Args:
        params: Keras' `params`, one object a fit, which it gives to all callbacks.
    """
    import keras

    frame: FrameType | None
    for frame in sys._current_frames().values():
        while frame is not None:
            if any(_is_list_of(value, params, keras.callbacks.CallbackList) for value in frame.f_locals.values()):
                return True
            frame = frame.f_back
    return False


def _is_list_of(value: object, params: object, callback_list: type) -> bool:
    return isinstance(value, callback_list) and getattr(value, "params", None) is params
