"""SmoothGrad."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_xai.attribution.method import Method, Rows, Tensor
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, check_int

REDUCTIONS = ("mean", "variance", "square")


@dataclasses.dataclass(frozen=True)
class SmoothGrad(Method):
    """The gradient averaged over noisy copies of the input (Smilkov et al. 2017, arXiv 1706.03825).

        values = mean over k of ∂ score / ∂ x (x + σ·ε_k),   ε ~ N(0, 1)

    Gradients of deep networks flicker from pixel to pixel; their mean over a neighbourhood does not. Signed, in score units
    per input unit. `reduce="variance"` is VarGrad, `reduce="square"` SquareGrad (Hooker et al. 2018, arXiv 1806.10758), both
    non-negative. The draws follow from `seed` alone and are the same for every sample. Prefer it to saliency for pictures.

    Sanity: passes on digits; on a standardised table its order is worse than chance (deletion -0.08, insertion -0.07 of the
    score's range): a slope does not know on which side of the baseline a sample lies (`benchmarks/sanity.py`).

    Cost: `n_samples` forward and backward passes.

    Args:
        n_samples: noisy copies; a callback takes 8 where none are given.
        stdev_spread: σ as a share of each sample's own range, max − min, as in the paper.
        stdevs: σ itself, one number or one for each entry of a sample; takes the place of `stdev_spread`. Give it for
            tables whose columns have different units.
        reduce: "mean", "variance" or "square".
        seed: of the noise.

    Raises:
        InvalidInput: `n_samples` under 1, a σ that is negative or has another shape, an unknown reduction.

    Example:
        >>> a = kx.attribute(model, images, method="smoothgrad", n_samples=50)
        >>> a.values.shape
        (16, 16, 16, 1)
    """

    n_samples: int = 25
    stdev_spread: float = 0.15
    stdevs: Any = None
    reduce: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("n_samples", self.n_samples)
        if self.reduce not in REDUCTIONS:
            raise InvalidInput(f"reduce={self.reduce!r}: expected one of {', '.join(map(repr, REDUCTIONS))}.")
        for name, value in (("stdev_spread", self.stdev_spread), ("stdevs", self.stdevs)):
            if value is not None and not (np.asarray(value, np.float64) >= 0).all():
                raise InvalidInput(f"{name}={value!r}: expected no negative number.")

    def for_callback(self, given: Mapping[str, Any]) -> Method:
        return self if "n_samples" in given else dataclasses.replace(self, n_samples=8)

    def values(self, at: Rows) -> list[Tensor]:
        ops, backend = keras.ops, get_backend()
        passes, per = at.passes(self.n_samples)
        index = np.arange(passes * per).reshape(passes, per)
        weights = backend.constant((index < self.n_samples) / np.float32(self.n_samples))
        index = backend.constant(np.minimum(index, self.n_samples - 1).astype(np.int32))
        sigma = [self._sigma(x) if smooth else None for x, smooth in zip(at.x, at.smooth, strict=True)]
        noise = [self._noise(x.shape[1:], number, len(at.x)) for number, x in enumerate(at.x)]
        target = ops.tile(at.target, [per])

        def one_pass(k: Tensor, total: list[Tensor]) -> list[Tensor]:
            noisy = []
            for x, s, e in zip(at.x, sigma, noise, strict=True):
                if s is None:
                    noisy.append(ops.tile(x, [per] + [1] * (len(x.shape) - 1)))
                    continue
                drawn = ops.cast(ops.take(e, index[k], axis=0)[:, None], x.dtype)
                noisy.append(ops.reshape(x[None] + s[None] * drawn, (-1, *x.shape[1:])))
            found = [ops.reshape(g, (per, -1)) for g in at.gradient_of(noisy, target)]
            powers = (found, [ops.square(g) for g in found]) if self.reduce != "mean" else (found,)
            terms = [ops.matmul(weights[k][None], g) for power in powers for g in power]
            return [t + ops.reshape(v, t.shape) for t, v in zip(total, terms, strict=True)]

        moments = 1 if self.reduce == "mean" else 2
        initial = [ops.zeros(x.shape, "float32") for _ in range(moments) for x in at.x]
        found = at.folded(one_pass, passes, initial)
        first, second = found[: len(at.x)], found[len(at.x) :]
        if self.reduce == "variance":
            return [ops.relu(s - ops.square(f)) for f, s in zip(first, second, strict=True)]
        return list(second if self.reduce == "square" else first)

    def _noise(self, shape: tuple[int, ...], number: int, inputs: int) -> Tensor:
        """(n_samples, ...) of one input: a draw depends on its own number, not on how many share a pass."""
        return get_backend().map(lambda k: get_backend().normal(self.seed, k * inputs + number, shape), self.n_samples)

    def _sigma(self, x: Tensor) -> Tensor:
        """σ for each entry (n, ... or 1)."""
        ops = keras.ops
        if self.stdevs is not None:
            given = np.asarray(self.stdevs, np.float32)
            if given.shape not in ((), tuple(x.shape[1:])):
                raise InvalidInput(f"stdevs has shape {given.shape}: expected one number, or {tuple(x.shape[1:])}.")
            return ops.cast(ops.broadcast_to(get_backend().constant(given), x.shape), x.dtype)
        axes = tuple(range(1, len(x.shape)))
        return self.stdev_spread * (ops.max(x, axis=axes, keepdims=True) - ops.min(x, axis=axes, keepdims=True))
