"""One eigendecomposition a layer, from which every linear analysis of its activations follows.

Z (B, D) are a layer's activations, centred. With K = ZZᵀ = V diag(w) Vᵀ, the columns of V√w are the principal coordinates of
the samples, a rotation of Z that keeps all distances; eigenvectors V and eigenvalues w give every ridge regression.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]

# Eigenvalues below this share of the largest are rounding errors.
ROUNDING_SHARE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}


class GramDecomposition:
    """The eigenvalues and eigenvectors of a layer's Gram matrix ZZᵀ, by the smaller of two decompositions.

    Args:
        values: Z (B, D) centred, or its Gram matrix (B, B); float32 is decomposed as such, which is twice as fast.
        is_gram: True where `values` is the Gram matrix.

    Raises:
        numpy.linalg.LinAlgError: values that are not finite.

    Cost:
        One symmetric eigenvalue problem of size D, or of size B for a Gram matrix.
    """

    def __init__(self, values: NDArray[Any], is_gram: bool) -> None:
        self.values: Array = np.asarray(values, np.float64)
        self.is_gram = is_gram
        self.size = len(self.values)
        if not np.isfinite(self.values).all():
            raise np.linalg.LinAlgError("values that are not finite have no eigenvalues")
        symmetric = values if is_gram else self.values.T @ self.values
        eigenvalues, vectors = eigh(symmetric, driver="evd", check_finite=False)
        significant = eigenvalues > max(float(eigenvalues[-1]), 0.0) * ROUNDING_SHARE[symmetric.dtype]
        # eigh sorts in ascending order; the largest comes first here.
        self.eigenvalues: Array = eigenvalues[significant][::-1].astype(np.float64)  # (r) w
        vectors = vectors[:, significant][:, ::-1].astype(np.float64)
        scales = np.sqrt(self.eigenvalues)
        self.coordinates: Array = vectors * scales if is_gram else self.values @ vectors  # (B, r) V√w
        self.eigenvectors: Array = self.coordinates / scales  # (B, r) V

    @cached_property
    def diagonal(self) -> Array:
        """(B) ‖z‖² of each sample: the diagonal of the Gram matrix."""
        return np.diagonal(self.values).copy() if self.is_gram else np.square(self.values).sum(1)

    @property
    def trace(self) -> float:
        """Σ‖z‖², the trace of the Gram matrix."""
        return float(self.diagonal.sum())

    @property
    def participation_ratio(self) -> float:
        """(Σw)² / Σw²: 1 where one direction holds all variance, r where r directions share it evenly.

        NaN for a layer without variance.
        """
        if not self.eigenvalues.size:
            return np.nan
        return float(self.eigenvalues.sum() ** 2 / np.square(self.eigenvalues).sum())

    def inner_product(self, other: GramDecomposition) -> float:
        """⟨K, L⟩ = tr(KL) of both Gram matrices, the sum of the products of their entries."""
        if self.is_gram and other.is_gram:
            return float(np.vdot(self.values, other.values))
        if not self.is_gram and not other.is_gram:
            return float(np.square(self.values.T @ other.values).sum())
        gram, rows = (self.values, other.values) if self.is_gram else (other.values, self.values)
        return float(np.vdot(gram @ rows, rows))

    def unbiased_hsic(self, other: GramDecomposition) -> float:
        """The unbiased Hilbert-Schmidt independence criterion of two layers (Song et al. 2012), times n(n − 3).

        Its Gram matrices have a zero diagonal and are not centred. It does not change with the origin, so centred ones give
        the same: every sum over a row is then minus the diagonal's entry, and two traces and one product remain.
        """
        samples = self.size
        diagonals = float(self.diagonal @ other.diagonal)
        traces = self.trace * other.trace / ((samples - 1) * (samples - 2))
        return self.inner_product(other) - diagonals + traces - 2.0 * diagonals / (samples - 2)

    @cached_property
    def hsic_norm(self) -> float:
        """√HSIC(K, K), see `unbiased_hsic`."""
        return float(np.sqrt(max(self.unbiased_hsic(self), 0.0)))


def single_threaded_blas() -> AbstractContextManager[Any]:
    """Context in which linear algebra runs on one thread.

    Several threads only wait for each other on matrices of a few hundred rows, and for the framework's own: an eigenvalue
    problem of size 256 takes 11 ms on one thread, and 16 to 67 ms on two where the framework computes at the same time.
    """
    return _blas_controller().limit(limits=1, user_api="blas")


@functools.cache
def _blas_controller() -> Any:
    """The controller of the BLAS libraries; kept, since finding them takes longer than an eigenvalue problem."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
