"""A hook around every optimizer's `apply` and `stateless_apply` while some Python code runs.

The classes' methods are replaced only while a hook is in place. The hook belongs to a thread, so that the fit of another model
is never recorded; nor is an inner optimizer, which another optimizer's `apply` calls.

`with_apply_hook` is for code that we run, `HeldHook` for code that the user runs.
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

# The classes with methods of their own. Optimizers of users inherit from the first.
OPTIMIZERS = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)

_thread = threading.local()
_active: set[object] = set()  # an entry for each `with_apply_hook` that runs, in whatever thread
_originals: dict[tuple[type, str], Any] = {}  # None where a class inherits the method


def with_apply_hook(hook: ApplyHook, run: Callable[[], T]) -> T:
    """Return `run()`; while it runs every call of an optimizer's `apply` in this thread goes through `hook`.

    `stateless_apply` does, too: the variables then have the values that it was given until `update()`, and those that it
    returned after it.
    """
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


class HeldHook:
    """A hook of `apply` that stays in place in this thread while the user's code runs; several may do so at a time.

    While `with_apply_hook` runs its hook alone is called. Calls of `stateless_apply` are not heard: only their caller knows when
    the model gets the results.

    Args:
        hook: called at each `apply`.
    """

    def __init__(self, hook: ApplyHook) -> None:
        self.hook = hook
        self._thread_hooks: list[HeldHook] | None = None  # of the thread in which it is in place

    def place(self) -> None:
        """Put the hook in place, in this thread. Idempotent."""
        if self._thread_hooks is not None:
            return
        self._thread_hooks = _held_hooks()
        self._thread_hooks.append(self)
        _active.add(self)
        _replace()
        # Inside a hook that is being called nothing is heard until it returns: an inner optimizer is part of the call.
        if getattr(_thread, "hook", None) is None and not getattr(_thread, "is_calling", False):
            _thread.hook = _call_held_hooks

    def remove(self) -> None:
        """Take the hook away. Idempotent."""
        hooks, self._thread_hooks = self._thread_hooks, None
        if hooks is None:
            return
        hooks.remove(self)
        if not _held_hooks() and getattr(_thread, "hook", None) is _call_held_hooks:
            _thread.hook = None
        _active.discard(self)
        if not _active:
            _restore()
            if _active:  # another thread began in between
                _replace()


def _held_hooks() -> list[HeldHook]:
    """Return the hooks that are held in this thread."""
    hooks: list[HeldHook] | None = getattr(_thread, "held", None)
    if hooks is None:
        hooks = _thread.held = []
    return hooks


def _call_held_hooks(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[Tensor | None],
    variables: Sequence[Variable],
    update: Callable[[], Any],
) -> Any:
    """Call all hooks that are held in this thread, one around the other: an `ApplyHook`."""
    for held in tuple(_held_hooks()):
        update = functools.partial(held.hook, optimizer, gradients, variables, update)
    _thread.is_calling = True
    try:
        return update()
    finally:
        _thread.is_calling = False


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
        for name, hooked in _HOOKED.items():
            present = getattr(cls, name)
            if not hasattr(present, "_keras_xai"):
                _originals[cls, name] = vars(cls).get(name)
                setattr(cls, name, hooked(present))


def _restore() -> None:
    for cls in OPTIMIZERS:
        for name in _HOOKED:
            if not hasattr(vars(cls).get(name), "_keras_xai"):
                continue
            original = _originals.get((cls, name))
            if original is None:
                delattr(cls, name)
            else:
                setattr(cls, name, original)


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


@functools.cache
def _hooked_stateless(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def stateless_apply(self: Any, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        hook = getattr(_thread, "hook", None)
        variables = [*getattr(self, "_trainable_variables", ()), *self.variables]
        values = [*trainable_variables, *optimizer_variables]
        if hook is _call_held_hooks:
            _thread.hook = None  # nor is the `apply` inside heard
            try:
                return original(self, optimizer_variables, grads, trainable_variables)
            finally:
                _thread.hook = hook
        if hook is None or len(variables) != len(values):  # which the method itself refuses
            return original(self, optimizer_variables, grads, trainable_variables)
        grads = list(grads)
        scope = keras.StatelessScope(list(zip(variables, values, strict=True)))
        entered: list[keras.StatelessScope] = []

        def update() -> Any:
            result = original(self, optimizer_variables, grads, trainable_variables)
            for variable, value in zip(variables, [*result[0], *result[1]], strict=True):
                scope.add_update((variable, value))
            return result

        # The `apply` inside is part of this call.
        _thread.hook = None
        try:  # twice, as in `with_apply_hook`
            try:
                entered.append(scope.__enter__())
                return hook(self, grads, list(self._trainable_variables), update)
            finally:
                _leave(entered)
        finally:
            _leave(entered)
            _thread.hook = hook

    stateless_apply._keras_xai = True  # type: ignore[attr-defined]
    return stateless_apply


def _leave(entered: list[keras.StatelessScope]) -> None:
    """Leave a scope, if it was entered; may be called more than once."""
    for scope in entered:
        scope.__exit__(None, None, None)
    entered.clear()


_HOOKED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "apply": _hooked,
    "stateless_apply": _hooked_stateless,
}
