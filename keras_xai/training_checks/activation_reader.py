"""Statistics of a model's layers on a few rows, and its outputs for them: one forward pass, and state is put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Activation, Tensor, Tensors
from keras_xai.mapping.layers import candidates
from keras_xai.mapping.pooling import BOUNDS, Pooled, pool_activation, spoil_by_weights
from keras_xai.mapping.reading import RECTIFIERS
from keras_xai.model.inputs import prepare_inputs
from keras_xai.model.layers import is_channels_first, layer_path
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import take_rows
from keras_xai.model.task import Task
from keras_xai.probe import Probe
from keras_xai.records import Link

# `Pooled.moments` in their order.
_COUNT, _MEAN, _SQUARES, _SATURATED, _APART = range(5)


@dataclass(frozen=True)
class LayerStatistics:
    """Figures of one layer over all rows."""

    name: str  # its path
    function: str  # the activation function of its output, "" unknown
    std: float  # of its activations
    saturated: float  # part of them within 0.01 of a bound; NaN where the function has none
    dead: float  # part of the units that are zero for every row; NaN where zero is no dead state
    varies: bool  # its activations differ between the rows
    may_be_constant: bool  # by design: it is computed from values that are the same for all rows


@dataclass(frozen=True)
class ActivationReading:
    """The outputs and layers of a model at one moment."""

    outputs: NDArray[np.float32]  # (n, ...)
    layers: tuple[LayerStatistics, ...]  # in the order of their calls, without the model's output


class _Facts(NamedTuple):
    names: list[str]
    functions: list[str]
    widths: list[int]  # units of each
    by_design: list[bool]  # computed from values that are the same for all rows
    link: Link


class _Rows(NamedTuple):
    outputs: Tensor  # (n, ...)
    moments: Tensor  # (L, 5)
    peaks: Tensor  # (Σ C) of all units, one layer behind the other
    facts: _Facts


class ActivationReader:
    """Reads the layers that `ProbeMappings` would choose from: the model's children, a nested block as one.

    Args:
        model: a built one.
        rows: of the probe, in the structure that the model takes.

    Cost:
        One forward pass over the rows.
    """

    def __init__(self, model: keras.Model, rows: Probe) -> None:
        self._runner = ModelRunner(model, rows.x, rows.output)
        self._x = prepare_inputs(model, rows.inputs, rows.x)
        self.size = rows.size
        self._y, self._named = rows.y, rows.class_names is not None
        self._candidates = candidates(model, None)
        self._program = self._runner.compiled(self._rows)

    @property
    def task(self) -> Task | None:
        """The meaning of the outputs, after the first reading; None where they are no scores of a row."""
        return self._runner.task if self._runner.dense is None else None

    @property
    def side_effects(self) -> str:
        """A sentence on the state that reading may change and that cannot be restored; "" where there is none."""
        return self._runner.lasting_effects(self._program)

    def read(self) -> ActivationReading:
        """Return what the layers do with the model's current weights."""
        numpy = get_backend().numpy
        outputs, moments, peaks = [], [], []
        facts = _Facts([], [], [], [], "")
        for rows, size in self._runner.chunks(self.size):
            weight = (
                np.arange(self._runner.rows_a_pass(self.size)) < size
            ) * 1.0  # 0 for the rows that fill up the last chunk
            part: _Rows = self._program(take_rows(self._x, rows), weight)
            facts = part.facts
            outputs.append(np.asarray(numpy(part.outputs), np.float32)[:size])
            moments.append(np.asarray(numpy(part.moments), np.float64).reshape(-1, 5))
            peaks.append(np.asarray(numpy(part.peaks), np.float64))
        joined = np.concatenate(outputs)
        if self._runner.dense is None:
            self._runner.settle_by(joined, facts.link, self._y, named=self._named)
        return ActivationReading(joined, _statistics(facts, np.stack(moments), np.stack(peaks).max(0)))

    # Inside programs.

    def _rows(self, x: Tensors, weight: Tensor) -> _Rows:
        trace = get_backend().trace_activations(self._runner.score_function.outputs, x, self._candidates)
        followed = [activation for activation in trace.activations if _is_readable(activation)]
        model = self._runner.model
        pooled = [_pooled(activation, weight, model) for activation in followed]
        nothing = ops.zeros((0,), "float32")
        facts = _Facts(
            names=[layer_path(activation.layer, model) for activation in followed],
            functions=[activation.function for activation in followed],
            widths=[int(part.peaks.shape[0]) for part in pooled],
            by_design=[not activation.varies for activation in followed],
            link=trace.link,
        )
        return _Rows(
            trace.outputs,
            ops.stack([part.moments for part in pooled]) if pooled else nothing,
            ops.concatenate([part.peaks for part in pooled]) if pooled else nothing,
            facts,
        )


def _pooled(activation: Activation, weight: Tensor, model: keras.Model) -> Pooled:
    layer, function = activation.layer, activation.function
    rows = pool_activation(activation.output, weight, activation.mask, function, is_channels_first(layer, model))
    return spoil_by_weights(rows, layer.weights) if function in RECTIFIERS else rows


def _is_readable(activation: Activation) -> bool:
    """Return True for a layer inside the model with a row of activations for each sample."""
    is_inside = activation.leads and not activation.is_final and not activation.is_input
    return not activation.problem and is_inside and activation.output.shape[0] is not None


def _statistics(facts: _Facts, moments: NDArray[np.float64], peaks: NDArray[np.float64]) -> tuple[LayerStatistics, ...]:
    """Return the figures of each layer from the moments of chunks (chunks, L, 5) and the largest |activation| of units."""
    edges = np.cumsum([0, *facts.widths])
    layers = []
    for k, (name, function) in enumerate(zip(facts.names, facts.functions, strict=True)):
        parts = moments[:, k]
        count = max(float(parts[:, _COUNT].sum()), 1.0)
        mean = float(parts[:, _COUNT] @ parts[:, _MEAN]) / count
        # Chan's rule, as of `mapping.reading`.
        squares = parts[:, _SQUARES] + parts[:, _COUNT] * (parts[:, _MEAN] - mean) ** 2
        units = peaks[edges[k] : edges[k + 1]]
        largest = float(units.max(initial=0.0))
        layers.append(
            LayerStatistics(
                name=name,
                function=function,
                std=float(np.sqrt(squares.sum() / count)),
                saturated=float(parts[:, _SATURATED].sum() / count) if function in BOUNDS else np.nan,
                dead=float((units == 0).mean()) if function in RECTIFIERS and np.isfinite(units).all() else np.nan,
                varies=bool(parts[:, _APART].max() > 1e-7 * largest),
                may_be_constant=facts.by_design[k],
            )
        )
    return tuple(layers)
