"""The score while regions are replaced one after the other."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import Groups
from keras_xai.attribution.metrics.replacement import replacement_in_regions
from keras_xai.errors import InvalidInput, check_int
from keras_xai.model.scores import Output

ORDERS = ("morf", "lerf", "random")


def region_perturbation(
    model: keras.Model,
    x: Any,
    values: Any,
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    patch: int | None = None,
    regions: int = 100,
    order: str = "morf",
    groups: Groups = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Trace how far the score drops while regions are replaced, the most relevant first (Samek et al. 2015, arXiv 1509.06321).

        AOPC = mean over k = 0 … L of  f(x⁽⁰⁾) − f(x⁽ᵏ⁾),   k regions replaced

    A region is a square of pixels with all their channels, a cube of voxels, a stretch of steps, columns or tokens that stand
    side by side, or a group; its relevance is the sum of the values in it. The paper replaces by uniform noise and averages
    over ten draws: give `baseline=noise` for that. The larger the drop, the better the order; compare with `order="random"`.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        values: their `Attribution`, or values as `deletion` takes them.
        target: as in `deletion`.
        output: see `Probe`.
        baseline: what a region is replaced by, see `attribute`; a token that stands for none is token 0 here.
        patch: side of a region in pixels, voxels or steps; of tables and tokens so many neighbours. Default 9 pixels, as in the
            paper, but an eighth of the shorter side where that is less; of series a 16th of the steps; of tables and tokens 1.
            Regions at the far edges may be smaller.
        regions: how many are replaced at most, L.
        order: "morf" (the most relevant first), "lerf" (the least relevant first) or "random".
        groups: of the only input, in the place of patches: a dict from a group's name to its columns, such as those of one
            category in one-hot form, or an integer map in the shape of a sample or of its pixels.
        seed: of the random order.

    Returns:
        (B, L + 1) drops f(x⁽⁰⁾) − f(x⁽ᵏ⁾) of the score, the first of them 0: of logits where the model has some. The mean over
        the last axis is the AOPC of each sample.

    Raises:
        InvalidInput: as `deletion`; `patch` or `regions` under 1, an unknown order, groups that do not fit.

    Cost:
        L + 1 forward passes.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [4.0], [8.0]], "float32")])
        >>> region_perturbation(model, np.ones((1, 4), "float32"), np.array([[1.0, 2.0, 4.0, 8.0]]), patch=2).tolist()
        [[0.0, 12.0, 15.0]]
    """
    check_int("regions", regions)
    if patch is not None:
        check_int("patch", patch)
    if order not in ORDERS:
        raise InvalidInput(f"order={order!r}: expected one of {', '.join(map(repr, ORDERS))}.")
    replacement = replacement_in_regions(model, x, values, target, output, baseline, patch, groups)
    figures = replacement.values
    if order == "lerf":
        figures = -figures
    elif order == "random":
        figures = np.random.default_rng(seed).random(figures.shape)
    lengths = np.arange(min(regions, replacement.count) + 1)
    scores = replacement.curve(replacement.ranks(figures), lengths)
    return scores[:, :1] - scores
