"""The arguments of a call of one of torch's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


def mapped(values: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure with `function(tensor)` in the place of each tensor."""
    if isinstance(values, torch.Tensor):
        return function(values)
    if isinstance(values, tuple) and hasattr(values, "_make"):
        return values._make([mapped(value, function) for value in values])
    if isinstance(values, (list, tuple)):
        return type(values)([mapped(value, function) for value in values])
    if isinstance(values, dict):
        return {key: mapped(value, function) for key, value in values.items()}
    return values


def is_in_place(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Return True for a function that writes its result into its argument."""
    is_operator = name.endswith("__")
    return bool(kwargs.get("inplace")) or (name.startswith("__i") if is_operator else name.endswith("_"))
