"""A hook of the `compute_loss` of one model while some Python code runs: the labels and outputs of a train step pass there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import keras

T = TypeVar("T")
# (x, y, y_pred) as the train step gives them.
LossHook = Callable[[Any, Any, Any], None]
NAME = "compute_loss"


def with_loss_hook(model: keras.Model, hook: LossHook, run: Callable[[], T]) -> T:
    """Return `run()`; while it runs, each call of the model's `compute_loss` is told to `hook` before it is made."""
    attributes = vars(model)
    before = attributes.get(NAME)
    original = getattr(model, NAME)

    @functools.wraps(original)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        values = dict(zip(("x", "y", "y_pred"), args, strict=False)) | kwargs
        hook(values.get("x"), values.get("y"), values.get("y_pred"))
        return original(*args, **kwargs)

    # Twice: an interrupt may come at any line, also while the first `finally` cleans up.
    try:
        try:
            attributes[NAME] = hooked  # not by `setattr`, of which Keras keeps record
            return run()
        finally:
            _restore(attributes, before)
    finally:
        _restore(attributes, before)


def _restore(attributes: dict[str, Any], before: Any) -> None:
    if before is None:
        attributes.pop(NAME, None)
    else:
        attributes[NAME] = before
