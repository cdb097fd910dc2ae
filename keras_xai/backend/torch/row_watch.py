"""Watches the rows of a training: PyTorch's `backend.row_watch.RowWatch`. The plain step runs, and its loss is heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import torch

from keras_xai.backend.loss_hook import with_loss_hook
from keras_xai.backend.recorder import GradientRecorder, NotCaptured, TrainFunction
from keras_xai.backend.row_watch import (
    COLUMNS,
    NO_LOSS,
    NOT_NUMBERS,
    SEVERAL_LOSSES,
    LoggedRows,
    RowFunction,
    RowWatch,
    fault_words,
)
from keras_xai.backend.torch.gradient_recorder import is_compiled
from keras_xai.digests import multipliers

COMPILED = (
    "the train step was compiled by torch.compile, and its outputs are read while it runs eagerly: with"
    " compile(jit_compile=False)"
)
SILENT_STEPS = 10  # without a call of compute_loss, after which the watch ends


class HeardRows:
    """Runs the plain step, and hears its `compute_loss`.

    Args:
        model: in training.
        plain: its train function.
        figures: of rows.
    """

    def __init__(self, model: keras.Model, plain: TrainFunction, figures: RowFunction) -> None:
        self.reason = COMPILED if is_compiled(plain) else ""
        self.seconds_built = 0.0
        self._model, self._figures = model, figures
        self._tables: list[torch.Tensor] = []
        self._steps, self._loss_calls = 0, 0
        self._factors: dict[tuple[int, int, torch.device], torch.Tensor] = {}

    def run(self, function: TrainFunction, arguments: Sequence[Any], *, is_plain: bool) -> Any:
        """Return the result of a call; see `RowWatch`."""
        if self.reason:
            return function(*arguments)
        self._loss_calls = 0
        begin = len(self._tables)
        result = with_loss_hook(self._model, self._hear, lambda: function(*arguments))
        self._steps += 1
        if self._loss_calls > 1:
            del self._tables[begin:]
            self.reason = self.reason or SEVERAL_LOSSES
        if not self._tables and not self.reason and self._steps >= SILENT_STEPS:
            self.reason = NO_LOSS
        return result

    def _hear(self, x: Any, y: Any, y_pred: Any) -> None:
        self._loss_calls += 1
        if self.reason or self._loss_calls > 1:
            return
        try:
            with torch.no_grad():
                leaves = [leaf for leaf in keras.tree.flatten(x) if leaf is not None]
                figures = self._figures(
                    keras.tree.map_structure(_detached, y), keras.tree.map_structure(_detached, y_pred)
                )
                self._tables.append(torch.cat([self._digest(leaves).view(torch.float32), figures.to(torch.float32)], 1))
        except Exception as fault:
            self.reason = fault_words(fault)

    def _digest(self, leaves: list[Any]) -> torch.Tensor:
        halves: torch.Tensor | None = None
        for number, leaf in enumerate(leaves):
            if not isinstance(leaf, torch.Tensor) or leaf.layout != torch.strided or leaf.is_complex():
                raise NotCaptured(NOT_NUMBERS)
            flat = leaf.detach().reshape(leaf.shape[0], -1)
            bits = flat.to(torch.float32).view(torch.int32) if flat.is_floating_point() else flat.to(torch.int32)
            mixed = bits ^ (bits >> 16)
            factors = self._factors_of(number, mixed)
            sums = torch.stack([torch.sum(mixed * half, 1, dtype=torch.int32) for half in factors], 1)
            halves = sums if halves is None else halves + sums
        if halves is None:
            raise NotCaptured(NOT_NUMBERS)
        return halves.contiguous()

    def _factors_of(self, number: int, bits: torch.Tensor) -> torch.Tensor:
        key = (number, bits.shape[1], bits.device)
        if key not in self._factors:
            self._factors[key] = torch.from_numpy(multipliers(number, bits.shape[1])).to(bits.device)
        return self._factors[key]

    def read(self) -> LoggedRows:
        """Return the rows since the last call."""
        tables, self._tables = self._tables, []
        table = torch.cat(tables) if tables else torch.zeros((0, COLUMNS))
        return LoggedRows.of(table.cpu().numpy())

    def close(self) -> None:
        """End the watch."""
        self._tables = []


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


def row_watch(model: keras.Model, plain: TrainFunction, recorder: GradientRecorder, figures: RowFunction) -> RowWatch:
    """Return a watch on the rows that train `model`; see `protocol.Backend`."""
    return HeardRows(model, plain, figures)
