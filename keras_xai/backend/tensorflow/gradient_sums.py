"""Running sums of gradients and weights on the device."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend.gradient_table import EXPONENT_BINS, MOMENTS, SUMS, Variable, fold_sums, sums_of_call

T = TypeVar("T")
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class GradientSums:
    """Running sums over recorded optimizer calls, on the device: float32 (V, S), and counts of exponents (V, 512).

    They use only operations that XLA compiles and that cannot fail while a step runs: a step that fails half-way would leave
    the weights changed. They belong to neither the model nor the optimizer, so that no checkpoint holds them.

    Args:
        variables: of the V rows.
        model: the model in training. Under a distribution strategy each replica adds up a copy of its own of the same
            all-reduced gradient, and the first one's is read; such variables cannot be created inside a step.

    Attributes:
        variables: of the rows.
        counts_exponents: False where the device cannot count exponents: only zeros and non-finite values are counted.
    """

    def __init__(self, variables: Sequence[Variable], model: keras.Model) -> None:
        self.variables = list(variables)
        self._strategy = model.distribute_strategy
        self.counts_exponents = bool(model.jit_compile) or _can_count()
        rows = len(self.variables) + 1  # the last one counts the calls themselves
        with tf.init_scope(), self._strategy.scope():
            self._sums = _accumulator([rows, len(SUMS)], tf.float32)
            self._largest = _accumulator([rows], tf.float32)
            self._exponents = _accumulator([rows, EXPONENT_BINS], tf.int64)

    def add(
        self,
        gradients: Sequence[Gradient],
        variables: Sequence[Variable],
        before: Sequence[tf.Tensor],
        *,
        scale: tf.Tensor | float | None = None,
        applied: tf.Tensor | bool = True,
        updated: tf.Tensor | bool = True,
    ) -> None:
        """Add one optimizer call; to be run after it.

        Args:
            gradients: dense or sparse, one for each of `variables`, as given to the optimizer.
            variables: those of the rows that have a gradient.
            before: the values of `variables` before the call, see `read_values`.
            scale: the factor by which the loss was multiplied.
            applied: False where the optimizer skipped the call.
            updated: False where the call left the weights as they were, as while gradients accumulate.
        """
        if not variables:
            return
        if (context := tf.distribute.get_replica_context()) is not None and context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        inverse = None if scale is None else 1.0 / tf.cast(scale, tf.float32)
        moments, exponents = _summaries(gradients, before, read_values(variables), inverse, self.counts_exponents)
        # Variables without a gradient, and the row of the call itself, take the last row of the summaries, which is zero.
        row_of = {id(variable): row for row, variable in enumerate(variables)}
        rows = [row_of.get(id(variable), len(variables)) for variable in self.variables] + [len(variables)]
        recorded = np.asarray([row < len(variables) for row in rows], np.float32)
        moments, exponents = tf.gather(moments, rows), tf.gather(exponents, rows)
        self._accumulate(recorded, moments, exponents, applied, updated)

    def _accumulate(
        self,
        recorded: NDArray[np.float32],
        moments: tf.Tensor,
        exponents: tf.Tensor,
        applied: tf.Tensor | bool,
        updated: tf.Tensor | bool,
    ) -> None:
        """Add one optimizer call to the sums.

        Args:
            recorded: (V + 1) 1 for the variables that had a gradient; the last entry stands for the call itself.
            moments: (V + 1, moments), zero where nothing was recorded.
            exponents: (V + 1, 512), likewise.
            applied: as in `add`.
            updated: as in `add`.
        """
        applied = tf.cast(applied, tf.float32)
        updated = applied * tf.cast(updated, tf.float32)
        is_call = np.eye(1, len(recorded), len(recorded) - 1, dtype=np.float32)[0]
        # `where` and not a product with 0, since the gradients of a skipped call are infinite.
        of_call = dict(zip(MOMENTS, tf.unstack(tf.where(applied > 0, moments, 0.0), axis=1), strict=True))
        of_update = dict(zip(MOMENTS, tf.unstack(tf.where(updated > 0, moments, 0.0), axis=1), strict=True))
        columns = sums_of_call(recorded, is_call, of_call, of_update, applied=applied, updated=updated)
        # One addition for the whole step. It depends on the gradients, so that a step that ended for lack of data adds nothing.
        self._sums.assign_add(tf.stack(columns, axis=1))
        self._largest.assign(_maximum(self._largest, of_call["largest"]))
        self._exponents.assign_add(tf.where(applied > 0, exponents, tf.zeros_like(exponents)))

    def read(self) -> NDArray[np.float64]:
        """Return the sums (V + 1, WIDTH): `COLUMNS`, then the octaves.

        The last row has "calls" and "skipped" of the optimizer itself, whichever variables had a gradient.
        """
        with self._strategy.scope():
            arrays = [np.asarray(tf.convert_to_tensor(v)) for v in (self._sums, self._largest, self._exponents)]
        return fold_sums(*arrays)

    def reset(self) -> None:
        """Start again from zero."""
        with self._strategy.scope():
            for variable in (self._sums, self._largest, self._exponents):
                variable.assign(tf.zeros(variable.shape, variable.dtype))


def _accumulator(shape: list[int], dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        tf.zeros(shape, dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def read_value(value: Variable | tf.Tensor) -> tf.Tensor:
    """Return the value of a variable at this point of the program.

    `keras.ops.convert_to_tensor` may return the variable itself, whose value changes later.
    """
    return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)


def read_values(variables: Sequence[Variable]) -> list[tf.Tensor]:
    """Return the values of variables at this point of the program, as float32."""
    return [tf.cast(read_value(variable), tf.float32) for variable in variables]


def _flat(gradient: Gradient, weights: tf.Tensor, inverse: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a gradient as a float32 vector, unscaled, and the number of zeros that it leaves out.

    A sparse gradient has a row once for each use in the batch; the true gradient is the sum of these. They are added up
    without making the whole table dense: sorted by row, then numbered consecutively.
    """
    absent = tf.zeros([], tf.int64)
    if isinstance(gradient, tf.IndexedSlices):
        count = tf.shape(gradient.indices)[0]
        order = tf.argsort(gradient.indices)
        indices = tf.gather(gradient.indices, order)
        is_next_row = tf.concat([tf.zeros_like(indices[:1]), tf.cast(indices[1:] != indices[:-1], indices.dtype)], 0)
        rows = tf.reshape(tf.cast(tf.gather(gradient.values, order), tf.float32), [count, -1])
        g = tf.math.unsorted_segment_sum(rows, tf.cumsum(is_next_row), count)
        # `g` ends with a zero row for each repeated use of a row: these are counted as zeros of `g` already.
        absent = tf.size(weights, tf.int64) - tf.size(g, tf.int64)
    else:
        g = tf.cast(gradient, tf.float32)
    g = tf.reshape(g, [-1])
    return (g if inverse is None else g * inverse), absent


# Variables of one shape with at most so many entries are stacked, in a copy, and summarised together.
STACKED_ENTRIES = 1 << 16


def _summaries(
    gradients: Sequence[Gradient],
    before: Sequence[tf.Tensor],
    after: Sequence[tf.Tensor],
    inverse: tf.Tensor | None,
    exact: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the summaries of the V gradients of one call; the last row of each is zero.

    Args:
        gradients: (V) dense or sparse.
        before: (V) float32 weights before the call.
        after: (V) after the call.
        inverse: the factor that undoes loss scaling; None where there is none.
        exact: count all exponents, not only zeros and non-finite values.

    Returns:
        `MOMENTS` (V + 1, 5) and counts of exponents, int64 (V + 1, 512).
    """
    groups = _groups_of_one_shape(gradients, before)
    moments, exponents = [], []
    for group in groups:
        g, old, new = (_items(values, group) for values in (gradients, before, after))
        group_moments, group_exponents = _group_summary(g, old, new, inverse, exact)
        moments.append(group_moments)
        exponents.append(group_exponents)
    moments.append(tf.zeros([1, len(MOMENTS)]))
    exponents.append(tf.zeros([1, EXPONENT_BINS], tf.int64))
    numbers = [k for group in groups for k in group]
    order = np.argsort([*numbers, len(gradients)])
    return tf.gather(tf.concat(moments, 0), order), tf.gather(tf.concat(exponents, 0), order)


def _items(values: Sequence[T], numbers: Sequence[int]) -> list[T]:
    return [values[k] for k in numbers]


def _group_summary(
    gradients: list[Gradient], before: list[tf.Tensor], after: list[tf.Tensor], inverse: tf.Tensor | None, exact: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `MOMENTS` (K, 5) and counts of exponents, int64 (K, 512), of K gradients of one group; see `_summaries`."""
    if isinstance(gradients[0], tf.IndexedSlices) or not before[0].shape.is_fully_defined():
        g, absent = _flat(gradients[0], before[0], inverse)
        moments, counts = _matrix_summary(g[None], before[0][None], after[0][None], exact)
        return moments, tf.cast(counts, tf.int64) + tf.one_hot([0], EXPONENT_BINS, absent, tf.zeros([], tf.int64))
    count, shape = len(gradients), tuple(before[0].shape)
    summarize = _traced_summary(count, shape, gradients[0].dtype, exact, inverse is not None)
    arrays = [values[0] if count == 1 else tf.stack(values) for values in (gradients, before, after)]
    moments, counts = summarize(*arrays) if inverse is None else summarize(*arrays, inverse)
    return moments, tf.cast(counts, tf.int64)


def _groups_of_one_shape(gradients: Sequence[Gradient], weights: Sequence[tf.Tensor]) -> list[list[int]]:
    """Return groups of gradients, by their numbers, that are summarised together.

    Small dense gradients of one shape and dtype are a group, and become the rows of a matrix; every other gradient is a group
    of its own. A traced function serves all groups of one shape: building some twenty operations for each variable would take
    as long as tracing the whole step.
    """
    groups: dict[int | tuple[tuple[int, ...], tf.DType], list[int]] = {}
    for k, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
        size = weight.shape.num_elements()
        is_alone = isinstance(gradient, tf.IndexedSlices) or size is None or size > STACKED_ENTRIES
        key = k if is_alone else (tuple(weight.shape), gradient.dtype)
        groups.setdefault(key, []).append(k)
    return list(groups.values())


@functools.lru_cache(maxsize=4096)
def _traced_summary(count: int, shape: tuple[int, ...], dtype: tf.DType, exact: bool, scaled: bool) -> Any:
    """Return `_matrix_summary` of `count` dense gradients of one shape, as a traced function.

    Its arguments are (gradients, before, after) and, if `scaled`, a factor of the gradients.
    """

    def summarize(gradients: tf.Tensor, before: tf.Tensor, after: tf.Tensor, *inverse: tf.Tensor) -> tuple[Any, Any]:
        g, *w = (tf.reshape(tf.cast(values, tf.float32), [count, -1]) for values in (gradients, before, after))
        return _matrix_summary(g * inverse[0] if inverse else g, w[0], w[1], exact)

    stacked_shape = shape if count == 1 else (count, *shape)
    with tf.init_scope():
        traced = tf.function(summarize, autograph=False)
        weight, scale = tf.TensorSpec(stacked_shape, tf.float32), tf.TensorSpec([], tf.float32)
        return traced.get_concrete_function(
            tf.TensorSpec(stacked_shape, dtype), weight, weight, *([scale] if scaled else [])
        )


def _matrix_summary(g: tf.Tensor, old: tf.Tensor, new: tf.Tensor, exact: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the summaries of K gradients, one in each row.

    Args:
        g: (K, n) float32 gradients.
        old: (K, ...) float32 weights before the call.
        new: (K, ...) after the call.
        exact: count all exponents, not only zeros and non-finite values.

    Returns:
        `MOMENTS` (K, 5) and counts of exponents, int32 (K, 512).
    """
    columns = {
        "total": tf.reduce_sum(g, 1),
        "squares": _squares(g),
        "weight_squares": _squares(old),
        "update_squares": _squares(new - old),
        "largest": tf.reduce_max(tf.abs(g), 1),
    }
    return tf.stack([columns[name] for name in MOMENTS], 1), _exponents(g) if exact else _specials(g)


def _squares(values: tf.Tensor) -> tf.Tensor:
    """Return the sum of squares of each row (K)."""
    if values.shape[0] == 1:
        return 2.0 * tf.nn.l2_loss(values)[None]  # in one pass, without a tensor of squares
    return tf.reduce_sum(tf.square(values), 1)


def _maximum(first: tf.Variable, second: tf.Tensor) -> tf.Tensor:
    """Return the larger value, and NaN where either is NaN, for which `tf.maximum` differs between XLA and the kernels."""
    first = tf.convert_to_tensor(first)
    larger = tf.where(first > second, first, second)
    return tf.where(tf.math.is_nan(first), first, larger)


def _exponents(g: tf.Tensor) -> tf.Tensor:
    """Count each combination of sign and exponent in each row, int32 (K, 512): exact octaves, without a logarithm."""
    bits = tf.bitwise.right_shift(tf.bitcast(g, tf.uint32), tf.constant(23, tf.uint32))
    # The raw operation takes a constant size, which XLA needs; tf.math.bincount does not give it one.
    counts = tf.raw_ops.DenseBincount(
        input=tf.cast(bits, tf.int32), size=EXPONENT_BINS, weights=tf.zeros([0], tf.int32), binary_output=False
    )
    return tf.reshape(counts, [g.shape[0], EXPONENT_BINS])


def _specials(g: tf.Tensor) -> tf.Tensor:
    """Count zeros and non-finite values alone, in the bins where `_exponents` has them."""
    zeros = tf.reduce_sum(tf.cast(tf.equal(g, 0.0), tf.int32), 1, keepdims=True)
    nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(g), tf.int32), 1, keepdims=True)
    return zeros * tf.one_hot(0, EXPONENT_BINS, dtype=tf.int32) + nonfinite * tf.one_hot(
        255, EXPONENT_BINS, dtype=tf.int32
    )


def _can_count() -> bool:
    """Return False where exponents cannot be counted: the GPU's kernel refuses in deterministic mode."""
    with tf.init_scope():
        try:
            _exponents(tf.ones([1, 1]))
        except tf.errors.OpError:
            return False
    return True
