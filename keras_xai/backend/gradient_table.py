"""The sums over recorded optimizer calls, as a recorder hands them to the host: one row a variable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = Any  # of the framework

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

# The columns of the summary of a gradient g and of the weights, w before and w' after the call: Σg, Σg², Σw², Σ(w' − w)²,
# max |g|.
MOMENTS = ("total", "squares", "weight_squares", "update_squares", "largest")
# On the device entries are counted by sign and exponent, the upper nine bits of a float32.
EXPONENT_BINS = 512

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


class Sums(Protocol):
    """The fields that a `GradientTable` has."""

    @property
    def variables(self) -> Sequence[Variable]:
        """The variables (V)."""

    @property
    def sums(self) -> NDArray[np.float64]:
        """Their sums (V, WIDTH)."""

    @property
    def sparse(self) -> frozenset[int]:
        """The ids of those whose gradient names rows."""

    @property
    def steps(self) -> int:
        """The recorded optimizer calls."""

    @property
    def skipped(self) -> int:
        """The calls that the optimizer skipped."""

    @property
    def has_octaves(self) -> bool:
        """False where the device cannot count them."""


def sums_of_call(
    recorded: Tensor,
    is_call: Tensor,
    of_call: Mapping[str, Tensor],
    of_update: Mapping[str, Tensor],
    *,
    applied: Tensor,
    updated: Tensor,
) -> list[Tensor]:
    """Return the columns `SUMS` of one optimizer call, each (V + 1): to be added to those of the calls before.

    Args:
        recorded: (V + 1) 1 for the variables that had a gradient; 0 in the last row, which stands for the call itself.
        is_call: (V + 1) 1 in the last row alone.
        of_call: the `MOMENTS`, each (V + 1); 0 where nothing was recorded, or the optimizer skipped the call.
        of_update: likewise; 0 also where the call left the weights as they were.
        applied: 0 where the optimizer skipped the call, else 1.
        updated: 0 where the call left the weights as they were, as while gradients accumulate, else 1.
    """
    counted = recorded + is_call
    columns = {
        "calls": applied * counted,
        "skipped": (1.0 - applied) * counted,
        "total": of_call["total"],
        "squares": of_call["squares"],
        "weight_squares": of_call["weight_squares"],
        "updates": updated * recorded,
        "updated_weight_squares": of_update["weight_squares"],
        "update_squares": of_update["update_squares"],
    }
    return [columns[name] for name in SUMS]


def fold_sums(sums: NDArray[Any], largest: NDArray[Any], exponents: NDArray[Any]) -> NDArray[np.float64]:
    """Return the columns of a table (V + 1, WIDTH): `COLUMNS`, then the octaves.

    Args:
        sums: (V + 1, S) the columns `SUMS`.
        largest: (V + 1) max |g|.
        exponents: (V + 1, 512) counts of sign and exponent.
    """
    half = EXPONENT_BINS // 2
    counts = exponents[:, :half] + exponents[:, half:]  # both signs
    low, high = 127 + LOWEST, 127 + HIGHEST  # the exponent is stored with an offset of 127
    octaves = [
        counts[:, 1 : low + 1].sum(1, keepdims=True),
        counts[:, low + 1 : high - 1],
        counts[:, high - 1 : half - 1].sum(1, keepdims=True),
    ]
    zeros, nonfinite = counts[:, :1], counts[:, half - 1 :]
    parts = (sums, largest[:, None], zeros, nonfinite, *octaves)
    return np.concatenate([part.astype(np.float64) for part in parts], 1)


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
            _add_row(rows, variable, row)
    return GradientTable(*_columns_of(rows), sparse, steps, skipped, has_octaves)


def merge_tables(tables: Sequence[Sums]) -> GradientTable:
    """Merge the sums of consecutive steps of one model."""
    rows: dict[int, tuple[Variable, NDArray[np.float64]]] = {}
    for table in tables:
        for variable, row in zip(table.variables, table.sums, strict=True):
            _add_row(rows, variable, row)
    return GradientTable(
        *_columns_of(rows),
        sparse=frozenset().union(*(table.sparse for table in tables)),
        steps=sum(table.steps for table in tables),
        skipped=sum(table.skipped for table in tables),
        has_octaves=all(table.has_octaves for table in tables),
    )


def _add_row(
    rows: dict[int, tuple[Variable, NDArray[np.float64]]], variable: Variable, row: NDArray[np.float64]
) -> None:
    """Add the sums (WIDTH) of a variable to those that it has already."""
    if id(variable) in rows:
        _, other = rows[id(variable)]
        largest = np.maximum(other[_LARGEST], row[_LARGEST])
        row = other + row
        row[_LARGEST] = largest
    rows[id(variable)] = variable, row


def _columns_of(
    rows: Mapping[int, tuple[Variable, NDArray[np.float64]]],
) -> tuple[list[Variable], NDArray[np.float64]]:
    """Return variables, and their sums (V, WIDTH)."""
    sums = np.stack([row for _, row in rows.values()]) if rows else np.zeros((0, WIDTH))
    return [variable for variable, _ in rows.values()], sums
