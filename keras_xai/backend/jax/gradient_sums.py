"""Running sums of gradients and weights on the device.

What is added in one step is computed in the program of that step (`GradientSums.add`) and leaves it as one of its results
(`take`); a second small program adds it to the sums so far (`absorb`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.gradient_table import EXPONENT_BINS, MOMENTS, SUMS, Variable, fold_sums, sums_of_call

# Variables of one shape with at most so many entries are stacked, in a copy, and summarised together: that compiles faster.
STACKED_ENTRIES = 1 << 16


class StepSums(NamedTuple):
    """Sums of one step, of V variables; the last row is that of the optimizer's calls themselves."""

    sums: jax.Array  # float32 (V + 1, S)
    largest: jax.Array  # float32 (V + 1)
    exponents: jax.Array  # uint32 (V + 1, 512) numbers of entries by sign and exponent


class RunningSums(NamedTuple):
    """The sums so far. Counts are two halves of 64 bits, since JAX has no such integers by default."""

    sums: jax.Array
    largest: jax.Array
    low: jax.Array  # uint32 (V + 1, 512)
    high: jax.Array


class GradientSums:
    """Running sums over recorded optimizer calls, on the device. They belong to neither the model nor the optimizer.

    Args:
        variables: of the V rows.
    """

    counts_exponents = True

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = list(variables)
        self._of_step: StepSums | None = None
        self._running = self._zeros()

    def add(
        self,
        gradients: Sequence[jax.Array],
        variables: Sequence[Variable],
        before: Sequence[jax.Array],
        *,
        scale: jax.Array | float | None = None,
        applied: jax.Array | bool = True,
        updated: jax.Array | bool = True,
    ) -> None:
        """Add one optimizer call to what the step adds; to be run after it.

        Args:
            gradients: one for each of `variables`, as given to the optimizer.
            variables: those of the rows that have a gradient.
            before: the values of `variables` before the call, see `read_value`.
            scale: the factor by which the loss was multiplied.
            applied: False where the optimizer skipped the call.
            updated: False where the call left the weights as they were, as while gradients accumulate.
        """
        if not variables:
            return
        inverse = jnp.ones((), jnp.float32) if scale is None else 1.0 / jnp.asarray(scale, jnp.float32)
        moments, exponents = _summaries(gradients, before, [read_value(v) for v in variables], inverse)
        # Variables without a gradient, and the row of the call itself, take the last row of the summaries, which is zero.
        row_of = {id(variable): row for row, variable in enumerate(variables)}
        rows = np.array([row_of.get(id(variable), len(variables)) for variable in self.variables] + [len(variables)])
        recorded = (rows < len(variables)).astype(np.float32)
        of_step = _jitted_sums_of_step(
            recorded, moments[rows], exponents[rows], jnp.asarray(applied), jnp.asarray(updated)
        )
        self._of_step = of_step if self._of_step is None else _merged(self._of_step, of_step)

    def take(self) -> StepSums | None:
        """Return what the step adds, and forget it; None where no optimizer was called."""
        of_step, self._of_step = self._of_step, None
        return of_step

    def absorb(self, of_step: StepSums | None) -> None:
        """Add what a step adds to the sums."""
        if of_step is not None:
            self._running = _added(self._running, of_step)

    def read(self) -> NDArray[np.float64]:
        """Return the sums (V + 1, WIDTH): `COLUMNS`, then the octaves.

        The last row has "calls" and "skipped" of the optimizer itself, whichever variables had a gradient.
        """
        sums, largest, low, high = jax.device_get(self._running)
        return fold_sums(sums, largest, high.astype(np.float64) * 2.0**32 + low)

    def reset(self) -> None:
        """Start again from zero."""
        self._running = self._zeros()

    def _zeros(self) -> RunningSums:
        # On the host: the first step decides where on the devices they are.
        rows = len(self.variables) + 1
        counts = np.zeros((rows, EXPONENT_BINS), np.uint32)
        return RunningSums(np.zeros((rows, len(SUMS)), np.float32), np.zeros(rows, np.float32), counts, counts)


def read_value(variable: Variable) -> jax.Array:
    """Return the value of a variable at this point of the program.

    A function of JAX gives it new values, which Keras keeps in the `StatelessScope` around the code that runs.
    """
    return variable.value if isinstance(variable, keras.Variable) else jnp.asarray(variable)


@functools.partial(jax.jit, donate_argnums=0)
def _added(running: RunningSums, of_step: StepSums) -> RunningSums:
    low = running.low + of_step.exponents
    return RunningSums(
        running.sums + of_step.sums,
        jnp.maximum(running.largest, of_step.largest),  # NaN where either is
        low,
        running.high + (low < of_step.exponents),  # the carry
    )


def _merged(first: StepSums, second: StepSums) -> StepSums:
    """Return the sums of two calls in one step."""
    largest = jnp.maximum(first.largest, second.largest)
    return StepSums(first.sums + second.sums, largest, first.exponents + second.exponents)


def _sums_of_step(
    recorded: jax.Array, moments: jax.Array, exponents: jax.Array, applied: jax.Array, updated: jax.Array
) -> StepSums:
    """Return what one optimizer call adds.

    Args:
        recorded: (V + 1) 1 for the variables that had a gradient; the last entry stands for the call itself.
        moments: (V + 1, moments), zero where nothing was recorded.
        exponents: (V + 1, 512), likewise.
        applied: as in `GradientSums.add`.
        updated: likewise.
    """
    applied = applied.astype(jnp.float32)
    updated = applied * updated.astype(jnp.float32)
    is_call = np.eye(1, len(recorded), len(recorded) - 1, dtype=np.float32)[0]
    # `where` and not a product with 0, since the gradients of a skipped call are infinite.
    of_call = dict(zip(MOMENTS, jnp.where(applied > 0, moments, 0.0).T, strict=True))
    of_update = dict(zip(MOMENTS, jnp.where(updated > 0, moments, 0.0).T, strict=True))
    columns = sums_of_call(recorded, is_call, of_call, of_update, applied=applied, updated=updated)
    return StepSums(
        jnp.stack(columns, axis=1),
        of_call["largest"],
        jnp.where(applied > 0, exponents, jnp.zeros_like(exponents)),
    )


def _summaries(
    gradients: Sequence[jax.Array], before: Sequence[jax.Array], after: Sequence[jax.Array], inverse: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the summaries of the V gradients of one call; the last row of each is zero.

    Args:
        gradients: (V) dense.
        before: (V) weights before the call.
        after: (V) after the call.
        inverse: the factor that undoes loss scaling.

    Returns:
        `MOMENTS` (V + 1, 5) and counts of sign and exponent, uint32 (V + 1, 512).
    """
    groups = _groups_of_one_shape(gradients)
    moments, exponents = [], []
    for group in groups:
        group_moments, group_exponents = _jitted_group_summary(
            [gradients[k] for k in group], [before[k] for k in group], [after[k] for k in group], inverse
        )
        moments.append(group_moments)
        exponents.append(group_exponents)
    moments.append(jnp.zeros((1, len(MOMENTS)), jnp.float32))
    exponents.append(jnp.zeros((1, EXPONENT_BINS), jnp.uint32))
    numbers = [k for group in groups for k in group]
    order = np.argsort([*numbers, len(gradients)])
    return jnp.concatenate(moments)[order], jnp.concatenate(exponents)[order]


def _groups_of_one_shape(gradients: Sequence[jax.Array]) -> list[list[int]]:
    """Return groups of gradients, by their numbers, that are summarised together: small ones of one shape and dtype."""
    groups: dict[Any, list[int]] = {}
    for k, gradient in enumerate(gradients):
        key = k if gradient.size > STACKED_ENTRIES else (gradient.shape, gradient.dtype)
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def _group_summary(
    gradients: list[jax.Array], before: list[jax.Array], after: list[jax.Array], inverse: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return `MOMENTS` (K, 5) and counts of sign and exponent, uint32 (K, 512), of K gradients of one shape."""
    g, old, new = (_rows(values) for values in (gradients, before, after))
    g = g * inverse
    columns = {
        "total": g.sum(1),
        "squares": (g * g).sum(1),
        "weight_squares": (old * old).sum(1),
        "update_squares": ((new - old) ** 2).sum(1),
        "largest": jnp.abs(g).max(1, initial=0.0),
    }
    return jnp.stack([columns[name] for name in MOMENTS], 1), jax.vmap(_exponents)(g)


def _rows(values: Sequence[jax.Array]) -> jax.Array:
    """Return K tensors of one shape as the rows of a float32 matrix."""
    return jnp.stack([jnp.asarray(value, jnp.float32).reshape(-1) for value in values])


def _exponents(g: jax.Array) -> jax.Array:
    """Count each combination of sign and exponent, uint32 (512): exact octaves, without a logarithm."""
    bits = jax.lax.shift_right_logical(jax.lax.bitcast_convert_type(g, jnp.uint32), jnp.uint32(23))
    return jnp.zeros(EXPONENT_BINS, jnp.uint32).at[bits].add(jnp.uint32(1))


# A group of one shape is traced once; and in a step that runs eagerly these are one program each.
_jitted_group_summary: Callable[..., tuple[jax.Array, jax.Array]] = jax.jit(_group_summary)
_jitted_sums_of_step: Callable[..., StepSums] = jax.jit(_sums_of_step)
