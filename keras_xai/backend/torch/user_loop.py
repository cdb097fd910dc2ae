"""The state of PyTorch at a point of a training loop of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import torch
from keras.src.backend.torch.core import get_device


def trace_state() -> object:
    """See `Backend`."""
    return torch.compiler.is_compiling()


def obstacle_to_passes() -> str:
    """See `Backend`."""
    if torch.compiler.is_compiling():
        return "a function that torch.compile compiles"
    if torch.is_inference_mode_enabled():
        return "a block of torch.inference_mode"
    return ""


@contextlib.contextmanager
def free_for_passes() -> Iterator[None]:
    """See `Backend`: the optimizer is called under `torch.no_grad`, and often under `torch.autocast`."""
    device = torch.device(get_device()).type
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


def begin_train_call(model: keras.Model, arguments: Sequence[Any]) -> None:
    """See `Backend`: the variables hold the state."""


def finish_train_call(model: keras.Model, result: Any) -> Any:
    """See `Backend`: the step has assigned the variables itself."""
    return result
