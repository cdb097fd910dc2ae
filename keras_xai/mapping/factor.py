"""One factor a layer: from it everything linear follows.

Z (B, D) are a layer's activations, centred. With K = ZZᵀ = V diag(w) Vᵀ, the columns of V√w are its principal coordinates,
the rotation of Z in which nothing of its geometry is lost; the eigenvectors V and values w give every ridge regression.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]

# Eigenvalues below this share of the largest are rounding.
ROUNDING = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


class Factor:
    """The eigenvalues and eigenvectors of a layer's Gram matrix, by the smaller of two decompositions.

    Args:
        values: Z (B, D) centred, or its Gram matrix (B, B); one of float32 is decomposed as such, twice as fast.
        gram: which of them.

    Raises:
        numpy.linalg.LinAlgError: values that are not finite.

    Cost:
        One symmetric eigenvalue problem of size D, or B for a Gram matrix.
    """

    def __init__(self, values: NDArray[Any], gram: bool) -> None:
        self.values: Array = np.asarray(values, np.float64)
        self.gram = gram
        self.size = len(self.values)
        if not np.isfinite(self.values).all():
            raise np.linalg.LinAlgError("values that are not finite have no eigenvalues")
        square = values if gram else self.values.T @ self.values
        w, u = eigh(square, driver="evd", check_finite=False)
        kept = w > max(float(w[-1]), 0.0) * ROUNDING[square.dtype]
        self.w: Array = w[kept][::-1].astype(np.float64)  # (r) falling
        u = u[:, kept][:, ::-1].astype(np.float64)
        self.coordinates: Array = u * np.sqrt(self.w) if gram else self.values @ u  # (B, r) V√w
        self.v: Array = self.coordinates / np.sqrt(self.w)  # (B, r)

    @cached_property
    def diagonal(self) -> Array:
        """(B) ‖z‖² of each sample."""
        return np.diagonal(self.values).copy() if self.gram else np.square(self.values).sum(1)

    @property
    def trace(self) -> float:
        """Σ‖z‖²."""
        return float(self.diagonal.sum())

    @property
    def participation(self) -> float:
        """(Σw)² / Σw²: 1 where one direction holds all variance, r where r share it evenly. NaN without any."""
        return float(self.w.sum() ** 2 / np.square(self.w).sum()) if self.w.size else np.nan

    def inner(self, other: Factor) -> float:
        """⟨K, L⟩, the sum of products of the entries of both Gram matrices."""
        if self.gram and other.gram:
            return float(np.vdot(self.values, other.values))
        if not self.gram and not other.gram:
            return float(np.square(self.values.T @ other.values).sum())
        k, z = (self.values, other.values) if self.gram else (other.values, self.values)
        return float(np.vdot(k @ z, z))

    @cached_property
    def norm(self) -> float:
        """√HSIC(K, K), see `dependence`."""
        return float(np.sqrt(max(dependence(self, self), 0.0)))


def dependence(one: Factor, other: Factor) -> float:
    """The unbiased Hilbert-Schmidt independence criterion of two layers (Song et al. 2012), times n(n − 3).

    Its Gram matrices have a zero diagonal and are not centred; the criterion is the same for centred ones, since it does not
    change with the origin. Then every sum over a row is minus the diagonal's entry, and two traces and one product remain.
    """
    n, d, e = one.size, one.diagonal, other.diagonal
    cross = float(d @ e)
    return one.inner(other) - cross + one.trace * other.trace / ((n - 1) * (n - 2)) - 2.0 * cross / (n - 2)


def likeness(one: Factor | None, other: Factor | None) -> float:
    """Unbiased linear CKA (Kornblith et al. 2019, Nguyen et al. 2021): 1 for the same geometry up to rotation and scale,
    0 on average for layers that have nothing to do with each other (the biased form gives such 0.4 to 0.7 at 256 samples).
    It may lie a little outside. NaN where a layer gives the same for every sample, or fewer than four samples are there.
    """
    if one is None or other is None or min(one.w.size, other.w.size) == 0 or one.size < 4:
        return np.nan
    scale = one.norm * other.norm
    return dependence(one, other) / scale if scale > 0 else np.nan
