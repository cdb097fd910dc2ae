"""The sums over recorded optimizer calls, as a recorder hands them to the host: one row a variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Sums over the recorded optimizer calls of a variable, of its gradient g and its weights w.
SUMS = (
    "calls",  # optimizer calls recorded
    "skipped",  # calls that the optimizer skipped because loss scaling overflowed: in no other column
    "total",  # Σ g
    "squares",  # Σ g²
    "weight_squares",  # Σ w², before the call
    "updates",  # calls that changed the weights: fewer than "calls" where gradients are accumulated
    "updated_weight_squares",  # Σ w² before the calls that changed the weights
    "update_squares",  # Σ (w after − w before)² over these calls
)
# Then max |g|, and the numbers of entries that were 0, and that were NaN or infinite.
COLUMNS = (*SUMS, "largest", "zeros", "nonfinite")
# Then a column for each octave of |g|, from 2^LOWEST to 2^HIGHEST; the outermost two also count what lies beyond.
LOWEST, HIGHEST = -48, 16
WIDTH = len(COLUMNS) + HIGHEST - LOWEST

_CALLS, _SKIPPED, _LARGEST = (COLUMNS.index(name) for name in ("calls", "skipped", "largest"))


class Variable(Protocol):
    """A variable of Keras, or one of the framework's own that a layer keeps."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def shape(self) -> Any:
        """The lengths of its axes: a tuple, or a shape of the framework's own."""

    @property
    def dtype(self) -> Any:
        """A name, or a dtype of the framework's own."""


class GradientTable(NamedTuple):
    """The sums since the last reset."""

    variables: Sequence[Variable] = ()
    sums: NDArray[np.float64] = np.zeros((0, WIDTH))  # (V, WIDTH)
    sparse: frozenset[int] = frozenset()  # ids of the variables whose gradient names rows, as that of an embedding does
    steps: int = 0  # recorded optimizer calls
    skipped: int = 0  # calls that the optimizer skipped because loss scaling overflowed: not among `steps`
    has_octaves: bool = True  # False where the device cannot count them


def merge_sums(
    tables: Iterable[tuple[Sequence[Variable], NDArray[np.float64]]], sparse: frozenset[int], has_octaves: bool
) -> GradientTable:
    """Merge the sums of several sets of variables, which may overlap where a step calls several optimizers.

    Args:
        tables: V variables, and their sums (V + 1, WIDTH); the last row has "calls" and "skipped" of the optimizer itself.
        sparse: see `GradientTable`.
        has_octaves: see `GradientTable`.
    """
    steps = skipped = 0
    rows: dict[int, tuple[Variable, NDArray[np.float64]]] = {}
    for variables, sums in tables:
        *rows_of_variables, row_of_calls = sums
        steps, skipped = steps + int(row_of_calls[_CALLS]), skipped + int(row_of_calls[_SKIPPED])
        for variable, row in zip(variables, rows_of_variables, strict=True):
            if id(variable) in rows:
                _, other = rows[id(variable)]
                largest = np.maximum(other[_LARGEST], row[_LARGEST])
                row = other + row
                row[_LARGEST] = largest
            rows[id(variable)] = variable, row
    return GradientTable(
        variables=[variable for variable, _ in rows.values()],
        sums=np.stack([row for _, row in rows.values()]) if rows else np.zeros((0, WIDTH)),
        sparse=sparse,
        steps=steps,
        skipped=skipped,
        has_octaves=has_octaves,
    )
