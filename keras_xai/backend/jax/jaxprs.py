"""A function as a jaxpr, and what made each of its values.

JAX's arrays do not know what made them: the function that makes them is traced, looked at, and run from its jaxpr. Calls of
jitted functions are laid flat, except those whose name says what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.extend.core as jex

from keras_xai.backend.jax.scopes import inner_scope

# Calls of a function with a jaxpr of its own, by the parameter that has it.
_CALLS = {
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "jit": "jaxpr",
    "pjit": "jaxpr",
}
# Functions of `jax.nn` by the names of their calls: each is one operation, whatever it is made of.
NAMED_FUNCTIONS = frozenset(
    ("celu", "elu", "leaky_relu", "log_softmax", "relu", "relu6", "selu", "softmax", "softplus", "squareplus")
)


@dataclass(eq=False)
class Value:
    """A value of a jaxpr."""

    aval: Any  # its shape and dtype; None for a value of another jaxpr
    maker: Operation | None = None  # None for an input or a constant
    constant: Any = None  # the array, of a constant


@dataclass(eq=False)
class Operation:
    """One equation of a jaxpr, or a call of a function that has a name."""

    kind: str  # the name of the primitive or of the function
    equation: jex.JaxprEqn
    inputs: list[Value]
    outputs: list[Value] = field(default_factory=list)
    around: str = ""  # the scopes of the calls that it is in

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        return self.equation.params

    @property
    def place(self) -> str:
        """The names of the scopes, layers among them, in which it was made; "" where there are none."""
        return _joined(self.around, self.equation)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Return its outputs for other inputs."""
        primitive = self.equation.primitive
        bound = primitive.get_bind_params(self.params)
        functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a pair up to JAX 0.6
        outputs = primitive.bind(*functions, *inputs, **params)
        return list(outputs) if primitive.multiple_results else [outputs]


class FlatJaxpr:
    """The operations of a jaxpr in their order, those of the calls in it included."""

    def __init__(self, closed: jex.ClosedJaxpr) -> None:
        self.closed = closed
        self.operations: list[Operation] = []
        self.inputs = [Value(variable.aval) for variable in closed.jaxpr.invars]
        self._outermost: dict[Value, Any] = {}  # the variable or literal of a value outside of all calls
        values: dict[Any, Value] = dict(zip(closed.jaxpr.invars, self.inputs, strict=True))
        self._lay(closed, values)
        self.outputs = [self._value(values, atom) for atom in closed.jaxpr.outvars]
        self._outermost.update({value: variable for variable, value in values.items()})
        self._values = values

    def value_of(self, atom: Any) -> Value:
        """Return the value of a variable of the jaxpr, outside of all calls."""
        return self._value(self._values, atom)

    def can_return(self, value: Value) -> bool:
        """Return True for a value that is made outside of all calls."""
        return value in self._outermost

    def run(self, inputs: Sequence[Any], values: Iterable[Value]) -> list[Any]:
        """Run the function on its inputs, and return some of its values."""
        outputs = [self._outermost[value] for value in values]
        closed = jex.ClosedJaxpr(self.closed.jaxpr.replace(outvars=outputs), self.closed.consts)
        return list(jex.jaxpr_as_fun(closed)(*inputs))

    def evaluate(self, inputs: Sequence[Any]) -> dict[Value, Any]:
        """Run the operations on inputs of the same shapes, and return all values."""
        arrays = dict(zip(self.inputs, inputs, strict=True))

        def array(value: Value) -> Any:
            if value not in arrays:
                arrays[value] = value.constant
            return arrays[value]

        for operation in self.operations:
            results = operation.run([array(value) for value in operation.inputs])
            arrays.update(zip(operation.outputs, results, strict=True))
        for value in self.outputs:
            array(value)
        return arrays

    def _lay(self, closed: jex.ClosedJaxpr, values: dict[Any, Value], around: str = "") -> None:
        """Append the operations of a jaxpr; `values` has those of its inputs, and gets all others.

        Args:
            closed: the jaxpr.
            values: by variable.
            around: the scopes in which it is called.
        """
        for variable, constant in zip(closed.jaxpr.constvars, closed.consts, strict=True):
            values[variable] = Value(variable.aval, constant=constant)
        for equation in closed.jaxpr.eqns:
            inputs = [self._value(values, atom) for atom in equation.invars]
            inner = _called(equation)
            name = _function_name(equation)
            if inner is None or name in NAMED_FUNCTIONS:
                kind = name if name in NAMED_FUNCTIONS else equation.primitive.name
                operation = Operation(kind, equation, inputs, around=around)
                operation.outputs = [Value(variable.aval, operation) for variable in equation.outvars]
                self.operations.append(operation)
                outputs = operation.outputs
            else:
                of_call = dict(zip(inner.jaxpr.invars, inputs, strict=True))
                self._lay(inner, of_call, _joined(around, equation))
                outputs = [self._value(of_call, atom) for atom in inner.jaxpr.outvars]
            values.update(zip(equation.outvars, outputs, strict=True))

    def _value(self, values: dict[Any, Value], atom: Any) -> Value:
        if not isinstance(atom, jex.Literal):
            return values[atom]
        value = Value(atom.aval, constant=atom.val)
        self._outermost[value] = atom  # a literal can be returned from anywhere
        return value


def trace(function: Callable[..., Any], inputs: Sequence[Any]) -> FlatJaxpr:
    """Trace `function(*inputs)`, which returns a tree of arrays; what it assigns to variables stays in the trace."""

    def scoped(*arguments: Any) -> Any:
        with inner_scope():
            return function(*arguments)

    return FlatJaxpr(jax.make_jaxpr(scoped)(*inputs))


def _joined(around: str, equation: jex.JaxprEqn) -> str:
    """Return the scopes of an equation, those around it in front."""
    return "/".join(filter(None, (around, str(equation.source_info.name_stack))))


def _called(equation: jex.JaxprEqn) -> jex.ClosedJaxpr | None:
    """Return the jaxpr of the function that an equation calls, None for any other operation."""
    parameter = _CALLS.get(equation.primitive.name)
    return None if parameter is None else equation.params[parameter]


def _function_name(equation: jex.JaxprEqn) -> str:
    """Return the name of the function that an equation calls, "" where there is none."""
    names = list(_names(equation))
    return next((name for name in names if name in NAMED_FUNCTIONS), "")


def _names(equation: jex.JaxprEqn) -> Iterator[str]:
    """Yield the names under which a call is known: its own, and that of the only call inside it."""
    if "name" in equation.params:
        yield str(equation.params["name"]).lstrip("_")
    inner = _called(equation)
    if inner is not None and len(inner.jaxpr.eqns) == 1 and _called(inner.jaxpr.eqns[0]) is not None:
        yield from _names(inner.jaxpr.eqns[0])
