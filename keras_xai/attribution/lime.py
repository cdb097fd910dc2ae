"""LIME."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import FeatureMasks, Groups, probe_groups
from keras_xai.attribution.least_squares import Solution, ridge
from keras_xai.attribution.method import Method
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

SCORE_ROUNDING = 1e-6  # of a score, relative


@dataclasses.dataclass(frozen=True)
class Lime(Method):
    """A linear model of the score near the sample, in which features are there or not (Ribeiro et al. 2016, arXiv 1602.04938).

        values = argmin_v Σ_k π(z_k) · (score(x_{z_k}) − c − v·z_k)² + ridge · |v|²,   π(z) = exp(−(1 − cos(z, 1))² / width²)

    z_k is random, each feature there with probability ½; x_z has the others from the baseline. Signed, in score units, about
    what a feature adds where most others are there too; a feature's value is divided evenly among its entries. It is as good
    as the linear model fits, which `Attribution.r2` says for each sample, and depends on `kernel_width`. Prefer kernel_shap,
    unless a comparison with LIME is the wish.

        r2 = 1 − Σ_k π(z_k) · (score(x_{z_k}) − c − v·z_k)² / Σ_k π(z_k) · (score(x_{z_k}) − mean)²

    with the weighted mean; 1 where the score does not move at all.

    Sanity: fails the randomisation test on digits (0.70 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: `n_samples` forward passes. The ridge regression is solved once, in float64, with matrices of at most `n_samples`
    × features entries.

    Args:
        n_samples: random copies; a callback takes 256 where none are given.
        kernel_width: width of the neighbourhood, in cosine distance.
        ridge: the penalty.
        groups: what counts as one feature, see `KernelShap`.
        seed: of the copies.

    Raises:
        InvalidInput: an option out of range, groups of another shape.

    Example:
        >>> a = kx.attribute(model, x, method="lime", n_samples=2000)
        >>> bool((a.r2 > 0.9).all())
        True
    """

    title: ClassVar[str] = "LIME"
    needs_gradient: ClassVar[bool] = False
    reports_r2: ClassVar[bool] = True

    n_samples: int = 1000
    kernel_width: float = 0.25
    ridge: float = 0.01
    groups: Groups = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("n_samples", self.n_samples, minimum=2)
        for name in ("kernel_width", "ridge"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name}={getattr(self, name)!r}: expected a positive number.")

    def for_probe(self, probe: Probe) -> Method:
        return self if self.groups is not None else dataclasses.replace(self, groups=probe_groups(probe))

    def passes(self, probe: Probe) -> float:
        return self.n_samples / 3

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_samples" in options else dataclasses.replace(self, n_samples=256)

    def values(self, batch: Batch) -> Tensors:
        return batch.memoize(self, lambda: self._fit(batch))[0]

    def r2(self, batch: Batch) -> Tensor:
        return batch.memoize(self, lambda: self._fit(batch))[1]

    def _fit(self, batch: Batch) -> tuple[Tensors, Tensor]:
        """The slopes of the linear model as values, and (n,) how well it fits."""
        ops, backend = keras.ops, get_backend()
        features = FeatureMasks(batch, self.groups)
        present, weight, solution = self.surrogate(features.count)
        present_tensor = backend.constant(present.astype(np.float32))

        def variants(k: Tensor) -> Tensors:
            return apply_mask(batch, features.masks(ops.take(present_tensor, k, axis=0)))

        # Less the sample's own score: a constant does not change the linear model, but float32 rounds it.
        scores = score_variants(batch, len(present), variants) - batch.score[:, None]
        slopes = solution.of(scores)
        share = backend.constant((weight / weight.sum())[:, None].astype(np.float32))
        centred = backend.constant((present - (weight / weight.sum()) @ present).T.astype(np.float32))
        moved = scores - ops.matmul(scores, share)
        missed = ops.matmul(ops.square(moved - ops.matmul(slopes, centred)), share)[:, 0]
        total = ops.matmul(ops.square(moved), share)[:, 0]
        # What is smaller than float32 tells apart did not move.
        moves = total > ops.square(SCORE_ROUNDING * (1.0 + ops.abs(batch.score)))
        return features.spread(slopes), ops.where(moves, 1.0 - missed / ops.where(moves, total, 1.0), 1.0)

    def surrogate(self, count: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], Solution]:
        """(K, M) which features each copy has, (K,) its weight, and the values of the copies' scores."""
        present = np.random.default_rng(self.seed).random((self.n_samples, count)) < 0.5
        present[0] = True  # the sample itself
        z = present.astype(np.float64)
        distance = 1 - np.sqrt(z.mean(1))  # cos(z, 1) = √(share of features that are there)
        weight = np.exp(-np.square(distance / self.kernel_width))
        return present, weight, ridge(z - weight @ z / weight.sum(), weight, self.ridge)
