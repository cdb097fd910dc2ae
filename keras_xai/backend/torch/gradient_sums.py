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

    moments: torch.Tensor  # (3) float32: Σg, Σg², max |g|
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
        moments[rows] = torch.stack([self._moments(*row) for row in zip(gradients, before, variables, strict=True)])
        exponents[rows] = torch.stack([summary.exponents.to(self._device) for summary in gradients])
        recorded = torch.zeros_like(self._largest)
        recorded[rows] = 1.0
        self._accumulate(recorded, moments, exponents, applied, updated)

    def _moments(self, summary: GradientSummary, before: torch.Tensor, variable: Variable) -> torch.Tensor:
        """Return the `MOMENTS` (5) of one variable."""
        after = read_value(variable).reshape(-1)
        pieces = zip(before.reshape(-1).split(PIECE), after.split(PIECE), strict=True)
        squares = [torch.stack([_squares(old), _squares(new.float() - old)]) for old, new in pieces]
        total, gradient_squares, largest = summary.moments
        weight_squares, update_squares = torch.stack(squares).sum(0).to(summary.moments.device)
        columns = {
            "total": total,
            "squares": gradient_squares,
            "weight_squares": weight_squares,
            "update_squares": update_squares,
            "largest": largest,
        }
        return torch.stack([columns[name] for name in MOMENTS]).to(self._device)

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
    moments = torch.zeros([3], dtype=torch.float32, device=g.device)
    exponents = torch.zeros([EXPONENT_BINS], dtype=torch.int64, device=g.device)
    exponents[0] += absent
    for part in g.reshape(-1).split(PIECE):
        if not part.numel():
            continue
        piece = part.to(torch.float32)
        if inverse is not None:
            piece = piece * inverse
        moments[:2] += torch.stack([piece.sum(), _squares(piece)])
        moments[2] = torch.maximum(moments[2], piece.abs().max())
        exponents += _exponents(piece)
    return GradientSummary(moments, exponents)


def _squares(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares of a float32 vector, without a vector of squares."""
    return torch.dot(values, values)


def _exponents(g: torch.Tensor) -> torch.Tensor:
    """Count each combination of sign and exponent of a float32 vector, int64 (512): exact octaves, without a logarithm."""
    bits = (g.contiguous().view(torch.int32) >> 23) & (EXPONENT_BINS - 1)
    return torch.bincount(bits, minlength=EXPONENT_BINS)
