"""Data → features: the representations that the layers make of the probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.cka import linear_cka
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.reading import Layer, Matrix
from keras_xai.records import Features

MIN_SPREAD = 1e-8  # share of the activations' power; below it all samples give the same, up to rounding
Decompositions = Sequence[GramDecomposition | None]


def decomposition_of(matrix: Matrix) -> GramDecomposition | None:
    """The decomposition of a layer's matrix; None where all samples give the same, or a value is not finite."""
    if not np.isfinite(matrix.values).all() or not spread(matrix) >= MIN_SPREAD:
        return None
    return GramDecomposition(matrix.values, matrix.gram)


def spread(matrix: Matrix) -> float:
    """The share of the activations' power that differs between samples: Σ‖z − mean‖² / Σ‖z‖².

    Returns:
        0 to 1; 0 where all activations are zero, NaN where one is not finite.
    """
    values = matrix.values.astype(np.float64)
    centred = float(np.trace(values)) if matrix.gram else float(np.square(values).sum())
    if not np.isfinite([centred, matrix.power]).all():
        return np.nan
    return centred / matrix.power if matrix.power > 0 else 0.0


def features(
    layers: Sequence[Layer],
    matrices: Sequence[Matrix],
    decompositions: Decompositions,
    previous: Decompositions | None,
    first: Decompositions | None,
    coordinates: int,
) -> Features:
    """The record of the representations at one epoch.

    Args:
        layers: names and widths of the L layers.
        matrices: of the layers.
        decompositions: of the matrices.
        previous: decompositions of the record before, None at the first.
        first: decompositions of the run's first record.
        coordinates: number of principal coordinates that are kept.
    """
    samples = len(matrices[0].values) if matrices else 0
    components = [_principal_components(gram, samples, coordinates) for gram in decompositions]
    participation = [np.nan if gram is None else gram.participation_ratio for gram in decompositions]
    return Features(
        layers=tuple(layer.name for layer in layers),
        width=np.array([layer.width for layer in layers]),
        mean=_column([matrix.mean for matrix in matrices]),
        std=_column([matrix.std for matrix in matrices]),
        saturation=_column([matrix.saturation for matrix in matrices]),
        dead=_column([matrix.dead for matrix in matrices]),
        spread=_column([spread(matrix) for matrix in matrices]),
        participation=_column(participation),
        cka_previous=_similarity_to(previous, decompositions),
        cka_first=_similarity_to(first, decompositions),
        cka_layers=_similarity_between(decompositions),
        coordinates=np.stack([component.coordinates for component in components]),
        scale=_column([component.scale for component in components]),
        captured=_column([component.explained_variance for component in components]),
    )


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    """One number a layer as a float32 array (L)."""
    return np.asarray(values, np.float32)


def _similarity_to(earlier: Decompositions | None, decompositions: Decompositions) -> NDArray[np.float32]:
    """CKA of each layer (L) with itself at an earlier record; NaN without one."""
    if not earlier:
        return np.full(len(decompositions), np.nan, np.float32)
    return _column(list(map(linear_cka, decompositions, earlier)))


def _similarity_between(decompositions: Decompositions) -> NDArray[np.float32]:
    """CKA of every pair of layers (L, L), symmetric."""
    count = len(decompositions)
    similarity = np.full((count, count), np.nan, np.float32)
    for a in range(count):
        for b in range(a, count):
            similarity[a, b] = similarity[b, a] = linear_cka(decompositions[a], decompositions[b])
    return similarity


class _Components(NamedTuple):
    """The first principal coordinates of a layer."""

    coordinates: NDArray[np.float16]  # (B, count), the root mean square over all directions is 1
    scale: float  # by which the coordinates were divided
    explained_variance: float  # 0 to 1, share of the layer's variance that they hold


def _principal_components(gram: GramDecomposition | None, samples: int, count: int) -> _Components:
    """The first principal coordinates of a layer; zeros and NaN for one without a decomposition."""
    if gram is None:
        return _Components(np.zeros((samples, count), np.float16), np.nan, np.nan)
    variance = gram.eigenvalues.sum()
    scale = float(np.sqrt(variance / gram.size))
    coordinates = np.zeros((gram.size, count), np.float16)
    coordinates[:, : gram.eigenvalues.size] = (gram.coordinates[:, :count] / scale).astype(np.float16)
    return _Components(coordinates, scale, float(gram.eigenvalues[:count].sum() / variance))


def restored(record: Features) -> list[GramDecomposition | None]:
    """Decompositions from recorded coordinates, for a run that is continued.

    Their CKA differs from the original's by the directions that were not kept.
    """
    decompositions: list[GramDecomposition | None] = []
    for coordinates, scale in zip(record.coordinates, record.scale, strict=True):
        rows = coordinates.astype(np.float64) * scale
        decompositions.append(GramDecomposition(rows - rows.mean(0), is_gram=False) if np.isfinite(scale) else None)
    return decompositions
