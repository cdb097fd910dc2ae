"""Rows in which some places are replaced by the baseline, and the scores that the model gives to them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import Groups
from keras_xai.attribution.metrics.places import Places
from keras_xai.attribution.question import Question
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.scores import Output
from keras_xai.records import Attribution
from keras_xai.tree import leaves


class Replacement:
    """Samples, their attribution, and the scores of the samples with some of their parts replaced by the baseline.

    A part is a place (see `Places`), or with `in_regions` a region of places.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        values: an `Attribution` of them, or its values.
        target: as `attribute` takes it; of an `Attribution` its own, where none is given.
        output: see `Probe`.
        baseline: as `attribute` takes it. A token that stands for none is token 0 here.
        in_regions: parts are regions.
        patch: their side.
        groups: in the place of patches.

    Attributes:
        question: of the samples.
        rows: (B, ...) one an input, and `baseline` what takes their place.
        by_input: the values as they came, one an input.
        values: (B, U) of each part, the sum over its places.
        count: U.

    Raises:
        InvalidInput: as `attribute`; values of another shape.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        values: Any,
        target: Any = None,
        output: Output = None,
        baseline: Any = None,
        in_regions: bool = False,
        patch: int | None = None,
        groups: Groups = None,
    ) -> None:
        if isinstance(values, Attribution):
            target = values.target if target is None else target
            values = values.values
        self.question = question = Question(model, x, target, output, baseline, stacklevel=6)
        self.rows = [inputs[:] for inputs in question.inputs]
        self.baseline = []
        for rows, base in zip(self.rows, question.baseline, strict=True):
            # A token, where the engine would take an embedding of zeros.
            self.baseline.append(np.maximum(base, 0) if rows.dtype.kind == "i" else base)
        self.by_input = [np.asarray(array, np.float64) for array in _in_order(values, question.like)]
        self.places = Places([rows.shape for rows in self.rows], self.by_input)
        if in_regions:
            samples = question.samples()
            self.part_of_place = self.places.regions(patch, "" if samples is None else samples.kind, groups)
        else:
            self.part_of_place = np.arange(self.places.count)
        self.count = int(self.part_of_place.max()) + 1
        self.values = _summed(self.places.values, self.part_of_place, self.count)

    def ranks(self, order: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Return the place (B, U) of each part in the order of these figures, the largest first; default the values."""
        figures = self.values if order is None else order
        descending = np.argsort(-figures, axis=1, kind="stable")
        ranks = np.empty_like(descending)
        np.put_along_axis(ranks, descending, np.arange(self.count)[None], axis=1)
        return ranks

    def replaced(self, is_replaced: NDArray[np.bool_]) -> list[NDArray[Any]]:
        """Return the rows with these parts (B or 1, U) replaced, one array an input."""
        by_place = np.broadcast_to(is_replaced, (len(self.rows[0]), self.count))[:, self.part_of_place]
        parts = zip(self.places.spread(by_place), self.baseline, self.rows, strict=True)
        return [np.where(mask, base, rows) for mask, base, rows in parts]

    def scores(self, is_replaced: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the scores (B) with these parts (B or 1, U) replaced: logits where the model has some."""
        return self.scores_of(self.replaced(is_replaced))

    def scores_of(self, rows: list[NDArray[Any]]) -> NDArray[np.float64]:
        """Return the scores (B) of other rows, for the same targets."""
        return self.question.runner.scores(rows, self.question.target).astype(np.float64)

    def curve(self, ranks: NDArray[np.int64], lengths: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return the scores (B, steps) with so many parts replaced, the first in this order."""
        return np.stack([self.scores(ranks < length) for length in lengths], 1)


def _summed(values: NDArray[np.float64], part_of_place: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return values by place (B, P) as sums over the places of each part (B, U)."""
    if count == values.shape[1]:
        return values
    size = len(values)
    index = part_of_place[None] + count * np.arange(size)[:, None]
    sums = np.bincount(index.reshape(-1), values.reshape(-1), size * count)
    return np.asarray(sums, np.float64).reshape(size, count)


def _in_order(values: Any, like: Any) -> list[NDArray[Any]]:
    """Return values as one array an input, in the order of the samples.

    Raises:
        InvalidInput: other inputs than the samples have.
    """
    if isinstance(values, dict) and isinstance(like, dict):
        if set(values) != set(like):
            raise InvalidInput(f"values has the inputs {listed(values)}, x has {listed(like)}.")
        return [values[name] for name in like]
    return leaves(values)
