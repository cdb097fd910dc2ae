"""Tensors whose first rows are of samples, and whose last ones are of their baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from keras_xai.backend.torch.ancestry import names, tensors_in


class Parts(NamedTuple):
    """The rows of a model's inputs. A tensor inside may have several for each (time steps as rows)."""

    samples: int
    baselines: int  # as many, or one for all samples

    def samples_of(self, tensor: Any) -> Any:
        """Return the samples' part."""
        return tensor[: self._boundary(tensor)]

    def baselines_of(self, tensor: Any) -> Any:
        """Return the baselines' part, with as many rows as the samples' has."""
        rows = tensor[self._boundary(tensor) :]
        return rows if self.samples == self.baselines else rows.repeat(self.samples, *[1] * (rows.ndim - 1))

    def only_samples(self, rows: Any, like: Any) -> Any:
        """Return a gradient of the samples' part, in the shape of `like`: none for the baselines."""
        return torch.cat([rows.to(like.dtype), torch.zeros_like(like[len(rows) :])])

    def fit(self, tensor: Any) -> bool:
        """Return True for a tensor that may have these parts along its first axis."""
        return tensor.ndim > 0 and len(tensor) % (self.samples + self.baselines) == 0

    def _boundary(self, tensor: Any) -> int:
        return len(tensor) * self.samples // (self.samples + self.baselines)


_JOINS = ("cat", "concat", "concatenate", "stack")
# Functions that put entries elsewhere, or take those along some axes together.
_MOVES = names(
    "T __getitem__ amax broadcast_to chunk expand expand_as flatten flip mean moveaxis movedim narrow permute repeat reshape "
    "roll select split squeeze sum swapaxes swapdims t tile transpose unbind unflatten unsqueeze view view_as"
)
_PRODUCTS = ("__matmul__", "__rmatmul__", "bmm", "matmul", "mm", "addmm", "baddbmm", "linear", "tensordot")


def keeps_rows(
    name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], tensor: Any, parts: Parts
) -> bool:
    """True where each row of a function's result comes of the row in the same place alone.

    Args:
        name: of the function.
        func: the function itself, linear or a maximum.
        args: of the call.
        kwargs: of the call.
        tensor: the argument that moves with the samples, or one of several.
        parts: which rows are which.
    """
    if name in _JOINS:
        axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        return axis > 0 or (axis < 0 and -axis <= args[0][0].ndim - (name != "stack"))
    if name in _PRODUCTS:
        # A matrix of rows is the left factor; what has more axes is multiplied row by row.
        left = args[1] if name in ("addmm", "baddbmm") else args[0]
        return parts.fit(tensor) and (tensor.ndim > 2 or (left is tensor and name != "__rmatmul__"))
    if name == "einsum":
        inputs, _, output = str(args[0]).replace(" ", "").partition("->")
        return bool(output) and inputs.split(",")[0][:1] == output[:1]
    if name == "pad":
        return len(args[1] if len(args) > 1 else kwargs["pad"]) <= 2 * (args[0].ndim - 1)
    if name == "batch_norm":
        return not (args[5] if len(args) > 5 else kwargs.get("training", False))
    if name not in _MOVES:
        return True
    return _moves_within_rows(func, args, kwargs, parts)


def _moves_within_rows(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], parts: Parts) -> bool:
    """True where the numbers of rows, moved in the same way, are in order."""
    tensor = args[0]
    if not parts.fit(tensor):
        return False
    numbers = torch.arange(1, len(tensor) + 1, dtype=torch.float64, device=tensor.device)
    numbers = numbers.reshape(-1, *[1] * (tensor.ndim - 1)).expand(tensor.shape)
    with torch.no_grad():
        results = list(tensors_in(func(numbers, *args[1:], **kwargs)))
        ones = list(tensors_in(func(torch.ones_like(numbers), *args[1:], **kwargs)))
    for result, sums in zip(results, ones, strict=True):
        # A sum is as many times the number as it has entries. Rows may be split into several, in order.
        if not parts.fit(result) or result.numel() == 0:
            return False
        rows = parts.samples + parts.baselines
        blocks = (result / sums).reshape(rows, -1)
        first = torch.arange(rows, dtype=torch.float64, device=tensor.device)[:, None] * (len(tensor) // rows)
        if not bool(((blocks > first) & (blocks <= first + len(tensor) // rows)).all()):
            return False
    return True
