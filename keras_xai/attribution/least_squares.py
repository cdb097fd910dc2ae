"""Weighted least squares on masks of features, of any number of features: no matrix has features × features entries."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor

Matrix = NDArray[np.floating[Any]]
RANK = 1e-10  # of the largest eigenvalue: smaller ones are rounding


class Solution(NamedTuple):
    """A linear map from K scores to M values: the product of its factors, (M, ...) first and (..., K) last."""

    factors: tuple[Matrix, ...]

    @property
    def matrix(self) -> Matrix:
        """(M, K) the map as one matrix."""
        return np.asarray(np.linalg.multi_dot(self.factors) if len(self.factors) > 1 else self.factors[0])

    def of(self, scores: Tensor) -> Tensor:
        """(n, M) the values of scores (n, K)."""
        values = scores
        for factor in reversed(self.factors):
            values = keras.ops.matmul(values, get_backend().constant(factor.T.astype(np.float32)))
        return values


def ridge(z: Matrix, weight: Matrix, penalty: float) -> Solution:
    """The slopes v of scores that minimise Σ_k weight_k · (score_k − c − v·z_k)² + penalty · |v|².

    Args:
        z: (K, M) masks, less their weighted mean.
        weight: (K,) positive.
        penalty: positive.

    Returns:
        (M, K) the slopes of scores (K,), from a system of min(M, K) equations.
    """
    weighted = z * weight[:, None]
    if z.shape[1] <= len(z):
        moment = z.T @ weighted + penalty * np.eye(z.shape[1])
        return Solution((np.linalg.solve(moment, weighted.T),))
    # (Zᵀ W Z + λ)⁻¹ Zᵀ W = Zᵀ (W Z Zᵀ + λ)⁻¹ W
    moment = weighted @ z.T + penalty * np.eye(len(z))
    return Solution((z.T, np.linalg.solve(moment, np.diag(weight))))


class ConstrainedFit(NamedTuple):
    """values = solution · (scores − baseline score), moved along `share` until they sum to the whole difference."""

    solution: Solution  # (M, K) without the constraint
    sums: Matrix  # (K,) of the solution's columns
    share: Matrix  # (M,) how the constraint's correction is shared out; it sums to 1

    def of(self, changes: Tensor, difference: Tensor) -> Tensor:
        """(n, M) the values of changes of the score (n, K) from the baseline's, that sum to `difference` (n, 1)."""
        ops, constant = keras.ops, get_backend().constant
        total = ops.matmul(changes, constant(self.sums[:, None].astype(np.float32)))
        share = constant(self.share[None].astype(np.float32))
        return self.solution.of(changes) + (difference - total) * share


def constrained(present: NDArray[np.bool_], weight: Matrix) -> ConstrainedFit:
    """The values v that minimise Σ_k weight_k · (change_k − v·z_k)² under the constraint of their sum.

    Where there are more features than coalitions, the shortest of the values that do.

    Args:
        present: (K, M) which features each coalition has.
        weight: (K,) of the coalitions.
    """
    size = present.sum(1).astype(np.float64)  # = Z 1
    if present.shape[1] <= len(present):
        z = present.astype(np.float64)
        weighted = z * weight[:, None]
        inverse = np.linalg.pinv(z.T @ weighted, rcond=RANK, hermitian=True)
        solution = Solution((inverse @ weighted.T,))
        ones = inverse.sum(1)
    else:
        # With A = √W Z: (Aᵀ A)⁺ = Aᵀ (A Aᵀ)⁺ (A Aᵀ)⁺ A. Counts of common features are whole numbers, exact in float32.
        z = present.astype(np.float32)
        root = np.sqrt(weight)
        common = (z @ z.T).astype(np.float64)
        inverse = np.linalg.pinv(common * np.outer(root, root), rcond=RANK, hermitian=True)
        solution = Solution((present.T.astype(np.float32), inverse * np.outer(root, root)))
        ones = z.T @ (root * (inverse @ (inverse @ (root * size))))
    sums = solution.factors[-1]
    sums = size @ sums if len(solution.factors) > 1 else sums.sum(0)
    return ConstrainedFit(solution, sums, ones / ones.sum())
