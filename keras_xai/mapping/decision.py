"""Features → decision: linear probes of the labels, and of the model's own predictions, on each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.predictions import DECISION_BOUNDARY, Predictions
from keras_xai.mapping.ridge import ridge_path

Array = NDArray[np.float64]


class LinearProbe(NamedTuple):
    """The result of a linear probe of one target on one layer."""

    score: float  # accuracy, or R² for numbers; NaN where the layer or the target is the same for all samples
    standard_error: float  # of the score
    prediction: NDArray[np.int64]  # (B) the class that the probe predicts; −1 where the target is no class
    support: Array  # (B) 0 to 1, what the probe gives the sample's own target; NaN where that is a number


class Target:
    """The target of a linear probe: classes, several yes-or-no labels, or numbers.

    Args:
        values: (B) classes; (B, K) of 0 and 1; (B) or (B, K) numbers.
        answer: which of them: "class", "labels" or "value".
        classes: K.
    """

    def __init__(self, values: NDArray[Any], answer: str, classes: int) -> None:
        self.answer = answer
        if answer == "class":
            self.truth: NDArray[Any] = values.astype(np.int64).reshape(-1)
            self.columns: Array = np.eye(classes)[self.truth]
        else:
            self.truth = values.reshape(len(values), -1)
            self.columns = np.asarray(self.truth, np.float64)

    @classmethod
    def of_predictions(cls, predictions: Predictions) -> Target:
        """The model's own predictions as a target."""
        return cls(predictions.prediction, predictions.answer, predictions.classes)

    @property
    def chance(self) -> float:
        """The score of always predicting the commonest class; 0 for numbers."""
        mean = self.columns.mean(0)
        if self.answer == "class":
            return float(mean.max())
        if self.answer == "labels":
            return float(np.maximum(mean, 1 - mean).mean())
        return 0.0

    @property
    def varies(self) -> bool:
        """True where not all samples have the same target."""
        return bool((self.columns != self.columns[0]).any())

    def probe(self, left_out: Array | None) -> LinearProbe:
        """Score a linear probe.

        Args:
            left_out: (B, K) the prediction of each sample by the fit to all others; None without a fit.
        """
        no_class = np.full(len(self.columns), -1, np.int64)
        no_support = np.full(len(self.columns), np.nan)
        if left_out is None or not self.varies:
            return LinearProbe(np.nan, np.nan, no_class, no_support)
        if self.answer == "value":
            return self._regression(left_out, no_class, no_support)
        # A sample's own class is a little rarer among the other samples than among all: the probe of a layer without any
        # information would score below chance. So the mean of the others, its intercept, is replaced by the mean of all.
        left_out = left_out + (self.columns - self.columns.mean(0)) / (len(self.columns) - 1)
        share = np.clip(left_out, 0.0, 1.0)
        if self.answer == "class":
            support = np.take_along_axis(share, self.truth[:, None], 1)[:, 0]
            return self._classification(left_out.argmax(1).astype(np.int64), support)
        is_true = self.columns > DECISION_BOUNDARY
        support = np.where(is_true, share, 1 - share).mean(1)
        return self._labels((left_out > DECISION_BOUNDARY) == is_true, no_class, support)

    def _regression(self, left_out: Array, no_class: NDArray[np.int64], no_support: Array) -> LinearProbe:
        """Score numbers by R²."""
        error = np.square(self.columns - left_out).sum(1)
        variance = np.square(self.columns - self.columns.mean(0)).sum(1).mean()
        standard_error = error.std() / variance / np.sqrt(len(error))
        return LinearProbe(float(1 - error.mean() / variance), float(standard_error), no_class, no_support)

    def _classification(self, prediction: NDArray[np.int64], support: Array) -> LinearProbe:
        """Score classes by accuracy, one class a sample."""
        score = float((prediction == self.truth).mean())
        return LinearProbe(score, float(np.sqrt(score * (1 - score) / len(prediction))), prediction, support)

    def _labels(self, correct: NDArray[np.bool_], no_class: NDArray[np.int64], support: Array) -> LinearProbe:
        """Score labels by accuracy over pairs of sample and label.

        The standard error is over samples, since the labels of one sample are not independent of each other.
        """
        by_sample = correct.mean(1)
        standard_error = np.sqrt(by_sample.var() / len(by_sample))
        return LinearProbe(float(correct.mean()), float(standard_error), no_class, support)


def linear_probes(
    targets: Sequence[Target], decompositions: Sequence[GramDecomposition | None]
) -> list[list[LinearProbe]]:
    """Linear probes (Alain and Bengio 2016, arXiv 1610.01644) of each target on every layer.

    Ridge regression with every sample left out in turn, in closed form. Of seven penalties each target takes the one with the
    smallest squared error.

    Args:
        targets: of the same B samples.
        decompositions: of the layers; None for one that gives the same for every sample.

    Returns:
        For each target, the probe of each layer.

    Cost:
        One path of fits a layer for all targets together, see `ridge_path`.
    """
    columns = np.concatenate([target.columns for target in targets], 1)
    ends = np.cumsum([0, *(target.columns.shape[1] for target in targets)])
    probes: list[list[LinearProbe]] = [[] for _ in targets]
    for gram in decompositions:
        fits = None if gram is None or not gram.eigenvalues.size else ridge_path(gram, columns)
        for k, target in enumerate(targets):
            left_out = None if fits is None else fits.best(slice(ends[k], ends[k + 1])).left_out
            probes[k].append(target.probe(left_out))
    return probes


def output_decomposition(predictions: Predictions, logits: GramDecomposition | None) -> GramDecomposition | None:
    """The decomposition of what the output gives a linear probe: of a classifier its probabilities.

    The output determines the model's decision, so that a probe of it has to read that decision. A linear probe of logits does
    not: they have no bound, and rows of large ones outweigh those near the boundary between two classes.

    Args:
        predictions: of the model.
        logits: the decomposition of its logits or numbers, None where it gives the same for every sample.
    """
    probabilities = predictions.probabilities
    if logits is None or probabilities is None or not np.isfinite(probabilities).all():
        return logits
    centred = probabilities - probabilities.mean(0)
    is_wide = centred.shape[1] > len(centred)
    decomposition = GramDecomposition(centred @ centred.T if is_wide else centred, is_wide)
    return decomposition if decomposition.eigenvalues.size else logits
