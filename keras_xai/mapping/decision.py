"""Features → decision: how well labels, and the model's own answers, are read from each layer by a straight line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.mapping.factor import Factor
from keras_xai.mapping.result import Said
from keras_xai.mapping.ridge import path

Array = NDArray[np.float64]


class Readout(NamedTuple):
    """Of one layer."""

    score: float  # accuracy, or R² for numbers; NaN where there is nothing to read
    error: float  # its standard error
    seen: NDArray[np.int64]  # (B) the class it sees, −1 without


class Target:
    """What is read from a layer: classes, several yes-or-no labels, or numbers.

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

    @property
    def chance(self) -> float:
        """The score of always saying the commonest: 0 for numbers."""
        mean = self.columns.mean(0)
        if self.answer == "class":
            return float(mean.max())
        return float(np.maximum(mean, 1 - mean).mean()) if self.answer == "labels" else 0.0

    @property
    def varies(self) -> bool:
        """Whether there is anything to tell apart."""
        return bool((self.columns != self.columns[0]).any())

    def readout(self, left_out: Array | None) -> Readout:
        """From what each sample is predicted to be by the fit to all others, (B, K); None without a fit."""
        size = len(self.columns)
        unseen = np.full(size, -1, np.int64)
        if left_out is None or not self.varies:
            return Readout(np.nan, np.nan, unseen)
        if self.answer == "value":
            error = np.square(self.columns - left_out).sum(1)
            spread = np.square(self.columns - self.columns.mean(0)).sum(1).mean()
            return Readout(float(1 - error.mean() / spread), float(error.std() / spread / np.sqrt(size)), unseen)
        # Left out, a sample's own class is a little rarer: a layer that says nothing would read below chance. So the mean of
        # all is put back where the left-out one was.
        left_out = left_out + (self.columns - self.columns.mean(0)) / (size - 1)
        if self.answer == "class":
            seen = left_out.argmax(1).astype(np.int64)
            hits = seen == self.truth
        else:
            seen, hits = unseen, (left_out > 0.5) == (self.columns > 0.5)
        score = float(hits.mean())
        rows = hits.reshape(size, -1).mean(1)
        spread = score * (1 - score) if self.answer == "class" else float(rows.var())
        return Readout(score, float(np.sqrt(spread / size)), seen)


def own(told: Said) -> Target:
    """The model's own answers as a target."""
    return Target(told.prediction, told.answer, told.classes)


def readouts(targets: Sequence[Target], factors: Sequence[Factor | None]) -> list[list[Readout]]:
    """Leave-one-out ridge (Alain and Bengio 2016, in closed form): of each target, the readout of every layer."""
    columns = np.concatenate([target.columns for target in targets], 1)
    ends = np.cumsum([0, *(target.columns.shape[1] for target in targets)])
    found: list[list[Readout]] = [[] for _ in targets]
    for factor in factors:
        fits = path(factor, columns) if factor is not None and factor.w.size else None
        for k, target in enumerate(targets):
            best = None if fits is None else fits.best(slice(ends[k], ends[k + 1]))
            found[k].append(target.readout(None if best is None else best.left_out))
    return found
