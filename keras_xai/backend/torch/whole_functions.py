"""Functions of torch that are several operations at once, written as these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional


def layer_norm(x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Return what `torch.nn.functional.layer_norm` does."""
    axes = tuple(range(-len(normalized_shape), 0))
    centred = x - torch.mean(x, axes, keepdim=True)
    scaled = centred * torch.rsqrt(torch.mean(torch.square(centred), axes, keepdim=True) + eps)
    return _affine(scaled, weight, bias)


def rms_norm(x: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """Return what `torch.nn.functional.rms_norm` does."""
    axes = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(x * torch.rsqrt(torch.mean(torch.square(x), axes, keepdim=True) + eps), weight, None)


def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Return what `torch.nn.functional.group_norm` does."""
    groups = torch.reshape(x, (x.shape[0], num_groups, -1))
    scaled = torch.reshape(layer_norm(groups, groups.shape[2:], eps=eps), x.shape)
    by_channel = (-1, *[1] * (x.ndim - 2))
    return _affine(scaled, *[None if w is None else torch.reshape(w, by_channel) for w in (weight, bias)])


def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """Return what `torch.nn.functional.normalize` does, of the Euclidean norm."""
    if p != 2:
        raise TypeError(f"p={p}")
    return x / torch.clamp_min(torch.sqrt(torch.sum(torch.square(x), dim, keepdim=True)), eps)


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """Return what `torch.nn.functional.scaled_dot_product_attention` does, without dropout."""
    if dropout_p:
        raise TypeError(f"dropout_p={dropout_p}")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = torch.matmul(query, torch.transpose(key, -2, -1)) * scale
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = torch.where(attn_mask, logits, -math.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    return torch.matmul(torch.softmax(logits, -1), value)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return what `torch.nn.functional.linear` does."""
    return _affine(functional.linear(x, weight), None, bias)


def _convolution(function: Callable[..., Any]) -> Callable[..., Any]:
    def convolved(x: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
        sums = function(x, weight, None, *args, **kwargs)
        return sums if bias is None else sums + torch.reshape(bias, (-1, *[1] * (weight.ndim - 2)))

    return convolved


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
# By name; a call whose arguments one does not take stays whole.
IN_PARTS: dict[str, Callable[..., Any]] = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "normalize": normalize,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "linear": linear,
    **{name: _convolution(getattr(functional, name)) for name in _CONVOLUTIONS},
}


def is_sum_without_bias(name: str, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Return True for a call of a layer of weights that has no bias: it is one operation."""
    is_sum = name == "linear" or name in _CONVOLUTIONS
    return is_sum and (args[2] if len(args) > 2 else kwargs.get("bias")) is None
