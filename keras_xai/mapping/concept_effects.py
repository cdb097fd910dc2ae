"""Concepts in the features of a layer: can it tell them, and how does what the model says move with them; numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from keras_xai.mapping.features import MIN_SPREAD
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.ridge import ridge

Array = NDArray[np.float64]

DRAWS = 199  # of random concepts: p is at least 1 / 200
DRAWS_A_CONCEPT = 40  # so that 1 / (draws + 1) is half of the level of each of many concepts
SMALL = 0.25  # of the answers' standard deviation: effects up to here are small


class Splits:
    """Splits of examples and counter-examples in two: the true one, then random ones of the same sizes.

    Args:
        examples: number of examples.
        counter_examples: number of counter-examples, which stand behind them.
        draws: R, of random splits. The same at every update.
    """

    def __init__(self, examples: int, counter_examples: int, draws: int = DRAWS) -> None:
        self.is_example = np.arange(examples + counter_examples) < examples
        generator = np.random.default_rng(0)
        random = [generator.permutation(self.is_example) for _ in range(draws)]
        chosen = np.stack([self.is_example, *random], 1)
        # By two standard errors of the AUC of readouts that tell nothing (Mann and Whitney 1947).
        self._least_auc = 0.5 + 2 * np.sqrt((examples + counter_examples + 1) / (12 * examples * counter_examples))
        # (n, 1 + R) by which the mean of one side minus that of the other is a product
        self.contrasts: Array = np.where(chosen, 1 / examples, -1 / counter_examples)

    def can_tell(self, readability: float) -> bool:
        """Return True where a layer tells the examples better than chance; never where the readability is NaN."""
        return bool(readability > self._least_auc)


class LayerEffects(NamedTuple):
    """One concept in one layer."""

    readability: float  # AUC of a ridge regression, left out in turn; NaN where all rows are the same
    effect: Array  # (K) along the shift
    random: Array  # (R, K) along the shifts of the random concepts
    share: Array  # (K) of the rows with a positive derivative


class Tested(NamedTuple):
    """The effects of one concept in one layer beside those of random concepts."""

    error: Array  # (K) standard deviation of the latter
    p: Array  # (K)


def layer_effects(
    rows: NDArray[Any], slopes: NDArray[Any], questions: NDArray[np.int64], count: int, splits: Splits
) -> LayerEffects:
    """Return how the answers of a model move along a concept in one layer.

    The concept's direction is the shift of the mean, which is the pattern of a linear readout and not its filter (Haufe et al.
    2014; for concepts Pahde et al. 2022, arXiv 2202.03482): a filter that separates best points away from what the examples add
    wherever features are correlated. Its length is kept: the derivative along it is what the examples add to the answer, to
    first order.

    Args:
        rows: (n, D) features of the examples, then of the counter-examples.
        slopes: (B, D) derivative of each probe row's answer with respect to its features.
        questions: (B) 0 to K − 1, the question that each row is asked; −1 for none.
        count: K.
        splits: of the n rows.
    """
    centred = np.asarray(rows, np.float64) - rows.mean(0, dtype=np.float64)
    means = np.stack([slopes[questions == k].mean(0, dtype=np.float64) for k in range(count)])
    effects = (means @ centred.T) @ splits.contrasts
    shift = centred.T @ splits.contrasts[:, 0]
    derivatives = np.asarray(slopes, np.float64) @ shift
    share = np.asarray([(derivatives[questions == k] > 0).mean() for k in range(count)])
    return LayerEffects(readability(rows, splits.is_example), effects[:, 0], effects[:, 1:].T, share)


def readability(rows: NDArray[Any], is_example: NDArray[np.bool_]) -> float:
    """Return the AUC with which a ridge regression tells the examples among rows (n, D), each left out in turn.

    0.5 is chance. NaN where all rows are the same.
    """
    centred = np.asarray(rows - rows.mean(0, dtype=np.float64), np.float32)
    power = np.square(rows, dtype=np.float64).sum()
    if not np.square(centred, dtype=np.float64).sum() > MIN_SPREAD * power:
        return np.nan
    is_wide = centred.shape[1] > len(centred)
    gram = GramDecomposition(centred @ centred.T if is_wide else centred, is_wide)
    if not gram.eigenvalues.size:
        return np.nan
    targets = is_example.astype(np.float64)
    left_out = ridge(gram, targets[:, None]).left_out[:, 0]
    # The mean of the others, the intercept, is lower for a left-out example than for a counter-example: replaced by that of all.
    left_out += (targets - targets.mean()) / (len(targets) - 1)
    examples = int(is_example.sum())
    ranks = rankdata(left_out)[is_example].sum() - examples * (examples + 1) / 2
    return float(ranks / (examples * (len(targets) - examples)))


def p_values(layers: Sequence[LayerEffects], floor: float) -> list[Tested]:
    """Test the effects of one concept in the layers that can tell it.

    p is the share of random concepts whose largest effect over all layers and questions, each in units of its standard
    deviation over the random concepts, reaches that by which this effect exceeds the floor (Westfall and Young 1993, single
    step): the level holds for all of them together, however they depend on each other.

    Args:
        layers: with the same splits.
        floor: effects up to here are small.
    """
    if not layers:
        return []
    errors = [layer.random.std(0) for layer in layers]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [np.nan_to_num(np.abs(layer.random) / error) for layer, error in zip(layers, errors, strict=True)]
        largest = np.max([ratio.max(1, initial=0.0) for ratio in ratios], axis=0)  # (R)
        tested = []
        for layer, error in zip(layers, errors, strict=True):
            excess = np.nan_to_num((np.abs(layer.effect) - floor) / error, nan=0.0, posinf=0.0)
            reached = (largest[:, None] >= excess).sum(0)
            tested.append(Tested(error, (1 + reached) / (1 + len(largest))))
    return tested
