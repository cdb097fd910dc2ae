"""KernelSHAP."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.background import Background
from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import FeatureMasks, Groups, probe_groups
from keras_xai.attribution.least_squares import constrained
from keras_xai.attribution.method import Method
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import check_int
from keras_xai.model.inputs import background_rows
from keras_xai.model.samples import Samples
from keras_xai.probe import Probe


@dataclasses.dataclass(frozen=True)
class KernelShap(Method):
    """Shapley values of the features, by a weighted regression on coalitions (Lundberg and Lee 2017, arXiv 1705.07874).

        values = argmin_v Σ_S k(S) · (score(x_S) − score(x₀) − Σ_{i ∈ S} v_i)²   with Σ v = score(x) − score(x₀)

    k(S) = (M − 1) / (C(M, |S|) · |S| · (M − |S|)); x_S has the features of S from the sample and the others from the baseline,
    or, averaged, from each row of a background. All 2^M coalitions where `n_samples` allows, which is exact; else pairs of
    a random coalition and its complement, drawn once for all samples. Signed, complete, in score units; a feature's value is
    divided evenly among its entries. Prefer it where no gradient exists or where the game-theoretic account is asked for;
    for smooth models expected gradients come close for less.

    Sanity: fails the randomisation test on digits (0.76 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: min(2^M − 2, `n_samples`) forward passes, times the rows of the background. The regression is solved once, in
    float64, with matrices of at most M × `n_samples` entries. Of more features than coalitions it takes the shortest solution.

    Args:
        n_samples: coalitions; 2048 are exact up to 11 features. A callback takes 256 where none are given.
        background: rows to take absent features from, in the structure of x; default the baseline (a `Probe`: its
            background).
        groups: what counts as one feature: a dict from a name to columns, or an integer map in the shape of a sample or of
            its pixels; default each column, each token, 4 × 4 cells of an image, 4 × 4 × 4 of a volume, of a series up to 16
            stretches of time in each channel (a `Probe`: its groups).
        seed: of the coalitions.

    Raises:
        InvalidInput: `n_samples` under 2, a background or groups of another shape.

    Example:
        >>> a = kx.attribute(model, x, method="kernel_shap", n_samples=1024)
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Kernel SHAP"
    satisfies_completeness: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False

    n_samples: int = 2048
    background: Any = None
    groups: Groups = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("n_samples", self.n_samples, minimum=2)

    def for_probe(self, probe: Probe) -> Method:
        background = self.background if self.background is not None else probe.background
        groups = self.groups if self.groups is not None else probe_groups(probe)
        return dataclasses.replace(self, background=background, groups=groups)

    def for_inputs(self, x: Sequence[Samples], like: Any) -> Method:
        return dataclasses.replace(self, background=background_rows(self.background, x, like))

    def passes(self, probe: Probe) -> float:
        return self.n_samples / 3

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_samples" in options else dataclasses.replace(self, n_samples=256)

    def baseline_score(self, batch: Batch) -> Tensor:
        return batch.memoize(self, lambda: Background(batch, self.background).score)

    def values(self, batch: Batch) -> Tensors:
        ops, backend = keras.ops, get_backend()
        features = FeatureMasks(batch, self.groups)
        baseline_score = self.baseline_score(batch)
        gap = (batch.score - baseline_score)[:, None]
        if features.count == 1:
            return features.spread(gap)
        present, weight = coalitions(features.count, self.n_samples, self.seed)
        fit = constrained(present, weight)
        present_tensor = backend.constant(present.astype(np.float32))
        background = Background(batch, self.background)

        def variants(k: Tensor) -> Tensors:
            masks = features.masks(ops.take(present_tensor, k // background.size, axis=0))
            return apply_mask(batch, masks, background.rows(k % background.size))

        scores = score_variants(batch, len(present) * background.size, variants)
        scores = ops.mean(ops.reshape(scores, (batch.size, len(present), background.size)), axis=2)
        return features.spread(fit.of(scores - baseline_score[:, None], gap))


def coalitions(count: int, budget: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(K, M) coalitions without the empty and the full one, and the weight of each: all of them, or drawn pairs."""
    sizes = np.arange(1, count)
    if count < 60 and 2**count <= budget:
        codes = np.arange(1, 2**count - 1)
        present = (codes[:, None] >> np.arange(count)) & 1 == 1
        size = present.sum(1)
        ways = np.array([math.comb(count, int(s)) for s in size], np.float64)
        return present, (count - 1) / (ways * size * (count - size))
    # Drawn as often as the kernel weights their size, so all have one weight.
    share = 1 / (sizes * (count - sizes))
    generator = np.random.default_rng(seed)
    drawn_sizes = generator.choice(sizes, size=budget // 2, p=share / share.sum())
    half = generator.random((len(drawn_sizes), count)).argsort(1).argsort(1) < drawn_sizes[:, None]
    present = np.concatenate([half, ~half])
    return present, np.ones(len(present))
