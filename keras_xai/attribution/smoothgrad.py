"""SmoothGrad."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.method import Method
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe
from keras_xai.records import Quantity

REDUCTIONS = ("mean", "variance", "square")


@dataclasses.dataclass(frozen=True)
class SmoothGrad(Method):
    """The gradient averaged over noisy copies of the input (Smilkov et al. 2017, arXiv 1706.03825).

        values = mean over k of ∂ score / ∂ x (x + σ·ε_k),   ε ~ N(0, 1)

    Gradients of deep networks flicker from pixel to pixel; their mean over a neighbourhood does not. Signed, in score units
    per input unit. `reduce="variance"` is VarGrad, `reduce="square"` SquareGrad (Hooker et al. 2018, arXiv 1806.10758), both
    non-negative. The draws follow from `seed` alone and are the same for every sample. Prefer it to saliency for images.

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

    title: ClassVar[str] = "SmoothGrad"
    quantity: ClassVar[Quantity] = "slope"

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

    def passes(self, probe: Probe) -> float:
        return float(self.n_samples)

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_samples" in options else dataclasses.replace(self, n_samples=8)

    def values(self, batch: Batch) -> Tensors:
        ops, backend = keras.ops, get_backend()
        passes, per = batch.passes(self.n_samples)
        index = np.arange(passes * per).reshape(passes, per)
        weights = backend.constant((index < self.n_samples) / np.float32(self.n_samples))
        index = backend.constant(np.minimum(index, self.n_samples - 1).astype(np.int32))
        sigma, noise = [], []
        for number, (x, moves) in enumerate(zip(batch.x, batch.differentiable, strict=True)):
            sigma.append(self._sigma(x) if moves else None)
            noise.append(backend.constant(self.draws(tuple(x.shape[1:]), number)) if moves else None)
        target = batch.repeated_target(per)

        def one_pass(k: Tensor, total: Tensors) -> Tensors:
            noisy = []
            for x, s, e in zip(batch.x, sigma, noise, strict=True):
                if s is None:
                    noisy.append(ops.tile(x, [per] + [1] * (len(x.shape) - 1)))
                    continue
                drawn = ops.cast(ops.take(e, index[k], axis=0)[:, None], x.dtype)
                noisy.append(ops.reshape(x[None] + s[None] * drawn, (-1, *x.shape[1:])))
            terms = [ops.reshape(g, (per, -1)) for g in batch.gradient_of(noisy, target)]
            if self.reduce != "mean":
                terms += [ops.square(g) for g in terms]
            terms = [ops.matmul(weights[k][None], term) for term in terms]
            return [t + ops.reshape(v, t.shape) for t, v in zip(total, terms, strict=True)]

        moments = 1 if self.reduce == "mean" else 2
        initial = [ops.zeros(x.shape, "float32") for _ in range(moments) for x in batch.x]
        sums = batch.loop(one_pass, passes, initial)
        first, second = sums[: len(batch.x)], sums[len(batch.x) :]
        if self.reduce == "variance":
            return [ops.relu(s - ops.square(f)) for f, s in zip(first, second, strict=True)]
        return list(second if self.reduce == "square" else first)

    def draws(self, shape: tuple[int, ...], number: int) -> NDArray[np.float32]:
        """(n_samples, ...) the noise ε for one input: `default_rng([seed, number])`, the same on every backend.

        Args:
            shape: of one sample, as the gradient is taken: of tokens that of their embeddings.
            number: of the input, as the model takes them.
        """
        return np.random.default_rng([self.seed, number]).standard_normal((self.n_samples, *shape), np.float32)

    def _sigma(self, x: Tensor) -> Tensor:
        """σ for each entry (n, ... or 1)."""
        ops = keras.ops
        if self.stdevs is not None:
            stdevs = np.asarray(self.stdevs, np.float32)
            if stdevs.shape not in ((), tuple(x.shape[1:])):
                raise InvalidInput(f"stdevs has shape {stdevs.shape}: expected one number, or {tuple(x.shape[1:])}.")
            return ops.cast(ops.broadcast_to(get_backend().constant(stdevs), x.shape), x.dtype)
        axes = tuple(range(1, len(x.shape)))
        return self.stdev_spread * (ops.max(x, axis=axes, keepdims=True) - ops.min(x, axis=axes, keepdims=True))
