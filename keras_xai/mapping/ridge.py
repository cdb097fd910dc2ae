"""Ridge regression on a layer's activations, with every sample left out in turn, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.gram import GramDecomposition

Array = NDArray[np.float64]

RELATIVE_PENALTIES = np.logspace(-4, 2, 7)  # times the mean variance of a sample, tr K / B


class RidgeFit(NamedTuple):
    """A ridge regression with an intercept, at one penalty."""

    left_out: Array  # (B, C) the prediction of each sample by the fit to all others
    penalty: float
    shrinkage: Array  # (r) 1 / (w + penalty)

    def coefficients(self, gram: GramDecomposition, columns: Array, targets: Array) -> Array:
        """The coefficients (D, C) of the fit to all samples.

        Args:
            gram: the decomposition of Z.
            columns: Z (B, D), centred.
            targets: (B, C) of the fit.
        """
        projections = gram.eigenvectors.T @ (targets - targets.mean(0))
        return columns.T @ (gram.eigenvectors @ (self.shrinkage[:, None] * projections))


class RidgePath(NamedTuple):
    """Fits of the same targets, one for each penalty."""

    targets: Array  # (B, C)
    penalties: Array  # (P)
    shrinkage: Array  # (P, r) 1 / (w + penalty)
    residual: Array  # (P, B, C) of each sample, left out

    def best(self, columns: slice = slice(None)) -> RidgeFit:
        """The fit of some columns of the targets, at the penalty with the smallest squared error of left-out samples."""
        residual = self.residual[:, :, columns]
        k = int(np.square(residual).sum((1, 2)).argmin())
        return RidgeFit(self.targets[:, columns] - residual[k], float(self.penalties[k]), self.shrinkage[k])


def ridge(gram: GramDecomposition, targets: Array, penalties: Array | None = None) -> RidgeFit:
    """The fit of the `ridge_path` with the smallest squared error of left-out samples."""
    return ridge_path(gram, targets, penalties).best()


def ridge_path(gram: GramDecomposition, targets: Array, penalties: Array | None = None) -> RidgePath:
    """Ridge regressions from a layer to targets, one for each of several penalties.

    The residual of a left-out sample is its residual in the fit to all samples over 1 − h, where h is its leverage (Cook
    1977): the same numbers as by B fits, without a split and without randomness.

    Args:
        gram: of the layer.
        targets: (B, C) one-hot classes, or numbers.
        penalties: λ to choose from; default `RELATIVE_PENALTIES` times the layer's mean variance.

    Cost:
        B · r · C multiplications for each penalty.
    """
    targets = np.asarray(targets, np.float64)
    samples = gram.size
    if penalties is None:
        mean_variance = gram.eigenvalues.sum() / samples
        penalties = RELATIVE_PENALTIES * (mean_variance or 1.0)
    penalties = np.asarray(penalties, np.float64)
    centred = targets - targets.mean(0)
    shrinkage = 1.0 / (gram.eigenvalues + penalties[:, None])  # (P, r)
    weights = gram.eigenvalues * shrinkage  # (P, r) of each direction in the fit
    leverage = np.square(gram.eigenvectors) @ weights.T + 1.0 / samples  # (B, P) h; 1 / B is the intercept's
    projections = weights[:, :, None] * (gram.eigenvectors.T @ centred)  # (P, r, C)
    residual = (centred - gram.eigenvectors @ projections) / (1.0 - leverage.T)[:, :, None]  # (P, B, C)
    return RidgePath(targets, penalties, shrinkage, residual)
