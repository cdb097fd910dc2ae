"""DeepLIFT's multipliers: how each operation hands a difference from the baseline back to its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_xai.backend.ancestry import with_ancestors
from keras_xai.backend.jax.ancestry import JaxprAncestry
from keras_xai.backend.jax.autodiff import is_floating
from keras_xai.backend.jax.jaxprs import FlatJaxpr, Operation, Value, trace
from keras_xai.backend.jax.samples import mixing_operations
from keras_xai.backend.protocol import Multipliers, NoRule, TargetScores
from keras_xai.backend.results import Template


def _kinds(names: str) -> list[str]:
    return names.split()


# Linear operations hand a change back, in the inputs named, by their own gradient; entrywise ones by their slope between samples
# and baselines; a maximum to the entry that won.
_LINEAR = {
    **dict.fromkeys(_kinds("add add_any concatenate sub"), "all"),
    **dict.fromkeys(_kinds("conv_general_dilated dot_general mul"), "one"),
    **dict.fromkeys(
        _kinds(
            "broadcast_in_dim convert_element_type copy copy_p cumsum div dynamic_slice expand_dims gather name neg "
            "optimization_barrier pad reduce_precision reduce_sum reduce_window_sum reshape rev slice split squeeze transpose"
        ),
        "first",
    ),
    "select_n": "chosen from",  # by a condition that does not move, such as a mask
}
_ENTRYWISE = frozenset(
    _kinds(
        "abs acos acosh asin asinh atan atanh cbrt celu clamp cos cosh elu erf erf_inv erfc exp exp2 expm1 integer_pow "
        "leaky_relu log log1p logistic max min pow relu relu6 rsqrt selu sign sin sinh softplus sqrt square squareplus tan tanh"
    )
)
# What stands between the ends of an activation that is written as several operations, as silu is x · sigmoid(x): each entry goes
# its own way.
_BY_ENTRY = _ENTRYWISE | frozenset(
    _kinds(
        "add add_any and convert_element_type copy copy_p div eq ge gt le lt mul name ne neg not or select_n sub xor"
    )
)
_WINNER = frozenset(_kinds("reduce_max reduce_window_max"))
# And where several of its operations meet.
_MEETING = frozenset(_kinds("div max min mul pow select_n"))
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
    templates: list[Template] = []

    def flattened(*z: Any) -> list[Any]:
        final, aux = scores(list(z))
        templates.append(Template(aux, lambda value: isinstance(value, jax.Array)))
        return [final, *templates[-1].forget()]

    jaxpr = trace(flattened, inputs)
    final, *aux = jaxpr.outputs
    values = jaxpr.evaluate(inputs)
    result = templates[-1].filled([values[value] for value in aux])
    path = _path(jaxpr, final)
    bases = None
    if shared_baseline and inputs[0].shape[0] > 1:
        with contextlib.suppress(Exception):  # of a model, or an output of the user's, that takes no single row
            bases = _beside(jaxpr, trace(flattened, [b[:1] for b in baseline]), [b[:1] for b in baseline])
    if bases is None or not all(_stands_beside(operation, values, bases) for operation in path):
        bases = jaxpr.evaluate(baseline)
    walk = _Walk(jaxpr, path, values, bases)
    walk.add(final, target.weights(values[final]))
    for operation in reversed(path):
        if any(walk.is_reached(value) for value in operation.outputs):
            walk.back(operation)
    start = jnp.broadcast_to(bases[final], values[final].shape)
    multipliers = [walk.multiplier(value) for value in jaxpr.inputs]
    return Multipliers(target.select(values[final]), target.select(start), multipliers, result)


def _path(jaxpr: FlatJaxpr, final: Value) -> list[Operation]:
    """The operations that lead from the floating inputs to the scores, in order."""
    changing, path = {value for value in jaxpr.inputs if is_floating(value.aval)}, []
    before = with_ancestors([final], JaxprAncestry(jaxpr))
    for operation in jaxpr.operations:
        leads_on = any(value in before for value in operation.outputs)
        if leads_on and any(value in changing for value in operation.inputs):
            changing.update(operation.outputs)
            path.append(operation)
    return path


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
    if operation.kind not in _ENTRYWISE | _WINNER and not (meet and operation.kind in _MEETING):
        return True
    moved = [(a, b) for a, b in pairs if a != b]
    row_beside_rows = all(b == (1, *a[1:]) for a, b in moved)
    return row_beside_rows and bool(moved) and (operation.kind not in _WINNER or _tiles(operation))


def _tiles(operation: Operation) -> bool:
    """True where a pooling's windows cover its input without overlap."""
    if operation.kind == "reduce_max":
        return False
    size, shape = operation.params["window_dimensions"], operation.inputs[0].aval.shape
    is_plain = all(sides == (0, 0) for sides in operation.params["padding"])
    is_whole = all(d % k == 0 for d, k in zip(shape, size, strict=True))
    return bool(size == operation.params["window_strides"] and is_plain and is_whole)


class _Walk:
    """From the score back to the inputs: what each value has been handed, and what it hands on.

    A multiplier, and where a maximum lies above a contribution, that is the multiplier times the change: a rectifier below takes
    it as it is, the others divide.
    """

    def __init__(self, jaxpr: FlatJaxpr, path: list[Operation], values: Arrays, bases: Arrays) -> None:
        self._values, self._bases = values, bases
        self._order = {operation: k for k, operation in enumerate(path)}
        self._changing = {value for operation in path for value in operation.outputs}
        self._changing |= {value for value in jaxpr.inputs if is_floating(value.aval)}
        self._mixing = mixing_operations(jaxpr, path)
        self._multipliers: Arrays = {}
        self._contributions: Arrays = {}

    def add(self, value: Value, multiplier: Any) -> None:
        """Hand one more multiplier to a value."""
        _add(self._multipliers, value, multiplier)

    def is_reached(self, value: Value) -> bool:
        """True where anything has been handed to it."""
        return value in self._multipliers or value in self._contributions

    def multiplier(self, value: Value) -> Any:
        """All that has been handed to a value; None for nothing."""
        multiplier, contribution = self._multipliers.get(value), self._contributions.get(value)
        if contribution is None:
            return multiplier
        of_contribution = _divided(contribution, self._values[value] - self._bases[value])
        return of_contribution if multiplier is None else multiplier + of_contribution

    def back(self, operation: Operation) -> None:
        """Hand on to an operation's changing inputs what its outputs have.

        Raises:
            NoRule: no rule says how; the operation and the layer.
        """
        kind = operation.kind
        numbers = [k for k, value in enumerate(operation.inputs) if value in self._changing]
        if kind in _LINEAR and self._is_linear(operation, numbers):
            self._back_by_gradient(operation, numbers)
            return
        activation = self._activation(operation, numbers) if kind in _MEETING else None
        if activation is not None:
            source, between = activation
            self._back_by_slope(operation.outputs[0], source, lambda z: self._again(between, source, z))
            return
        if kind not in _ENTRYWISE | _WINNER or len(numbers) > 1 or operation in self._mixing:
            raise NoRule(f"the operation {kind}" + (f" in {operation.place!r}" if operation.place else ""))
        (y,), z = operation.outputs, operation.inputs[numbers[0]]
        if kind == "relu":
            self._back_through_relu(y, z)
        elif kind in _WINNER:
            self._back_to_winner(operation, y, z)
        else:
            self._back_by_slope(y, z, lambda x: self._again([operation], z, x))

    def _is_linear(self, operation: Operation, numbers: list[int]) -> bool:
        """True where an operation is linear in those of its inputs that change, and keeps the samples apart."""
        which = _LINEAR[operation.kind]
        values = [*(operation.inputs[k] for k in numbers), *operation.outputs]
        if not all(is_floating(value.aval) for value in values) or operation in self._mixing:
            return False
        if which == "all":
            return True
        if which == "chosen from":
            return 0 not in numbers
        return len(numbers) == 1 and (which == "one" or numbers == [0])

    def _back_by_gradient(self, operation: Operation, numbers: list[int]) -> None:
        def function(*changing: Any) -> list[Any]:
            inputs = [self._values[value] for value in operation.inputs]
            for k, array in zip(numbers, changing, strict=True):
                inputs[k] = array
            return operation.run(inputs)

        _, pullback = jax.vjp(function, *[self._values[operation.inputs[k]] for k in numbers])
        above = []
        for value in operation.outputs:
            handed = self.multiplier(value)
            above.append(
                jnp.zeros(value.aval.shape, value.aval.dtype) if handed is None else handed.astype(value.aval.dtype)
            )
        for k, multiplier in zip(numbers, pullback(above), strict=True):
            self.add(operation.inputs[k], multiplier)

    def _back_by_slope(self, y: Value, z: Value, function: Callable[[Any], Any]) -> None:
        """Through an entrywise function: its slope between the baseline and the sample, at the sample where they are one."""
        above, x, base = self.multiplier(y), self._values[z], self._bases[z]
        change = x - base
        is_wide = jnp.abs(change) > _NARROW_CHANGE * jnp.maximum(jnp.abs(x), 1.0)
        _, pullback = jax.vjp(function, x)
        (narrow,) = pullback(above.astype(y.aval.dtype))
        wide = _divided(above * (self._values[y] - self._bases[y]), change)
        self.add(z, jnp.where(is_wide, wide, narrow).astype(x.dtype))

    def _back_through_relu(self, y: Value, z: Value) -> None:
        """The same for a rectifier, without rounding on one side of zero, so that nothing has to be chosen entry by entry.

        The baseline moves by a little, which changes the slope across zero by as much. Where sample and baseline are one, as
        wherever both are black, that makes it what it is at the sample.
        """
        wide = jnp.float32
        base = self._bases[z].astype(wide)
        moved = base - _SMALL_STEP * jnp.maximum(jnp.abs(base), _SMALLEST_BASE)
        above, contribution = self._multipliers.get(y), self._contributions.get(y)
        handed = jnp.zeros((), wide) if contribution is None else contribution.astype(wide)
        if above is not None:
            handed = handed + above.astype(wide) * (self._values[y].astype(wide) - jnp.maximum(moved, 0))
        self.add(z, _divided(handed, self._values[z].astype(wide) - moved).astype(z.aval.dtype))

    def _back_to_winner(self, operation: Operation, y: Value, z: Value) -> None:
        """The contribution of each entry of a maximum's windows: a gain where the sample's is, a loss where the base's was."""
        above, largest, base_largest = self.multiplier(y), self._values[y], self._bases[y]
        base = self._bases[z]

        def maximum(x: Any) -> Any:
            return operation.run([x, *(self._values[value] for value in operation.inputs[1:])])[0]

        larger = jnp.maximum(largest, base_largest)
        (gained,) = jax.vjp(maximum, self._values[z])[1](above * (larger - base_largest))
        losses = above * (largest - larger)
        if base_largest.shape == largest.shape:
            (lost,) = jax.vjp(maximum, base)[1](losses)
        else:
            (winners,) = jax.vjp(_of_one_row(operation), base)[1](jnp.ones_like(base_largest))  # one in each window
            for axis, size in enumerate(operation.params["window_dimensions"]):
                losses = losses if size == 1 else jnp.repeat(losses, size, axis)
            lost = losses * winners
        _add(self._contributions, z, gained + lost)

    def _again(self, operations: list[Operation], source: Value, array: Any) -> Any:
        """The result of some operations, in their order, with another array in the place of a value."""
        arrays = {source: array}
        for operation in operations:
            results = operation.run([arrays.get(value, self._values[value]) for value in operation.inputs])
            arrays.update(zip(operation.outputs, results, strict=True))
        return arrays[operations[-1].outputs[0]]

    def _activation(self, operation: Operation, numbers: list[int]) -> tuple[Value, list[Operation]] | None:
        """The one value that all changing inputs of an operation are functions of entry by entry, and the operations from it on;
        None where there is none: a product of two activations."""
        shape, between = operation.outputs[0].aval.shape, [operation]
        open_ends = {operation.inputs[k] for k in numbers}
        while len(open_ends) > 1:
            value = max(open_ends, key=self._place)
            before = value.maker
            if before not in self._order or before.kind not in _BY_ENTRY or value.aval.shape != shape:
                return None
            open_ends.remove(value)
            open_ends.update(source for source in before.inputs if source in self._changing)
            between.append(before)
        (source,) = open_ends
        between.sort(key=lambda entry: self._order[entry])
        return (source, between) if source.aval.shape == shape and is_floating(source.aval) else None

    def _place(self, value: Value) -> int:
        """The place in the order of operations at which a value was made; −1 for an input."""
        return -1 if value.maker is None else self._order.get(value.maker, -1)


def _of_one_row(operation: Operation) -> Callable[[Any], Any]:
    """The maximum over windows, of one row."""
    params = operation.params

    def maximum(x: Any) -> Any:
        lowest = np.array(-np.inf, x.dtype)  # not of JAX: it is to know that this is a maximum
        return jax.lax.reduce_window(
            x, lowest, jax.lax.max, params["window_dimensions"], params["window_strides"], params["padding"]
        )

    return maximum


def _add(to: Arrays, key: Value, value: Any) -> None:
    to[key] = to[key] + value if key in to else value


def _divided(value: Any, by: Any) -> Any:
    """The quotient; 0 where the divisor is 0."""
    is_zero = by == 0
    return jnp.where(is_zero, 0, value / jnp.where(is_zero, 1, by))
