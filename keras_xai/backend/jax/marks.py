"""Marks on the outputs of layers, which are found again in the jaxpr of whatever runs the layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
from jax.ad_checkpoint import checkpoint_name

from keras_xai.backend.jax.jaxprs import FlatJaxpr, Value

_MARK = "keras_xai output of layer "


class Mark(NamedTuple):
    """A marked value of a jaxpr."""

    number: int  # of the layer
    value: Value


def mark(output: Any, number: int) -> Any:
    """Return the output of a layer, marked with the layer's number; as it is where it is no tensor."""
    return checkpoint_name(output, f"{_MARK}{number}") if isinstance(output, jax.Array) else output


def with_added_at_marks(jaxpr: FlatJaxpr) -> tuple[FlatJaxpr, list[Mark]]:
    """Return the same function with more inputs, one for each mark outside of loops, which is added to the marked value.

    The gradient with respect to such an input, at zero, is that with respect to the value.
    """
    marked, added, equations = [], [], []
    for equation in jaxpr.closed.jaxpr.eqns:
        name = str(equation.params.get("name", "")) if equation.primitive.name == "name" else ""
        if not name.startswith(_MARK):
            equations.append(equation)
            continue
        (source,) = equation.invars
        shape = jax.ShapeDtypeStruct(source.aval.shape, source.aval.dtype)
        sum_of_two = jax.make_jaxpr(lambda a, b: a + b)(shape, shape).jaxpr
        (addition,), (_, variable) = sum_of_two.eqns, sum_of_two.invars
        marked.append((int(name.removeprefix(_MARK)), source))
        added.append(variable)
        equations.append(addition.replace(invars=[source, variable], outvars=equation.outvars))
    inner = jaxpr.closed.jaxpr
    rewritten = inner.replace(
        invars=[*inner.invars, *added],
        eqns=equations,
    )
    flat = FlatJaxpr(jex.ClosedJaxpr(rewritten, jaxpr.closed.consts))
    return flat, [Mark(number, flat.value_of(source)) for number, source in marked]
