"""Features of rows in the followed layers, and the derivatives of what the model says with respect to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Activation, Program, Tensor, Tensors
from keras_xai.backend.rows import fit_rows
from keras_xai.mapping.pooling import pool_activation, pool_gradient
from keras_xai.mapping.reading import Reader
from keras_xai.model.layers import is_channels_first
from keras_xai.model.samples import Samples, take_rows
from keras_xai.model.target_score import MarginScore

Rows = list[NDArray[np.float32]]  # (B, D) of each layer


class Slopes(NamedTuple):
    """Features of rows in each layer, and the derivatives of what the model says of the rows with respect to them."""

    rows: Rows
    slopes: list[NDArray[np.float32] | None]  # None of a layer from which nothing leads to the answer by degrees
    answers: NDArray[np.float32]  # (B) log-odds of each row's class, or its number


class ConceptReader:
    """Reads rows in the layers that a reader follows, with the model's current weights.

    What the model says of a row is the log-odds of its class, z of the class − log Σ exp z of the others, or ±z of one unit;
    or its number. Features are the rows that the mappings are read from: of a sequence or a map a mean over places, and the
    derivative is that of moving all of these places alike.

    Args:
        reader: of the model, after its first reading; its output is a row of scores a sample.

    Cost:
        `rows` is a forward pass, `slopes` two and a backward one.
    """

    def __init__(self, reader: Reader) -> None:
        self._runner, self._model = reader.runner, reader.runner.model
        self.layers = list(reader.facts.followed)
        self._rows_program = self._runner.compiled(self._rows_of)
        self._slopes_program = self._runner.compiled(self._slopes_of)

    def rows(self, x: Sequence[Samples]) -> Rows:
        """Return the features (n, D) of rows x in each layer."""
        parts = [self._rows_program(take_rows(x, rows)) for rows, _ in self._runner.chunks(len(x[0]))]
        return [_joined(of_layer, len(x[0])) for of_layer in zip(*parts, strict=True)]

    def slopes(self, x: Sequence[Samples], target: NDArray[np.int64]) -> Slopes:
        """Return features and derivatives of rows x.

        Args:
            x: (B, ...) rows, one array an input.
            target: (B) class or column of each, (B, K) of −1 and 1 of several labels.
        """
        size, target = len(x[0]), target.astype(np.int32)
        parts = [self._slopes_program(take_rows(x, rows), target[rows]) for rows, _ in self._runner.chunks(len(x[0]))]
        slopes: list[NDArray[np.float32] | None] = []
        for k in range(len(self.layers)):
            of_layer = [part[1][k] for part in parts]
            slopes.append(None if any(part is None for part in of_layer) else _joined(of_layer, size))
        by_chunk = [part[0] for part in parts]
        rows = [_joined(of_layer, size) for of_layer in zip(*by_chunk, strict=True)]
        return Slopes(rows, slopes, _joined([part[2] for part in parts], size)[:, 0])

    @property
    def programs(self) -> tuple[Program, Program]:
        """The programs, for what they may move in the model."""
        return self._rows_program, self._slopes_program

    # Inside programs.

    def _activations(self, x: Tensors) -> list[Activation]:
        """The outputs of the layers, in their order."""
        trace = get_backend().trace_activations(self._runner.score_function.outputs, x, self.layers)
        by_layer = {id(activation.layer): activation for activation in trace.activations}
        size, activations = x[0].shape[0], []
        for layer in self.layers:
            activation = by_layer[id(layer)]
            output, mask = (_with_rows(tensor, size) for tensor in (activation.output, activation.mask))
            activations.append(activation._replace(output=output, mask=mask))
        return activations

    def _pooled(self, activations: Sequence[Activation], size: int) -> Tensors:
        rows = []
        for activation in activations:
            channels_first = is_channels_first(activation.layer, self._model)
            output, mask = activation.output, activation.mask
            rows.append(pool_activation(output, ops.ones(size), mask, activation.function, channels_first).rows)
        return rows

    def _rows_of(self, x: Tensors) -> Tensors:
        return self._pooled(self._activations(x), x[0].shape[0])

    def _slopes_of(self, x: Tensors, target: Tensor) -> tuple[Tensors, list[Tensor | None], Tensor]:
        """Return the rows and slopes of each layer, and the answers (n, 1)."""

        def answers(inputs: Tensors) -> tuple[Tensor, Tensor]:
            score_function, task = self._runner.score_function, self._runner.task
            score = score_function.target_score(task, target, MarginScore)
            values = score.select(score_function.logits(inputs).scores)
            return values, ops.cast(values, "float32")

        activations = self._activations(x)
        forward = get_backend().forward_with_vjp(answers, x, self.layers)
        gradients = forward.vjp(at_inputs=False).outputs
        slopes: list[Tensor | None] = []
        for activation, of_calls in zip(activations, gradients, strict=True):
            gradient = _with_rows(of_calls[0], x[0].shape[0]) if of_calls else None
            if gradient is None or len(gradient.shape) != len(activation.output.shape):
                slopes.append(None)
                continue
            channels_first = is_channels_first(activation.layer, self._model)
            slopes.append(pool_gradient(gradient, activation.mask, channels_first))
        return self._pooled(activations, x[0].shape[0]), slopes, ops.reshape(forward.aux, (-1, 1))


def _with_rows(tensor: Tensor | None, size: int) -> Tensor | None:
    """Return a tensor with a row for each sample, where their number shows only as the model runs."""
    return tensor if tensor is None or tensor.shape[0] is not None else fit_rows(tensor, size).rows


def _joined(parts: Sequence[Any], size: int) -> NDArray[np.float32]:
    numpy = get_backend().numpy
    return np.concatenate([np.asarray(numpy(part), np.float32) for part in parts])[:size]
