"""Ridge regression on a factor, with every sample left out in turn, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.factor import Factor

Array = NDArray[np.float64]

PENALTIES = np.logspace(-4, 2, 7)  # times the mean variance of a sample, tr K / B


class Path(NamedTuple):
    """Fits of the same targets, one for each penalty."""

    targets: Array  # (B, C)
    penalties: Array  # (P)
    shrink: Array  # (P, r) 1 / (w + penalty)
    residual: Array  # (P, B, C) of each sample, left out

    def best(self, columns: slice = slice(None)) -> Ridge:
        """The fit of some columns whose left-out squared error is the smallest."""
        residual = self.residual[:, :, columns]
        k = int(np.square(residual).sum((1, 2)).argmin())
        return Ridge(self.targets[:, columns] - residual[k], float(self.penalties[k]), self.shrink[k])


class Ridge(NamedTuple):
    """A fit with intercept; the penalty is the one with the smallest left-out squared error."""

    left_out: Array  # (B, C) what each sample is predicted to be by the fit to all others
    penalty: float
    shrink: Array  # (r) 1 / (w + penalty)

    def coefficients(self, factor: Factor, columns: Array, targets: Array) -> Array:
        """(D, C) of the fit to all samples, towards the centred columns Z (B, D) that the factor was made of."""
        inside = factor.v.T @ (targets - targets.mean(0))
        return columns.T @ (factor.v @ (self.shrink[:, None] * inside))


def ridge(factor: Factor, targets: Array, penalties: Array | None = None) -> Ridge:
    """The best of the `path`."""
    return path(factor, targets, penalties).best()


def path(factor: Factor, targets: Array, penalties: Array | None = None) -> Path:
    """Predicts targets (B, C) from a layer.

    A sample's left-out residual is its residual over 1 − h, h its own weight in the fit (Cook 1977): no split and no
    randomness, and the same numbers as B refits.

    Args:
        factor: of the layer.
        targets: one-hot classes, or numbers.
        penalties: λ to choose from; default `PENALTIES` times the layer's mean variance.

    Cost:
        B · r · C multiplications for each penalty.
    """
    targets = np.asarray(targets, np.float64)
    size = factor.size
    if penalties is None:
        penalties = PENALTIES * (factor.w.sum() / size or 1.0)
    penalties = np.asarray(penalties, np.float64)
    centred = targets - targets.mean(0)
    shrink = 1.0 / (factor.w + penalties[:, None])  # (P, r)
    share = factor.w * shrink
    weight = np.square(factor.v) @ share.T + 1.0 / size  # (B, P); the intercept's share is 1 / B
    inside = share[:, :, None] * (factor.v.T @ centred)  # (P, r, C)
    residual = (centred - factor.v @ inside) / (1.0 - weight.T)[:, :, None]  # (P, B, C)
    return Path(targets, penalties, shrink, residual)
