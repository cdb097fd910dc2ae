"""A hook around every optimizer's `apply` while some Python code runs.

The classes' `apply` is replaced only while a hook is in place. The hook belongs to a thread, so that the fit of another model
is never recorded; nor is an inner optimizer, which another optimizer's `apply` calls.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.recorder import Tensor

T = TypeVar("T")

# (optimizer, gradients, variables, update) -> the result of `update()`, which runs the optimizer's own `apply`.
ApplyHook = Callable[
    [keras.optimizers.Optimizer, list[Tensor | None], Sequence[Variable], Callable[[], Any]],
    Any,
]

# The classes with an `apply` of their own. Optimizers of users inherit from the first.
OPTIMIZERS = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)

_thread = threading.local()
_active: set[object] = set()  # an entry for each `with_apply_hook` that runs, in whatever thread
_originals: dict[type, Any] = {}  # None where a class inherits its `apply`


def with_apply_hook(hook: ApplyHook, run: Callable[[], T]) -> T:
    """Return `run()`; while it runs every call of an optimizer's `apply` in this thread goes through `hook`."""
    entry, outer = object(), getattr(_thread, "hook", None)
    # Twice: an interrupt may come at any line, also while the first `finally` cleans up. No `with`: it can be interrupted
    # between the end of its body and its exit.
    try:
        try:
            _active.add(entry)
            _replace()
            _thread.hook = hook
            return run()
        finally:
            _remove(entry, outer)
    finally:
        _remove(entry, outer)


def is_compiling() -> bool:
    """Return True while Python code is compiled: a hook is no part of it. PyTorch replaces this by its own answer."""
    return False


def loss_scale(
    optimizer: keras.optimizers.Optimizer, read_value: Callable[[Variable], Tensor]
) -> Tensor | float | None:
    """Return the factor by which `Optimizer.scale_loss` multiplied the loss, and so the gradients; None where there is none."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return read_value(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
    return optimizer.loss_scale_factor


def update_counter(optimizer: keras.optimizers.Optimizer) -> Variable:
    """Return the variable that counts an optimizer's updates: not its calls, where gradients accumulate or are skipped.

    Up to Keras 3.8 a `LossScaleOptimizer` has a counter of its own that stands still.
    """
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    counter: Variable = optimizer.iterations
    return counter


def _remove(entry: object, outer: ApplyHook | None) -> None:
    """Take a hook away; may be called more than once."""
    _thread.hook = outer
    _active.discard(entry)
    if not _active:
        _restore()
        if _active:  # another thread began in between
            _replace()


def _replace() -> None:
    for cls in OPTIMIZERS:
        if not hasattr(cls.apply, "_keras_xai"):
            _originals[cls] = vars(cls).get("apply")
            cls.apply = _hooked(cls.apply)


def _restore() -> None:
    for cls in OPTIMIZERS:
        if hasattr(vars(cls).get("apply"), "_keras_xai"):
            original = _originals.get(cls)
            if original is None:
                del cls.apply
            else:
                cls.apply = original


@functools.cache  # one function each, so that what was compiled with it is found again
def _hooked(original: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(original)
    def apply(self: Any, grads: Any, trainable_variables: Any = None, *args: Any, **kwargs: Any) -> T:
        if is_compiling():
            return original(self, grads, trainable_variables, *args, **kwargs)
        hook = getattr(_thread, "hook", None)
        if hook is None:
            return original(self, grads, trainable_variables, *args, **kwargs)
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        # The `apply` of an inner optimizer is part of this call.
        _thread.hook = None
        try:
            result: T = hook(
                self, grads, variables, lambda: original(self, grads, trainable_variables, *args, **kwargs)
            )
            return result
        finally:
            _thread.hook = hook

    apply._keras_xai = True  # type: ignore[attr-defined]
    return apply
