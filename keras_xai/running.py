"""The test whether a training is still running: an aborted fit never calls its callbacks' `on_train_end`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_xai.gradients.tap import TrainFunctionTap


class LoopParams(dict[str, Any]):
    """Keras' `params` of a training loop of the user's own: one object for each loop, as `fit` has one.

    Attributes:
        is_open: the loop is inside its `with` block.
        began_late: its first step was done before the callbacks saw the model, as with a callback's own `step`.
        is_late: the first step of the epoch that begins was done before.
        steps_of_epoch: that are done in the present epoch.
        optimizer: the one that trains, where that is known: given by the user, or the first that was heard.
        sync: writes the state of the loop into the model; None where it is there.
        means: returns the means of what the steps of the present epoch have reported.
        tap: records the gradients of the loop; None where no callback does.
    """

    is_open = False
    began_late = False
    is_late = False
    steps_of_epoch = 0
    optimizer: Any = None
    tap: TrainFunctionTap | None = None
    sync: Callable[[], object] | None = None
    means: Callable[[], dict[str, float]] = dict


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
