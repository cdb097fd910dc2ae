"""Data → features: what the layers make of the probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.factor import Factor, likeness
from keras_xai.mapping.reading import Layer, Matrix
from keras_xai.records import Features

STILL = 1e-8  # of the activations' power: below, every sample gives the same
Factors = Sequence[Factor | None]


def factor_of(matrix: Matrix) -> Factor | None:
    """None for a layer that gives the same for every sample, or something that is not finite."""
    if not np.isfinite(matrix.values).all() or not spread(matrix) >= STILL:
        return None
    return Factor(matrix.values, matrix.gram)


def spread(matrix: Matrix) -> float:
    """Σ‖z − mean‖² / Σ‖z‖², 0 to 1; 0 where there is nothing at all, NaN where something is not finite."""
    values = matrix.values.astype(np.float64)
    centred = float(np.trace(values)) if matrix.gram else float(np.square(values).sum())
    if not np.isfinite([centred, matrix.power]).all():
        return np.nan
    return centred / matrix.power if matrix.power > 0 else 0.0


def features(
    layers: Sequence[Layer],
    matrices: Sequence[Matrix],
    factors: Factors,
    previous: Factors | None,
    first: Factors | None,
    coordinates: int,
) -> Features:
    """The record of one epoch.

    Args:
        layers: names, widths.
        matrices: of the layers.
        factors: of the matrices.
        previous: factors of the record before, None at the first.
        first: factors of the run's first record.
        coordinates: how many principal coordinates are kept.
    """
    count = len(layers)
    nothing: Factors = [None] * count
    own: NDArray[Any] = np.full((count, count), np.nan)
    for a in range(count):
        for b in range(a, count):
            own[a, b] = own[b, a] = likeness(factors[a], factors[b])
    kept = [_coordinates(factor, coordinates) for factor in factors]
    size = next((len(m.values) for m in matrices), 0)

    def each(values: Any) -> NDArray[np.float32]:
        return np.asarray(list(values), np.float32)

    return Features(
        layers=tuple(layer.name for layer in layers),
        width=np.array([layer.width for layer in layers]),
        mean=each(m.mean for m in matrices),
        std=each(m.std for m in matrices),
        saturation=each(m.saturation for m in matrices),
        dead=each(m.dead for m in matrices),
        spread=each(spread(m) for m in matrices),
        participation=each(np.nan if f is None else f.participation for f in factors),
        cka_previous=each(map(likeness, factors, previous or nothing)),
        cka_first=each(map(likeness, factors, first or nothing)),
        cka_layers=own.astype(np.float32),
        coordinates=np.stack([np.zeros((size, coordinates), np.float16) if k is None else k[0] for k in kept]),
        scale=each(np.nan if k is None else k[1] for k in kept),
        captured=each(np.nan if k is None else k[2] for k in kept),
    )


def _coordinates(factor: Factor | None, count: int) -> tuple[NDArray[np.float16], float, float] | None:
    """(B, count) at unit root mean square over all directions, what they were divided by, the share of variance held."""
    if factor is None:
        return None
    scale = float(np.sqrt(factor.w.sum() / factor.size))
    found = np.zeros((factor.size, count), np.float16)
    found[:, : factor.w.size] = (factor.coordinates[:, :count] / scale).astype(np.float16)
    return found, scale, float(factor.w[:count].sum() / factor.w.sum())


def restored(record: Features) -> list[Factor | None]:
    """Factors from recorded coordinates, for a run that is continued: their CKA differs by what 16 directions leave out."""
    out: list[Factor | None] = []
    for at, scale in zip(record.coordinates, record.scale, strict=True):
        rows = at.astype(np.float64) * scale
        out.append(Factor(rows - rows.mean(0), gram=False) if np.isfinite(scale) else None)
    return out
