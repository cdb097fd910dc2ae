"""Keras' `params` of a training loop of the user's own, by which its callbacks know it from a `fit`."""

from __future__ import annotations

from collections.abc import Callable
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
