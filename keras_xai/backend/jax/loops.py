"""Loops inside the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_xai.backend.jax.effects import OWN_REPORT
from keras_xai.backend.jax.scopes import inner_scope
from keras_xai.backend.protocol import Progress

REPORTS = 20  # of a loop to the host


def fori_loop(
    function: Callable[[Any, list[Any]], list[Any]],
    count: int,
    initial: Sequence[Any],
    progress: Progress | None = None,
) -> list[Any]:
    """See `Backend`."""

    def body(k: Any, values: list[Any]) -> list[Any]:
        with inner_scope():
            results = function(k, list(values))
        _report(k, count, progress)
        return [jnp.asarray(result, value.dtype) for result, value in zip(results, values, strict=True)]

    if count == 1:
        return body(0, [jnp.asarray(value) for value in initial])
    return list(jax.lax.fori_loop(0, count, body, [jnp.asarray(value) for value in initial]))


def map(function: Callable[[Any], Any], count: int, progress: Progress | None = None) -> Any:
    """See `Backend`."""

    def body(k: Any) -> Any:
        with inner_scope():
            result = function(k)
        _report(k, count, progress)
        return jnp.asarray(result, jnp.float32)

    return jax.lax.map(body, jnp.arange(count))


def _report(k: Any, count: int, progress: Progress | None) -> None:
    """Call `progress` when round k of a loop is through, about `REPORTS` times in all."""
    if progress is None or count < 2:
        return
    rounds, call = max(1, count // REPORTS), progress

    def on_host() -> None:
        call(rounds)

    def report(k: Any) -> None:
        is_due = k % rounds == rounds - 1
        jax.lax.cond(is_due, lambda: jax.debug.callback(on_host), lambda: None)

    report.__name__ = OWN_REPORT
    jax.jit(report)(k)
