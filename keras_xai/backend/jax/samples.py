"""The axis of a value along which the samples lie."""

from __future__ import annotations

from collections.abc import Sequence

from keras_xai.backend.jax.jaxprs import FlatJaxpr, Operation, Value

_REDUCTIONS = ("reduce_max", "reduce_sum")


def mixing_operations(jaxpr: FlatJaxpr, path: Sequence[Operation]) -> set[Operation]:
    """Return the operations of a path after which the samples no longer lie along one axis.

    In the inputs it is the first one. Products and transpositions put it elsewhere, as those of `einsum`; most other operations
    want it in front.
    """
    axes: dict[Value, int | None] = dict.fromkeys(jaxpr.inputs, 0)
    mixing = set()
    for operation in path:
        axis = _axis_of_result(operation, axes)
        axes.update(dict.fromkeys(operation.outputs, axis))
        if axis is None and all(axes.get(value, 0) is not None for value in operation.inputs):
            mixing.add(operation)
    return mixing


def _axis_of_result(operation: Operation, axes: dict[Value, int | None]) -> int | None:
    sources = [(k, axes[value]) for k, value in enumerate(operation.inputs) if value in axes]
    if operation.kind == "dot_general" and len(sources) == 2:
        return _axis_of_two(operation, [axis for _, axis in sources])
    before = {axis for _, axis in sources}
    if len(before) != 1 or None in before:
        return None
    number, axis = sources[0]
    assert axis is not None
    if operation.kind == "transpose":
        order: tuple[int, ...] = operation.params["permutation"]
        return order.index(axis)
    if operation.kind == "dot_general":
        return _axis_of_product(operation, number, axis)
    if operation.kind == "broadcast_in_dim":
        return int(operation.params["broadcast_dimensions"][axis])
    removed = operation.params.get("axes", ()) if operation.kind in _REDUCTIONS else ()
    if removed:
        return None if axis in removed else axis - sum(other < axis for other in removed)
    shapes = {value.aval.shape for value in operation.outputs} | {operation.inputs[number].aval.shape}
    return axis if axis == 0 or len(shapes) == 1 else None


def _axis_of_two(operation: Operation, axes: Sequence[int | None]) -> int | None:
    """Return the axis of a product of two that have samples; None where one sample meets another."""
    _, batched = operation.params["dimension_numbers"]
    places = []
    for axes_of_factor, axis in zip(batched, axes, strict=True):
        places.append(list(axes_of_factor).index(axis) if axis in axes_of_factor else None)
    return places[0] if places[0] == places[1] else None


def _axis_of_product(operation: Operation, number: int, axis: int) -> int | None:
    """Return the axis of a product where an axis of one of its factors goes; None where it is summed over."""
    contracted, batched = operation.params["dimension_numbers"]
    if axis in contracted[number]:
        return None
    if axis in batched[number]:
        return int(batched[number].index(axis))
    first = len(batched[0])
    if number == 1:
        first += operation.inputs[0].aval.ndim - len(batched[0]) - len(contracted[0])
    remaining = [
        k for k in range(operation.inputs[number].aval.ndim) if k not in (*contracted[number], *batched[number])
    ]
    return first + remaining.index(axis)
