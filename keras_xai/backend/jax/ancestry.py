"""The ancestry of a value in a jaxpr: the operations behind it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_xai.backend.ancestry import NOT_OF_SAMPLES, OUT_OF_REACH, UNKNOWN, Kind, Step, with_ancestors
from keras_xai.backend.jax.jaxprs import FlatJaxpr, Value
from keras_xai.records import Link

# What operations do with the values of their first input.
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        ("convert_element_type", "copy", "copy_p", "name", "optimization_barrier", "reduce_precision", "stop_gradient"),
        "same",
    ),
    **dict.fromkeys(("expand_dims", "reshape", "squeeze"), "reshape"),
    "transpose": "transpose",
    "pad": "pad",
    **dict.fromkeys(("reduce_max", "reduce_window_max"), "pool"),
    **dict.fromkeys(
        ("elu", "leaky_relu", "logistic", "relu", "relu6", "selu", "softmax", "softplus", "tanh"), "function"
    ),
}
_FUNCTIONS = {"leaky_relu": "leakyrelu", "logistic": "sigmoid"}  # that are called otherwise above the frameworks
_SUMS = ("reduce_sum", "reduce_window_sum")
_LINKS: dict[str, Link] = {"softmax": "softmax", "sigmoid": "sigmoid"}


class JaxprAncestry:
    """The operations of a jaxpr; see `Ancestry`. A node is a `Value`.

    Args:
        jaxpr: of the pass.
        values: pairs of a tensor, as the traced function handled it, and its value in the jaxpr.
        vary: True for each input that differs between the samples; None for all.
    """

    def __init__(
        self, jaxpr: FlatJaxpr, values: Iterable[tuple[Any, Value]] = (), vary: Sequence[bool] | None = None
    ) -> None:
        self._jaxpr, self._vary = jaxpr, vary
        # With the tensors, so that no other gets the id of one.
        self._values = {id(tensor): (tensor, value) for tensor, value in values}

    def node(self, tensor: Any) -> Value:
        """See `Ancestry`."""
        if id(tensor) not in self._values:
            self._values[id(tensor)] = tensor, Value(None)
        return self._values[id(tensor)][1]

    def step(self, node: Any) -> Step:
        """See `Ancestry`."""
        return step_behind(node)

    def sources(self, node: Any) -> Sequence[Value]:
        """See `Ancestry`."""
        sources: Sequence[Value] = () if node.maker is None else node.maker.inputs
        return sources

    def is_dense(self, value: object) -> bool:
        """See `Ancestry`."""
        return isinstance(value, jax.Array)

    def problem(self, tensor: Any) -> str:
        """See `Ancestry`. What the jaxpr does not have lies in the jaxpr of a loop or a branch."""
        if not isinstance(tensor, jax.core.Tracer):
            return NOT_OF_SAMPLES
        value = self.node(tensor)
        if value.aval is None:
            return OUT_OF_REACH
        return "" if value in self._behind_inputs else NOT_OF_SAMPLES

    def varies(self, tensor: Any) -> bool:
        """See `Ancestry`."""
        return self.node(tensor) in self._varying

    @functools.cached_property
    def _behind_inputs(self) -> set[Value]:
        """The values that are computed from the inputs."""
        values = set(self._jaxpr.inputs)
        for operation in self._jaxpr.operations:
            if any(source in values for source in operation.inputs):
                values.update(operation.outputs)
        return values

    @functools.cached_property
    def _varying(self) -> set[Value]:
        """The values that inputs that vary lead to."""
        values = {value for k, value in enumerate(self._jaxpr.inputs) if self._vary is None or self._vary[k]}
        for operation in self._jaxpr.operations:
            if any(source in values for source in operation.inputs):
                values.update(output for output in operation.outputs if output.aval.dtype != jnp.bool_)
        return values


def step_behind(value: Value) -> Step:
    """Return the operation that made a value; see `Ancestry`."""
    operation = value.maker
    if operation is None:
        return UNKNOWN
    if operation.kind == "div":
        return _quotient(value)
    if operation.kind == "broadcast_in_dim" and operation.inputs[0].aval.size == value.aval.size:
        return Step("reshape", operation.inputs[0])
    kind = _KINDS.get(operation.kind, "")
    if not kind:
        return UNKNOWN
    name = _FUNCTIONS.get(operation.kind, operation.kind) if kind == "function" else ""
    return Step(kind, operation.inputs[operation.outputs.index(value) if kind == "same" else 0], name)


def link_of(jaxpr: FlatJaxpr, outputs: Value) -> tuple[Link, Value]:
    """Return the link between scores and a model's outputs, and the scores: the outputs where there is no link."""
    step = step_behind(_before_same(outputs))
    link, source = _LINKS.get(step.function), step.source
    if link is None or not isinstance(source, Value) or not jaxpr.can_return(source):
        return "", outputs
    return link, source


def depends_on(jaxpr: FlatJaxpr, value: Value, source: Value) -> bool:
    """Return True where a value is computed from another one."""
    return source in with_ancestors([value], JaxprAncestry(jaxpr))


def _quotient(value: Value) -> Step:
    """A softmax, which is exp z / Σ exp z, or a mean, which is a sum divided by a number."""
    assert value.maker is not None
    numerator, denominator = value.maker.inputs
    logits = _softmax_source(numerator, denominator)
    if logits is not None:
        return Step("function", logits, "softmax")
    total = _before_same(numerator).maker
    if total is not None and total.kind in _SUMS and _is_constant(denominator):
        return Step("pool", total.inputs[0])
    return UNKNOWN


def _softmax_source(numerator: Value, denominator: Value) -> Value | None:
    """Return z where a quotient is exp(z − max z) / Σ exp(z − max z) over the last axis, whoever wrote it; None otherwise."""
    power = _before_same(numerator)
    total = _before_spread(denominator)
    if power.maker is None or total.maker is None or power.maker.kind != "exp" or total.maker.kind != "reduce_sum":
        return None
    summed = total.maker.inputs[0]
    if _before_same(summed) is not power or tuple(total.maker.params["axes"]) != (len(summed.aval.shape) - 1,):
        return None
    exponent = power.maker.inputs[0]
    difference = _before_same(exponent).maker
    if difference is not None and difference.kind == "sub":
        source, shift = difference.inputs
        if _is_largest(shift, source):
            return source
    return exponent


def _is_largest(shift: Value, source: Value) -> bool:
    """Return True where `shift` is the largest entry of each row of `source`, which a softmax subtracts for numbers in range."""
    current = _before_spread(shift)
    while current.maker is not None and current.maker.kind == "max":  # with −∞, which is the largest of nothing
        current = _before_spread(current.maker.inputs[-1])
    if current.maker is None or current.maker.kind != "reduce_max":
        return False
    return _before_same(current.maker.inputs[0]) is _before_same(source)


def _before_same(value: Value) -> Value:
    """Return the value that a value is, before operations that hand it on as it is."""
    step = step_behind(value)
    while step.kind == "same":
        value = step.source  # type: ignore[assignment]
        step = step_behind(value)
    return value


def _before_spread(value: Value) -> Value:
    """Return the numbers that a value repeats along an axis."""
    while value.maker is not None and (
        value.maker.kind == "broadcast_in_dim" or step_behind(value).kind in ("same", "reshape")
    ):
        value = value.maker.inputs[0]
    return value


def _is_constant(value: Value) -> bool:
    """Return True where no input leads to a value."""
    pending = [value]
    while pending:
        current = pending.pop()
        if current.maker is None and current.constant is None:
            return False
        pending += () if current.maker is None else current.maker.inputs
    return True
