"""Rows in which some places are replaced by the baseline, and the scores that the model gives to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.features import Groups
from keras_xai.attribution.metrics.places import Places
from keras_xai.attribution.question import Question
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output
from keras_xai.records import Attribution
from keras_xai.tree import leaves


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredRows:
    """Samples, the rows that they are compared with, both (B, ...) one an input, and the score of each that is explained."""

    runner: ModelRunner
    like: Any  # the samples in the structure that the model takes
    inputs: Sequence[Samples]
    baseline: Sequence[NDArray[Any]]
    target: NDArray[np.integer[Any]]


class Replacement:
    """Samples, their attribution, and the scores of the samples with some of their parts replaced by the baseline.

    A part is a place (see `Places`), or a region of places.

    Args:
        scored: the samples. A token of their baseline that stands for none is token 0 here.
        values: their attribution, in their structure.
        regions: the region of each place, of the places; default each place by itself.

    Attributes:
        rows: (B, ...) one an input, and `baseline` what takes their place.
        by_input: the values as they came, one an input.
        values: (B, U) of each part, the sum over its places.
        count: U.

    Raises:
        InvalidInput: values of another shape.
    """

    def __init__(
        self, scored: ScoredRows, values: Any, regions: Callable[[Places], NDArray[np.int64]] | None = None
    ) -> None:
        self.scored = scored
        self.rows = [inputs[:] for inputs in scored.inputs]
        self.baseline = []
        for rows, base in zip(self.rows, scored.baseline, strict=True):
            # A token, where the engine would take an embedding of zeros.
            self.baseline.append(np.maximum(base, 0) if rows.dtype.kind == "i" else base)
        self.by_input = [np.asarray(array, np.float64) for array in _in_order(values, scored.like)]
        self.places = Places([rows.shape for rows in self.rows], self.by_input)
        self.part_of_place = np.arange(self.places.count) if regions is None else regions(self.places)
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
        return self.scored.runner.scores(rows, self.scored.target).astype(np.float64)

    def curve(self, ranks: NDArray[np.int64], lengths: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return the scores (B, steps) with so many parts replaced, the first in this order."""
        return np.stack([self.scores(ranks < length) for length in lengths], 1)


def replacement_of(
    model: keras.Model,
    x: Any,
    values: Any,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
) -> Replacement:
    """Return the replacement of single places of samples as a user gives them.

    Args:
        model: a built model.
        x: (B, ...) samples as `attribute` takes them.
        values: an `Attribution` of them, or its values.
        target: as `attribute` takes it; of an `Attribution` its own, where none is given.
        output: see `Probe`.
        baseline: as `attribute` takes it.

    Raises:
        InvalidInput: as `attribute`; values of another shape.
    """
    scored, values, _ = _scored_rows(model, x, values, target, output, baseline)
    return Replacement(scored, values)


def replacement_in_regions(
    model: keras.Model,
    x: Any,
    values: Any,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    patch: int | None = None,
    groups: Groups = None,
) -> Replacement:
    """Return the same by regions: of `patch` places a side, or of `groups` in their place; see `region_perturbation`."""
    scored, values, question = _scored_rows(model, x, values, target, output, baseline)
    samples = question.samples()
    kind = "" if samples is None else samples.kind
    return Replacement(scored, values, lambda places: places.regions(patch, kind, groups))


def _scored_rows(
    model: keras.Model, x: Any, values: Any, target: Any, output: Output, baseline: Any
) -> tuple[ScoredRows, Any, Question]:
    """Return the samples, bare values and the question as a whole."""
    if isinstance(values, Attribution):
        target = values.target if target is None else target
        values = values.values
    question = Question(model, x, target, output, baseline, stacklevel=7)
    scored = ScoredRows(question.runner, question.like, question.inputs, question.baseline, question.target)
    return scored, values, question


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
