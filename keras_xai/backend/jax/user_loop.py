"""The state of JAX at a point of a training loop of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import jax.extend.core as jex
import keras
from keras.src.backend.common.stateless_scope import in_stateless_scope

STATES = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")


def trace_state() -> object:
    """See `Backend`: values of variables in a stateless scope are not those of the model, either."""
    return jex.get_opaque_trace_state(), in_stateless_scope()


def obstacle_to_passes() -> str:
    """See `Backend`."""
    return "a keras.StatelessScope" if in_stateless_scope() else ""


def free_for_passes() -> contextlib.AbstractContextManager[object]:
    """See `Backend`."""
    return contextlib.nullcontext()


def begin_train_call(model: keras.Model, arguments: Sequence[Any]) -> None:
    """See `Backend`: the state is an argument, and `fit` has emptied the variables."""
    _hold(model, arguments[0])


def finish_train_call(model: keras.Model, result: Any) -> Any:
    """See `Backend`: the state is a result, and the arrays of before were given away to the step."""
    logs, state = result
    _hold(model, state)
    return logs


def _hold(model: keras.Model, state: Sequence[Any]) -> None:
    """Leave a state where `jax_state_sync` finds it, as Keras itself does between two steps."""
    model._jax_state = dict(zip(STATES, state, strict=True))
    model._jax_state_synced = False
