"""The test whether a training is still running: an aborted fit never calls its callbacks' `on_train_end`."""

from __future__ import annotations

import sys
from types import FrameType

from keras_xai.loop_params import LoopParams


def is_running(params: object) -> bool:
    """Return True while a fit or a watched loop runs, in any thread.

    A loop of the user's own says so itself.

    A fit that ended with an exception tells its callbacks nothing. So the stacks of all threads are searched: the fit runs
    while some function on one of them holds the `CallbackList` with its `params`.

    Args:
        params: Keras' `params`, one object a fit, which it gives to all callbacks.
    """
    import keras

    if isinstance(params, LoopParams):
        return params.is_open
    frame: FrameType | None
    for frame in sys._current_frames().values():
        while frame is not None:
            if any(_is_list_of(value, params, keras.callbacks.CallbackList) for value in frame.f_locals.values()):
                return True
            frame = frame.f_back
    return False


def _is_list_of(value: object, params: object, callback_list: type) -> bool:
    return isinstance(value, callback_list) and getattr(value, "params", None) is params
