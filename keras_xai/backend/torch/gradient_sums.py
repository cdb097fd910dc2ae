"""Running sums of gradients and weights on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from keras_xai.backend.gradient_table import EXPONENT_BINS, MOMENTS, SUMS, Variable, fold_sums, sums_of_call

# A variable of Keras, or a parameter of a module of torch's.
Value: TypeAlias = Variable | torch.Tensor

# Long gradients are summarised in pieces, so that no copy of a whole one is made, and rounding errors of sums stay small.
PIECE = 1 << 20


class GradientSummary(NamedTuple):
    """The sums of one gradient g."""

    total: torch.Tensor  # Σg, as the other two a float32 number on its device
    squares: torch.Tensor  # Σg²
    largest: torch.Tensor  # max |g|
    exponents: torch.Tensor  # int64 (512)


class GradientSums:
    """Running sums over recorded optimizer calls, on the device: float32 (V, S), and counts of exponents int64 (V, 512).

    They are plain tensors, which belong to neither the model nor the optimizer, so that no checkpoint holds them. Nothing in
    them waits for the device, except counting on a GPU.

    Args:
        variables: of the V rows.
        model: the model in training.

    Attributes:
        variables: of the rows.
        counts_exponents: True; every device can count them.
    """

    counts_exponents = True

    def __init__(self, variables: Sequence[Variable], model: keras.Model | None = None) -> None:
        self.variables = list(variables)
        self._device = read_value(self.variables[0]).device
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        rows = len(self.variables) + 1  # the last one counts the calls themselves
        self._sums = torch.zeros([rows, len(SUMS)], dtype=torch.float32, device=self._device)
        self._largest = torch.zeros([rows], dtype=torch.float32, device=self._device)
        self._exponents = torch.zeros([rows, EXPONENT_BINS], dtype=torch.int64, device=self._device)

    def add(
        self,
        gradients: Sequence[GradientSummary],
        variables: Sequence[Variable],
        before: Sequence[torch.Tensor],
        *,
        applied: torch.Tensor | bool = True,
        updated: torch.Tensor | bool = True,
    ) -> None:
        """Add one optimizer call; to be run after it.

        Args:
            gradients: one for each of `variables`, read before the call: an optimizer may change a gradient in place.
            variables: those of the rows that have a gradient.
            before: the values of `variables` before the call, see `read_values`.
            applied: False where the optimizer skipped the call.
            updated: False where the call left the weights as they were, as while gradients accumulate.
        """
        if not variables:
            return
        row_of = {id(variable): row for row, variable in enumerate(self.variables)}
        rows = torch.tensor([row_of[id(variable)] for variable in variables], device=self._device)
        moments = torch.zeros([len(self.variables) + 1, len(MOMENTS)], dtype=torch.float32, device=self._device)
        exponents = torch.zeros_like(self._exponents)
        numbers: list[torch.Tensor] = []
        for summary, weights, variable in zip(gradients, before, variables, strict=True):
            numbers += self._moments(summary, weights, variable)
        moments[rows] = torch.stack(numbers).reshape(-1, len(MOMENTS))
        exponents[rows] = torch.stack([summary.exponents.to(self._device) for summary in gradients])
        recorded = torch.zeros_like(self._largest)
        recorded[rows] = 1.0
        self._accumulate(recorded, moments, exponents, applied, updated)

    def _moments(self, summary: GradientSummary, before: torch.Tensor, variable: Variable) -> list[torch.Tensor]:
        """Return the `MOMENTS` of one variable, on the device of the sums."""
        pieces = zip(_pieces(before), _pieces(read_value(variable)), strict=True)
        squares = [(_squares(old), _squares(new.to(torch.float32) - old)) for old, new in pieces]
        columns = {
            "total": summary.total,
            "squares": summary.squares,
            "weight_squares": _sum([weight for weight, _ in squares]),
            "update_squares": _sum([update for _, update in squares]),
            "largest": summary.largest,
        }
        return [columns[name].to(self._device) for name in MOMENTS]

    def _accumulate(
        self,
        recorded: torch.Tensor,
        moments: torch.Tensor,
        exponents: torch.Tensor,
        applied: torch.Tensor | bool,
        updated: torch.Tensor | bool,
    ) -> None:
        """Add one optimizer call to the sums.

        Args:
            recorded: (V + 1) 1 for the variables that had a gradient; 0 in the last row, which stands for the call itself.
            moments: (V + 1, moments), zero where nothing was recorded.
            exponents: (V + 1, 512), likewise.
            applied: as in `add`.
            updated: as in `add`.
        """
        applied = torch.as_tensor(applied, dtype=torch.float32, device=self._device)
        updated = applied * torch.as_tensor(updated, dtype=torch.float32, device=self._device)
        is_call = torch.zeros_like(recorded)
        is_call[-1] = 1.0
        # `where` and not a product with 0, since the gradients of a skipped call are infinite.
        zero = torch.zeros_like(moments)
        of_call = dict(zip(MOMENTS, torch.where(applied > 0, moments, zero).unbind(1), strict=True))
        of_update = dict(zip(MOMENTS, torch.where(updated > 0, moments, zero).unbind(1), strict=True))
        columns = sums_of_call(recorded, is_call, of_call, of_update, applied=applied, updated=updated)
        self._sums += torch.stack(columns, 1)
        self._largest = torch.maximum(self._largest, of_call["largest"])  # NaN where either is
        self._exponents += torch.where(applied > 0, exponents, torch.zeros_like(exponents))

    def read(self) -> NDArray[np.float64]:
        """Return the sums (V + 1, WIDTH): `COLUMNS`, then the octaves.

        The last row has "calls" and "skipped" of the optimizer itself, whichever variables had a gradient.
        """
        return fold_sums(*(values.cpu().numpy() for values in (self._sums, self._largest, self._exponents)))


def read_value(value: Value) -> torch.Tensor:
    """Return the tensor that holds a variable's value now: the optimizer will change it in place."""
    tensor = value.value if isinstance(value, keras.Variable) else value
    return tensor.detach() if isinstance(tensor, torch.Tensor) else torch.as_tensor(tensor)


def copy_value(value: Value) -> torch.Tensor:
    """Return a copy of a variable's value at this point of the program."""
    return read_value(value).clone()


def read_values(variables: Sequence[Value]) -> list[torch.Tensor]:
    """Return copies of the values of variables at this point of the program, as float32."""
    return [read_value(variable).to(torch.float32, copy=True) for variable in variables]


def summarize(gradient: torch.Tensor, scale: torch.Tensor | float | None = None) -> GradientSummary:
    """Return the summary of a gradient.

    Args:
        gradient: dense or sparse, as given to the optimizer.
        scale: the factor by which the loss was multiplied; None where there is none.
    """
    g = gradient.detach()
    absent = 0  # zeros that a sparse gradient leaves out
    if g.layout != torch.strided:
        # A row is named once for each use in the batch; the true gradient is the sum of these.
        values = g.to_sparse_coo().coalesce().values()
        absent, g = g.numel() - values.numel(), values
    inverse = None if scale is None else 1.0 / torch.as_tensor(scale, dtype=torch.float32, device=g.device)
    parts = [_summary(part.to(torch.float32), inverse) for part in _pieces(g)]
    total, squares = _sum([part.total for part in parts]), _sum([part.squares for part in parts])
    largest = parts[0].largest if len(parts) == 1 else torch.stack([part.largest for part in parts]).max()
    exponents = _sum([part.exponents for part in parts])
    if absent:
        exponents[0] += absent
    return GradientSummary(total, squares, largest, exponents)


def _summary(g: torch.Tensor, inverse: torch.Tensor | None) -> GradientSummary:
    """Return the summary of a float32 vector."""
    g = g if inverse is None else g * inverse
    magnitude = g.abs()
    largest = magnitude.max() if len(g) else magnitude.sum()
    # Without the sign a number's upper nine bits are its exponent: exact octaves, without a logarithm.
    exponents = torch.bincount(magnitude.view(torch.int32) >> 23, minlength=EXPONENT_BINS)
    return GradientSummary(g.sum(), _squares(g), largest, exponents)


def _pieces(values: torch.Tensor) -> Sequence[torch.Tensor]:
    flat = values.reshape(-1)
    return (flat,) if len(flat) <= PIECE else flat.split(PIECE)


def _sum(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return values[0] if len(values) == 1 else torch.stack(list(values)).sum(0)


def _squares(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares of a float32 vector, without a vector of squares."""
    return torch.dot(values, values)
