"""DeepLIFT's multipliers: how each operation hands a difference from the baseline back to its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_xai.backend.deeplift import DeepLiftWalk, divided
from keras_xai.backend.jax.jaxprs import FlatJaxpr, Operation, Value
from keras_xai.backend.jax.samples import mixing_operations
from keras_xai.backend.jax.tape import JaxprTape, traced_scores
from keras_xai.backend.protocol import Multipliers, TargetScores
from keras_xai.backend.tape import Key, Path, Step, path_of
from keras_xai.backend.walk import add_to

_NARROW_CHANGE = 1e-5  # so small beside its values that their difference is rounding
_SMALL_STEP = 2.0**-21  # some steps of single precision
_SMALLEST_BASE = 1e-30

Arrays = dict[Value, Any]


def deeplift_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    baseline: Sequence[Any],
    target: TargetScores,
    shared_baseline: bool = False,
) -> Multipliers:
    """See `Backend`.

    The operations are run on the samples and on their baselines. Then they are walked backwards; each hands its multiplier on to
    its inputs, as a gradient of the samples alone would. Where all baselines are one and the same, one row stands for them, if a
    single row stands beside n all the way.
    """
    traced = traced_scores(scores, inputs)
    jaxpr, final = traced.jaxpr, traced.final
    values = jaxpr.evaluate(inputs)
    tape = JaxprTape(jaxpr, final, values)
    path = path_of(tape)
    operations = [step.operation for step in path.steps]
    bases = None
    if shared_baseline and inputs[0].shape[0] > 1:
        rows = [b[:1] for b in baseline]
        with contextlib.suppress(Exception):  # of a model, or an output of the user's, that takes no single row
            bases = _beside(jaxpr, traced_scores(scores, rows).jaxpr, rows)
    if bases is None or not all(_stands_beside(operation, values, bases) for operation in operations):
        bases = jaxpr.evaluate(baseline)
    walk = _DeepLift(tape, path, bases, mixing_operations(jaxpr, operations))
    multipliers = walk.multipliers(target.weights(values[final]))
    start = jnp.broadcast_to(bases[final], values[final].shape)
    aux = traced.template.filled([values[value] for value in traced.aux])
    return Multipliers(target.select(values[final]), target.select(start), multipliers, aux)


def _beside(jaxpr: FlatJaxpr, other: FlatJaxpr, inputs: Sequence[Any]) -> Arrays | None:
    """The values of another jaxpr for its inputs, by those values of `jaxpr` that they belong to; None where the two are not the
    same operations."""
    if [operation.kind for operation in jaxpr.operations] != [operation.kind for operation in other.operations]:
        return None
    arrays = other.evaluate(inputs)
    bases = {value: arrays[twin] for value, twin in zip(jaxpr.inputs, other.inputs, strict=True)}
    for operation, of_other in zip(jaxpr.operations, other.operations, strict=True):
        pairs = zip((*operation.inputs, *operation.outputs), (*of_other.inputs, *of_other.outputs), strict=True)
        bases.update((value, arrays[twin]) for value, twin in pairs)
    return bases


def _stands_beside(operation: Operation, values: Arrays, bases: Arrays) -> bool:
    """True where what there is of one baseline goes with each of the samples: they lie along the first axis, alone.

    Windows that overlap ask for as many baselines as samples: which of them an entry has lost is then no product.
    """
    pairs = [(np.shape(values[v]), np.shape(bases[v])) for v in (*operation.inputs, *operation.outputs)]
    meet = sum(a != b for a, b in pairs[: len(operation.inputs)]) > 1
    kinds = JaxprTape.kinds
    is_winner = operation.kind in kinds.winner
    is_alone = is_winner or operation.kind in kinds.entrywise | kinds.softmax | kinds.log_softmax
    if not is_alone and not (meet and operation.kind in kinds.meeting | kinds.bilinear | kinds.squares):
        return True
    moved = [(a, b) for a, b in pairs if a != b]
    row_beside_rows = all(b == (1, *a[1:]) for a, b in moved)
    return row_beside_rows and bool(moved) and (not is_winner or _tiles(operation))


def _tiles(operation: Operation) -> bool:
    """True where a pooling's windows cover its input without overlap."""
    if operation.kind == "reduce_max":
        return False
    size, shape = operation.params["window_dimensions"], operation.inputs[0].aval.shape
    is_plain = all(sides == (0, 0) for sides in operation.params["padding"])
    is_whole = all(d % k == 0 for d, k in zip(shape, size, strict=True))
    return bool(size == operation.params["window_strides"] and is_plain and is_whole)


class _DeepLift(DeepLiftWalk):
    """The rules of activations and maxima.

    Args:
        tape: the operations behind the samples' scores.
        path: those that change with the samples.
        bases: the arrays of the baselines.
        mixing: the operations after which samples are not apart.
    """

    def __init__(self, tape: JaxprTape, path: Path, bases: Arrays, mixing: set[Operation]) -> None:
        super().__init__(tape, path)
        self.bases.update(bases)
        self._mixing = mixing

    def follows(self, step: Step) -> bool:
        return step.operation not in self._mixing

    def through_activation(self, y: Key, z: Key, between: list[Step]) -> None:
        if [step.kind for step in between] == ["relu"]:
            self._back_through_relu(y, z)
        else:
            self._back_by_slope(y, z, lambda x: self._again(between, z, x))

    def through_maximum(self, step: Step, source: int) -> None:
        self._back_to_winner(step.operation, step.outputs[0], step.inputs[source])

    def _back_by_slope(self, y: Key, z: Key, function: Callable[[Any], Any]) -> None:
        """Through an entrywise function: its slope between the baseline and the sample, at the sample where they are one."""
        above, x, base = self.multiplier(y), self.tape.value(z), self.bases[z]
        change = x - base
        is_wide = jnp.abs(change) > _NARROW_CHANGE * jnp.maximum(jnp.abs(x), 1.0)
        _, pullback = jax.vjp(function, x)
        (narrow,) = pullback(above.astype(self.tape.value(y).dtype))
        wide = divided(above * (self.tape.value(y) - self.bases[y]), change)
        self.add(z, jnp.where(is_wide, wide, narrow).astype(x.dtype))

    def _back_through_relu(self, y: Key, z: Key) -> None:
        """The same for a rectifier, without rounding on one side of zero, so that nothing has to be chosen entry by entry.

        The baseline moves by a little, which changes the slope across zero by as much. Where sample and baseline are one, as
        wherever both are black, that makes it what it is at the sample.
        """
        wide = jnp.float32
        base = self.bases[z].astype(wide)
        moved = base - _SMALL_STEP * jnp.maximum(jnp.abs(base), _SMALLEST_BASE)
        above, contribution = self.own_multiplier(y), self.contributions.get(y)
        handed = jnp.zeros((), wide) if contribution is None else contribution.astype(wide)
        if above is not None:
            handed = handed + above.astype(wide) * (self.tape.value(y).astype(wide) - jnp.maximum(moved, 0))
        self.add(z, divided(handed, self.tape.value(z).astype(wide) - moved).astype(self.tape.value(z).dtype))

    def _back_to_winner(self, operation: Operation, y: Key, z: Key) -> None:
        """The contribution of each entry of a maximum's windows: a gain where the sample's is, a loss where the base's was."""
        above, largest, base_largest = self.multiplier(y), self.tape.value(y), self.bases[y]
        base = self.bases[z]

        def maximum(x: Any) -> Any:
            return operation.run([x, *(self.tape.value(value) for value in operation.inputs[1:])])[0]

        larger = jnp.maximum(largest, base_largest)
        (gained,) = jax.vjp(maximum, self.tape.value(z))[1](above * (larger - base_largest))
        losses = above * (largest - larger)
        if base_largest.shape == largest.shape:
            (lost,) = jax.vjp(maximum, base)[1](losses)
        else:
            (winners,) = jax.vjp(_of_one_row(operation), base)[1](jnp.ones_like(base_largest))  # one in each window
            for axis, size in enumerate(operation.params["window_dimensions"]):
                losses = losses if size == 1 else jnp.repeat(losses, size, axis)
            lost = losses * winners
        add_to(self.contributions, z, gained + lost)

    def _again(self, steps: list[Step], source: Key, array: Any) -> Any:
        """The result of some steps, in their order, with another array in the place of a value."""
        arrays = {source: array}
        for step in steps:
            results = step.operation.run([arrays.get(key, self.tape.value(key)) for key in step.inputs])
            arrays.update(zip(step.outputs, results, strict=True))
        return arrays[steps[-1].outputs[0]]


def _of_one_row(operation: Operation) -> Callable[[Any], Any]:
    """The maximum over windows, of one row."""
    params = operation.params

    def maximum(x: Any) -> Any:
        lowest = np.array(-np.inf, x.dtype)  # not of JAX: it is to know that this is a maximum
        return jax.lax.reduce_window(
            x, lowest, jax.lax.max, params["window_dimensions"], params["window_strides"], params["padding"]
        )

    return maximum
