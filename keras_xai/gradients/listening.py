"""Hears the calls of every optimizer's `apply` while some Python code runs, and leaves no trace of it.

The classes' `apply` is replaced only while somebody listens, and the listener is known by thread: another model's fit is
never heard, and neither is an optimizer that another one holds inside.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

T = TypeVar("T")

# (optimizer, gradients, variables, update) -> what `update()` returns; `update` makes the call that was heard.
Listener = Callable[[Any, list[Any], Sequence[Any], Callable[[], Any]], Any]

# The classes with an `apply` of their own. Optimizers of users come down from the first.
OPTIMIZERS = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)

_thread = threading.local()
_active: set[object] = set()  # one entry for each `listening` that runs, in whatever thread
_originals: dict[type, Any] = {}  # None where a class inherits its `apply`


def listening(listener: Listener, run: Callable[[], T]) -> T:
    """`run()`, while every call of an optimizer's `apply` in this thread goes through `listener`."""
    entry, outer = object(), getattr(_thread, "listener", None)
    # Twice: an interrupt may come at any line, also while the first `finally` cleans up. No `with`: it can be interrupted
    # between the end of its body and its exit.
    try:
        try:
            _active.add(entry)
            _replace()
            _thread.listener = listener
            return run()
        finally:
            _stop(entry, outer)
    finally:
        _stop(entry, outer)


def _stop(entry: object, outer: Listener | None) -> None:
    """Listen no more, as often as it is called."""
    _thread.listener = outer
    _active.discard(entry)
    if not _active:
        _restore()
        if _active:  # another thread began in between
            _replace()


def _replace() -> None:
    for cls in OPTIMIZERS:
        if not hasattr(cls.apply, "_keras_xai"):
            _originals[cls] = vars(cls).get("apply")
            cls.apply = _heard(cls.apply)


def _restore() -> None:
    for cls in OPTIMIZERS:
        if hasattr(vars(cls).get("apply"), "_keras_xai"):
            if (original := _originals.get(cls)) is None:
                del cls.apply
            else:
                cls.apply = original


def _heard(original: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(original)
    def apply(self: Any, grads: Any, trainable_variables: Any = None, *args: Any, **kwargs: Any) -> T:
        listener = getattr(_thread, "listener", None)
        if listener is None:
            return original(self, grads, trainable_variables, *args, **kwargs)
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        _thread.listener = None
        try:
            return listener(self, grads, variables, lambda: original(self, grads, trainable_variables, *args, **kwargs))
        finally:
            _thread.listener = listener

    apply._keras_xai = True  # type: ignore[attr-defined]
    return apply
