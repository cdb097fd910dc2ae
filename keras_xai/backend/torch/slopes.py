"""Functions of samples and baselines with DeepLIFT's derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_xai.backend.deeplift import of_log_softmax, softmax_slopes
from keras_xai.backend.torch.two_parts import Parts

_NARROW_CHANGE = 1e-5  # so small beside its values that their difference is rounding


def by_slope(z: Any, function: Callable[[Any], Any], parts: Parts) -> Any:
    """Return `function(z)`, entry by entry, with its slope between samples and baselines as the samples' derivative.

    Where the two are one, that is the derivative at the sample.
    """
    return _BySlope.apply(z, function, parts)


def by_winner(z: Any, function: Callable[[Any], Any], parts: Parts) -> Any:
    """Return `function(z)`, maxima, with a change handed to the entries that won: a gain where the sample's is, a loss where the
    baseline's was."""
    return _ByWinner.apply(z, function, parts)


def by_halves(tensors: Sequence[Any], function: Callable[..., Any], parts: Parts) -> Any:
    """Return `function(*tensors)`, a product or another function of second degree, with its derivative halfway between samples
    and baselines."""
    return _ByHalves.apply(function, parts, *tensors)


def by_softmax(z: Any, axis: int, parts: Parts) -> Any:
    """Return the softmax of z, with the slopes of `keras_xai.backend.deeplift.softmax_slopes`."""
    return _BySoftmax.apply(z, axis, parts)


def by_log_softmax(z: Any, axis: int, parts: Parts) -> Any:
    """Return the logarithm of the softmax of z, with the same slopes."""
    return _ByLogSoftmax.apply(z, axis, parts)


class _BySlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Any, function: Callable[[Any], Any], parts: Parts) -> Any:
        y = function(z)
        ctx.save_for_backward(z, y)
        ctx.function, ctx.parts = function, parts
        return y

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:
        z, y = ctx.saved_tensors
        parts = ctx.parts
        with torch.enable_grad():
            source = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(source).sum(), source)
        x, base = parts.samples_of(z), parts.baselines_of(z)
        change = x - base
        is_wide = change.abs() > _NARROW_CHANGE * x.abs().clamp(min=1.0)
        of_change = (parts.samples_of(y) - parts.baselines_of(y)) / torch.where(is_wide, change, 1.0)
        multiplier = torch.where(is_wide, of_change, parts.samples_of(slope))
        return parts.only_samples(parts.samples_of(above) * multiplier, z), None, None


class _ByWinner(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Any, function: Callable[[Any], Any], parts: Parts) -> Any:
        ctx.save_for_backward(z)
        ctx.function, ctx.parts = function, parts
        return function(z)

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:
        (z,) = ctx.saved_tensors
        parts = ctx.parts
        above = parts.samples_of(above)
        with torch.enable_grad():
            x = parts.samples_of(z).detach().requires_grad_()
            base = parts.baselines_of(z).detach().requires_grad_()
            y, base_y = ctx.function(x), ctx.function(base)
            larger = torch.maximum(y, base_y).detach()
            (gained,) = torch.autograd.grad(y, x, above * (larger - base_y.detach()))
            (lost,) = torch.autograd.grad(base_y, base, above * (y.detach() - larger))
        change = x.detach() - base.detach()
        has_change = x.detach() != base.detach()
        multiplier = torch.where(has_change, (gained + lost) / torch.where(has_change, change, 1.0), 0.0)
        return parts.only_samples(multiplier, z), None, None


class _ByHalves(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], parts: Parts, *tensors: Any) -> Any:
        ctx.save_for_backward(*tensors)
        ctx.function, ctx.parts = function, parts
        return function(*tensors)

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:
        tensors, parts = ctx.saved_tensors, ctx.parts
        with torch.enable_grad():
            halfway = []
            for tensor in tensors:
                mean = (parts.samples_of(tensor) + parts.baselines_of(tensor)) / 2
                halfway.append(mean.detach().requires_grad_())
            gradients = torch.autograd.grad(ctx.function(*halfway), halfway, parts.samples_of(above))
        of_samples = [parts.only_samples(rows, tensor) for rows, tensor in zip(gradients, tensors, strict=True)]
        return None, None, *of_samples


class _BySoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Any, axis: int, parts: Parts) -> Any:
        ctx.save_for_backward(z)
        ctx.axis, ctx.parts = axis, parts
        return torch.softmax(z, axis)

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:
        (z,) = ctx.saved_tensors
        logarithms = torch.log_softmax(z.float(), ctx.axis)
        slopes = softmax_slopes(ctx.parts.samples_of(logarithms), ctx.parts.baselines_of(logarithms))
        above = ctx.parts.samples_of(above)
        mean = (slopes * above).sum(ctx.axis, keepdim=True) / slopes.sum(ctx.axis, keepdim=True)
        return ctx.parts.only_samples(slopes * (above - mean), z), None, None


class _ByLogSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Any, axis: int, parts: Parts) -> Any:
        ctx.save_for_backward(z)
        ctx.axis, ctx.parts = axis, parts
        return torch.log_softmax(z, axis)

    @staticmethod
    def backward(ctx: Any, above: Any) -> Any:
        (z,) = ctx.saved_tensors
        logarithms = torch.log_softmax(z.float(), ctx.axis)
        slopes = softmax_slopes(ctx.parts.samples_of(logarithms), ctx.parts.baselines_of(logarithms))
        multiplier = of_log_softmax(ctx.parts.samples_of(above).float(), slopes, ctx.axis)
        return ctx.parts.only_samples(multiplier.to(z.dtype), z), None, None
