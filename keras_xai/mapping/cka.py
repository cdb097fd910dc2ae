"""Similarity of two layers' representations: centred kernel alignment (CKA)."""

from __future__ import annotations

import numpy as np

from keras_xai.mapping.gram import GramDecomposition

MIN_SAMPLES = 4  # the unbiased estimate divides by n − 3


def linear_cka(layer: GramDecomposition | None, other: GramDecomposition | None) -> float:
    """Unbiased linear CKA (Kornblith et al. 2019, arXiv 1905.00414; Nguyen et al. 2021, arXiv 2010.15327).

    Args:
        layer: the decomposition of one layer on B samples; None where it gives the same for every sample.
        other: that of another layer, or of the same one at another epoch, on the same samples.

    Returns:
        1 for the same geometry up to rotation and scale; 0 on average for independent representations, for which the biased
        estimate gives 0.4 to 0.7 at 256 samples. It may lie a little outside of 0 to 1. NaN where a layer gives the same for
        every sample, or there are fewer than four samples.
    """
    if layer is None or other is None or layer.size < MIN_SAMPLES:
        return np.nan
    if layer.eigenvalues.size == 0 or other.eigenvalues.size == 0:
        return np.nan
    scale = layer.hsic_norm * other.hsic_norm
    return layer.unbiased_hsic(other) / scale if scale > 0 else np.nan
