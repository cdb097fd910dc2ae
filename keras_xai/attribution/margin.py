"""Contributions to the margin of each row's own label: what a feature says for it, in training rows and in the probe alike.

    a = (x − x̄) · ∂ margin / ∂ x        x̄ the probe's mean row

The mean row is what makes the two sets comparable: with zero as reference a column that is far from zero speaks in every row.
Tokens are compared with the mean embedding of the probe's tokens. A table with columns that no gradient reaches (categories,
a lookup) is measured whole by exchange, column by column, against another row of the probe:

    a = margin(x) − margin(x with the column of a row of the probe)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.method import Method
from keras_xai.attribution.occlusion import Occlusion
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.model.inputs import prepare_inputs
from keras_xai.model.samples import Samples
from keras_xai.model.target_score import MarginScore
from keras_xai.model.task import SUM, Task, columns_of
from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import Attribution
from keras_xai.tree import leaves

REFERENCE_TEXTS = 128  # of the probe, whose tokens the mean embedding is of
MAX_ENTRIES_AT_ONCE = 2**24  # of the probe, of which the mean is taken
NAME = "margin"


@dataclasses.dataclass(frozen=True)
class GradientTimesDifference(Method):
    """The difference from the probe's mean row times the gradient at the row.

    Args:
        means: (1, ...) the mean row, one array an input.
        texts: (R, ...) rows of the probe, one array an input, where the model looks tokens up: their mean embedding is the
            reference.
    """

    means: list[NDArray[Any]]
    texts: list[NDArray[Any]] | None = None

    def values(self, batch: Batch) -> Tensors:
        ops, constant = keras.ops, get_backend().constant
        embeddings: Tensors = batch.x
        if self.texts is not None:
            embeddings = batch.embed([constant(rows) for rows in self.texts])
        values = []
        inputs = zip(batch.x, batch.gradient, embeddings, batch.input_index, strict=True)
        for x, gradient, of_texts, k in inputs:
            if not keras.backend.is_float_dtype(x.dtype):
                values.append(gradient)
                continue
            looks_up = self.texts is not None and batch.holds_tokens[k]
            mean = _over_tokens(of_texts) if looks_up else constant(self.means[k])
            values.append((ops.cast(x, gradient.dtype) - ops.cast(mean, gradient.dtype)) * gradient)
        return values

    @classmethod
    def for_rows(cls, model: keras.Model, x: list[Samples]) -> GradientTimesDifference:
        """The method with a probe's rows x [(B, ...)] as what others are compared with."""
        looks_up = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
        holds_tokens = looks_up and any(a.dtype.kind in "iu" for a in x)
        texts = [np.asarray(a[:REFERENCE_TEXTS]) for a in x] if holds_tokens else None
        return cls([_mean_row(a) for a in x], texts)


def shared_with_score(model: keras.Model, task: Task, probe: Probe, x: list[Samples]) -> dict[str, Method]:
    """The method as a companion of others, where the score that these explain is the margin: one backward pass gives both.

    So it is for one unit that says class 1 or not, and for a number; none else.
    """
    if isinstance(probe.output, Dense):
        return {}  # what is explained follows the region, the margin the labels
    is_margin = (task.kind == "binary" and task.space == "logit") or task.kind == "number"
    if not is_margin or probe.target is not None or probe.y is None:
        return {}
    return {NAME: GradientTimesDifference.for_rows(model, x)}


def _over_tokens(embeddings: Tensor) -> Tensor:
    """(1, 1, D) the mean of embeddings (R, T, D)."""
    axes = tuple(range(len(embeddings.shape) - 1))
    return keras.ops.mean(embeddings, axis=axes, keepdims=True)


class MarginExplainer:
    """Explains the margins of rows with the model's live weights, pooled to a probe's features.

    Args:
        model: a built Keras model.
        explainer: of the probe, which has decided what the outputs say.
        by_exchange: measure by exchange: no gradient reaches every column.

    Raises:
        NoPath: no gradient leads to any input.
    """

    def __init__(self, model: keras.Model, explainer: ProbeExplainer, *, by_exchange: bool) -> None:
        self.probe = explainer.probe
        self._model, self._explainer, self._by_exchange = model, explainer, by_exchange
        self._x = prepare_inputs(model, self.probe.inputs, self.probe.x)
        method: Method = Occlusion() if by_exchange else GradientTimesDifference.for_rows(model, self._x)
        self._engine = Engine(explainer.engine.runner, {NAME: method}, warns_of_held=False, score_type=MarginScore)
        self._column = _column_of(self.task, self.probe)
        self.prepare_rows(self.probe)
        engine = explainer.engine if self.is_shared else self._engine
        self.unmeasured = self.probe.feature_map.in_inputs(engine.held_inputs)  # (F)

    @property
    def task(self) -> Task:
        """The meaning of the outputs."""
        return self._explainer.task

    @property
    def is_shared(self) -> bool:
        """True where the explainer of the probe gives these contributions on its way."""
        return not self._by_exchange and NAME in self._explainer.engine.methods

    def prepare_rows(self, rows: Probe) -> None:
        """Trace what rows of this number take, where the explainer of the probe has not traced it."""
        if self.is_shared:
            return
        x = prepare_inputs(self._model, rows.inputs, rows.x)
        self._engine.prepare(x, self._reference(x), self._labels(rows))

    def contributions(self, rows: Probe) -> NDArray[np.float64]:
        """(n, F) of labelled rows: positive where a feature speaks for the row's own label, or raises the number."""
        x = prepare_inputs(self._model, rows.inputs, rows.x)
        parts = self._engine.in_parts(x, self._reference(x), self._labels(rows))
        return np.concatenate(list(self._pooled(parts, rows)))

    def target(self, rows: Probe) -> NDArray[np.float64] | None:
        """(n,) the number that is to be predicted; None for classes and labels."""
        if self.task.classes or self.task.kind == "labels":
            return None
        regions = self._explainer.labelled_regions(rows)
        numbers = columns_of(np.asarray(rows.y), self.task) if regions is None else regions.label
        columns = np.asarray(numbers, np.float64).reshape(rows.size, -1)
        return columns.sum(1) if self._column == SUM else columns[:, self._column]

    def _pooled(self, parts: Iterator[dict[str, Attribution]], rows: Probe) -> Iterator[NDArray[np.float64]]:
        collected = PooledMargins(self.probe, rows)
        for part in parts:
            yield collected.pooled(part[NAME])

    def strata(self, rows: Probe) -> NDArray[np.int64]:
        """(n,) the class of each row; of labels the combination of them; all equal for numbers."""
        if self.task.classes:
            classes = self._explainer.classes_of(rows)
            assert classes is not None
            return classes
        if self.task.kind == "labels":
            return _combinations(self._yes_or_no(rows))
        return np.zeros(rows.size, np.int64)

    def _labels(self, rows: Probe) -> NDArray[np.int64]:
        """The labels whose margin is explained, as `MarginScore` takes them; of a dense output with their regions."""
        regions, dense = self._explainer.labelled_regions(rows), self._explainer.dense
        if regions is not None and dense is not None:
            return dense.margin_targets(regions)
        if self.task.classes:
            return self.strata(rows)
        if self.task.kind == "labels":
            return np.where(self._yes_or_no(rows) > 0, 1, -1).astype(np.int64)
        return np.full(rows.size, self._column, np.int64)

    def _yes_or_no(self, rows: Probe) -> NDArray[Any]:
        """(n, K) labels of 0 and 1."""
        regions = self._explainer.labelled_regions(rows)
        return columns_of(np.asarray(rows.y), self.task) if regions is None else regions.label

    def _reference(self, x: list[Samples]) -> list[NDArray[Any]]:
        """For each row what it is exchanged with; by gradient the method holds what rows are compared with."""
        if not self._by_exchange:
            return [np.broadcast_to(np.zeros((1, *a.shape[1:]), np.float32), a.shape) for a in x]
        # The same at every call. Rows of the probe meet others of it; a permutation leaves few with themselves.
        donors = np.random.default_rng(0).permutation(len(x[0])) % self.probe.size
        return [np.asarray(a[donors]) for a in self._x]


class PooledMargins:
    """Contributions that come with attributions of rows, some rows at a time, pooled to a probe's features.

    Args:
        probe: to whose features they are pooled.
        rows: that are explained.

    Attributes:
        contributions: (n, F) of all rows that passed by.
    """

    def __init__(self, probe: Probe, rows: Probe) -> None:
        self._probe, self._inputs, self._begin = probe, rows.inputs, 0
        self._parts: list[NDArray[np.float64]] = []

    def of(self, parts: Iterable[dict[str, Attribution]]) -> Iterator[dict[str, Attribution]]:
        """Yield attributions by method as they are."""
        for part in parts:
            self._parts.append(self.pooled(part[NAME]))
            yield part

    @property
    def contributions(self) -> NDArray[np.float64]:
        """(n, F)"""
        return np.concatenate(self._parts)

    def pooled(self, part: Attribution) -> NDArray[np.float64]:
        """Pool the next rows."""
        size = len(leaves(part.values)[0])
        samples = [np.asarray(a)[self._begin : self._begin + size] for a in self._inputs]
        self._begin += size
        return self._probe.pooled(part.values, samples=samples)


def _column_of(task: Task, probe: Probe) -> int:
    """The column of several numbers that is explained; their sum where a probe names none, or not the same one for all rows."""
    if task.kind != "numbers":
        return 0
    columns = np.unique(np.asarray(SUM if probe.target is None or isinstance(probe.target, str) else probe.target))
    return int(columns[0]) if len(columns) == 1 else SUM


def _mean_row(x: Samples) -> NDArray[Any]:
    """(1, ...) the mean of rows, some at a time; zero of what is no number."""
    if x.dtype.kind != "f":
        return np.zeros((1, *x.shape[1:]), x.dtype) if x.dtype.kind != "O" else np.full((1, *x.shape[1:]), "", object)
    step = max(1, MAX_ENTRIES_AT_ONCE // max(1, int(np.prod(x.shape[1:]))))
    total = np.zeros(x.shape[1:], np.float64)
    for begin in range(0, len(x), step):
        total += np.asarray(x[begin : begin + step]).sum(0, dtype=np.float64)
    return (total / len(x)).astype(np.float32)[None]


def _combinations(labels: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) a number for each combination of labels (n, K) of 0 and 1."""
    bits = np.packbits(np.asarray(labels) > 0, axis=1)
    codes = np.zeros(len(bits), np.int64)
    for column in bits.T:
        codes = (codes * 257 + column) % (2**61 - 1)
    return codes
