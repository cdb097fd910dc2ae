"""Attributions of samples with noise on them: of tokens on their embeddings, where they are numbers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.attributor import Attributor
from keras_xai.attribution.batch import Batch
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import Method
from keras_xai.attribution.progress import Progress
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Program, Tensor, Tensors
from keras_xai.errors import InvalidInput
from keras_xai.model.runner import joined
from keras_xai.model.samples import Samples, take_rows
from keras_xai.records import Attribution
from keras_xai.tree import leaves


class NoisyEngine(Engine):
    """An engine that takes with each input what is added to it where it is made of numbers.

    Rows come as [*inputs, *noise], the noise in the shapes that `numbers` gives: of tokens those of their embeddings.
    """

    def numbers(self, x: Sequence[Samples], target: NDArray[np.integer[Any]]) -> list[NDArray[np.float32]]:
        """Return the numbers (B, ...) that noise can be added to: inputs, and embeddings of tokens; (B,) zeros where none are."""
        numpy = get_backend().numpy
        parts = []
        for rows, _ in self.runner.chunks(len(x[0])):
            tensors = self._numbers_program(take_rows(x, rows), target[rows].astype(np.int32))
            parts.append([numpy(tensor) for tensor in tensors])
        return [joined(list(of_input), len(x[0])) for of_input in zip(*parts, strict=True)]

    @functools.cached_property
    def _numbers_program(self) -> Program:
        return self.runner.compiled(self._numbers)

    def _settle(self, x: Sequence[Samples]) -> None:
        super()._settle(x[: len(leaves(self.runner.like))])

    # Inside the program.

    def _numbers(self, x: Tensors, target: Tensor) -> Tensors:
        tensors = super()._batch(x, [], target, False).x
        is_number = [keras.backend.is_float_dtype(tensor.dtype) for tensor in tensors]
        return [
            keras.ops.cast(tensor, "float32") if moves else keras.ops.zeros((tensor.shape[0],), "float32")
            for tensor, moves in zip(tensors, is_number, strict=True)
        ]

    def _batch(self, x: Tensors, baseline: Tensors, target: Tensor, shared: bool) -> Batch:
        count = len(leaves(self.runner.like))
        batch = super()._batch(x[:count], baseline, target, shared)
        model_inputs = list(batch.model_inputs)
        noisy = []
        for number, tensor, noise in zip(batch.input_index, batch.x, x[count:], strict=True):
            moved = tensor
            if keras.backend.is_float_dtype(tensor.dtype):
                moved = tensor + keras.ops.cast(noise, tensor.dtype)
            if model_inputs[number] is tensor:
                model_inputs[number] = moved
            noisy.append(moved)
        batch.x, batch.model_inputs = noisy, model_inputs
        return batch


class NoisyAttributor(Attributor):
    """An `Attributor` whose samples can be asked about with noise on them; the arguments are its own."""

    _engine: NoisyEngine

    def __call__(self) -> Attribution:
        """The attribution of the samples themselves."""
        return self.with_noise([np.broadcast_to(np.float32(0), numbers.shape) for numbers in self.numbers])

    def with_noise(self, noise: Sequence[NDArray[np.float32]]) -> Attribution:
        """The attribution of the samples with this noise, in the shapes of `numbers`."""
        return self._engine([*self._x, *noise], self._baseline, self.target)[self.name]

    @functools.cached_property
    def numbers(self) -> list[NDArray[np.float32]]:
        """See `NoisyEngine.numbers`; with the weights that the model had when it was asked for first."""
        return self._engine.numbers(self._x, self.target)

    def _engine_with(self, method: Method, progress: Progress | None) -> NoisyEngine:
        return NoisyEngine(self._runner, {self.name: method}, progress, self._warns_of_held, remarked=self._remarked)


def ranges(numbers: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return max − min of the numbers (B, ...), in shapes that broadcast to them: of a table's columns each over the samples, of
    anything else of each sample over its entries.

    Raises:
        InvalidInput: all of them are 0, as those of a table of one row.
    """
    spans = []
    for values in numbers:
        axes = (0,) if values.ndim <= 2 else tuple(range(1, values.ndim))
        spans.append(values.max(axes, keepdims=True) - values.min(axes, keepdims=True))
    if not any(span.any() for span in spans):
        shapes = ", ".join(str(values.shape) for values in numbers)
        raise InvalidInput(
            f"The samples have no range to measure the noise by (shapes {shapes}; of tables the range of each column over the "
            f"samples): give more rows, or the size of the noise itself where there is an argument for it. Samples without any "
            f"numbers (strings, categories that no embedding looks up) take no noise."
        )
    return spans
