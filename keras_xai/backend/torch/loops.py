"""Loops of Python's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from keras.src.backend.torch.core import get_device

from keras_xai.backend.protocol import Progress

REPORTS = 20  # of a loop


class _Mode(threading.local):
    """A thread's way of running loops."""

    is_single_round = False


_mode = _Mode()


@contextlib.contextmanager
def single_round() -> Iterator[None]:
    """Run one round of each loop inside, which is enough to learn the facts of a function."""
    before, _mode.is_single_round = _mode.is_single_round, True
    try:
        yield
    finally:
        _mode.is_single_round = before


def fori_loop(
    function: Callable[[Any, list[Any]], list[Any]],
    count: int,
    initial: Sequence[Any],
    progress: Progress | None = None,
) -> list[Any]:
    """See `Backend`."""
    values = list(initial)
    for k in _numbers(1 if _mode.is_single_round else count):
        values = list(function(k, values))
        _report(int(k), count, progress)
    return values


def map(function: Callable[[Any], Any], count: int, progress: Progress | None = None) -> Any:
    """See `Backend`."""
    if _mode.is_single_round:
        (number,) = _numbers(1)
        value = function(number).float()
        return value.expand(count, *value.shape)
    values = []
    for k in _numbers(count):
        values.append(function(k))
        _report(int(k), count, progress)
    return torch.stack(values).float()


def _numbers(count: int) -> Sequence[torch.Tensor]:
    """The numbers 0 … count − 1, each a tensor, as other frameworks have them."""
    return torch.arange(count, dtype=torch.int32, device=get_device()).unbind()


def _report(k: int, count: int, progress: Progress | None) -> None:
    """Call `progress` when round k of a loop is through, about `REPORTS` times in all."""
    if progress is None or count < 2 or _mode.is_single_round:
        return
    rounds = max(1, count // REPORTS)
    if k % rounds == rounds - 1:
        progress(rounds)
