"""A function as one jaxpr for each shape of its arguments, run on the weights that the model has then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.building_time import building_time
from keras_xai.backend.jax.cpu_operations import with_fast_operations
from keras_xai.backend.jax.devices import replicated
from keras_xai.backend.jax.effects import lasting_effects
from keras_xai.backend.jax.scopes import VariableScope, current_values
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.results import Template
from keras_xai.errors import InvalidInput

_ATTEMPTS = 5  # to trace a function with all variables that it reads
FED_BYTES = 2**20  # of a constant from which on it is no part of the program


class Compiled:
    """A function as one compiled jaxpr for each shape of its arguments, run on the model's live weights.

    It is called with arrays or tensors, alone or in lists; what is neither is a constant of the jaxpr. Every variable of Keras
    that the function reads is fed: what is closed over would be a constant. What is assigned to a variable stays inside the
    trace, so that nothing has to be restored. Large constants are fed, too: they would be compiled.

    Args:
        function: of tensors; see `Program` for what it may return.
        model: whose Python code `function` runs while it is traced: what that code changes in Python is restored.
        variables: that the function reads, as far as they are known; by default those of the model.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        model: keras.Model | None = None,
        variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        self._function, self._model = function, model
        if variables is None:
            variables = model.variables if model is not None else []
        self._variables: list[keras.Variable] = list(variables)
        self._traces: dict[Any, _Trace] = {}
        self._built: set[int] = set()  # ids of traces that have run

    def __call__(self, *args: Any) -> Any:
        trace, tensors = self._traced(args)
        values = current_values(trace.variables, self._model)
        first = id(trace) not in self._built
        with building_time() if first else contextlib.nullcontext():
            results = trace.run(values, trace.constants, tensors)
        self._built.add(id(trace))
        return trace.result.filled(results)

    def trace(self, *args: Any) -> Any:
        """Return the facts of the trace for such arguments, and run nothing."""
        return self._traced(args)[0].result.facts()

    @property
    def traces(self) -> int:
        """The number of traces."""
        return len(self._traces)

    @property
    def has_side_effects(self) -> bool:
        """True where a call assigns to a variable: a dropout that is on in inference moves its seed."""
        return any(trace.writes for trace in self._traces.values())

    @property
    def lasting_effects(self) -> str:
        """See `Program`."""
        effects = [trace.lasting_effects for trace in self._traces.values() if trace.lasting_effects]
        return "; ".join(dict.fromkeys(effects))

    @property
    def jaxprs(self) -> list[jex.ClosedJaxpr]:
        """The traces, in order, as jaxprs."""
        return [trace.jaxpr for trace in self._traces.values()]

    def _traced(self, args: Any) -> tuple[_Trace, list[Any]]:
        leaves, tree = jax.tree.flatten(args)
        tensors = [_for_jax(value) for value in leaves if _is_array(value)]
        key = tree, tuple([(value.shape, value.dtype) if _is_array(value) else value for value in leaves])
        if key not in self._traces:
            places = [_GAP if _is_array(value) else value for value in leaves]
            with building_time(), python_state_kept(self._model):
                self._traces[key] = self._trace(lambda fed: jax.tree.unflatten(tree, _filled(places, fed)), tensors)
        return self._traces[key], tensors

    def _trace(self, arguments: Callable[[Sequence[Any]], Any], tensors: Sequence[Any]) -> _Trace:
        """Trace the function of the arguments that belong to tensors; again where it reads a variable that was not fed."""
        for _ in range(_ATTEMPTS):
            templates: list[Template] = []
            scopes: list[VariableScope] = []

            def flattened(values: list[Any], fed: list[Any], templates: Any = templates, scopes: Any = scopes) -> Any:
                scopes.append(VariableScope(zip(self._variables, values, strict=True)))
                with scopes[-1]:
                    result = self._function(*arguments(fed))
                templates.append(Template(result, is_tensor))
                return templates[-1].forget()

            values = current_values(self._variables, self._model)
            try:
                closed = jax.make_jaxpr(flattened)(values, list(tensors))
            except Exception as error:
                _remove_note(error)
                raise
            missing = scopes[-1].missing
            if not missing:
                return _compiled_trace(closed, self._variables, templates[-1], scopes[-1].writes)
            self._variables += missing.values()
        raise RuntimeError("The model creates new variables at each call.")


class _Trace(NamedTuple):
    """A function traced for some shapes."""

    run: Callable[..., list[Any]]  # of the variables' values, the constants and the tensors
    variables: list[keras.Variable]  # that it reads
    constants: list[Any]  # large ones
    result: Template
    writes: bool  # it assigns to a variable
    lasting_effects: str
    jaxpr: jex.ClosedJaxpr


_GAP = object()


def compiled(function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> Compiled:
    """See `Backend` and `Compiled`. JAX compiles with XLA whatever `jit` says."""
    return Compiled(function, model)


def _compiled_trace(
    closed: jex.ClosedJaxpr, variables: Sequence[keras.Variable], result: Template, writes: bool
) -> _Trace:
    """Compile a jaxpr, whose first arguments are the variables, as a function of what it uses of them."""
    jaxpr, count = closed.jaxpr, len(variables)
    if jax.default_backend() == "cpu":
        jaxpr = with_fast_operations(closed).jaxpr
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    is_read = [id(v) in used for v in jaxpr.invars[:count]]
    read = [v for v, is_one in zip(jaxpr.invars, is_read, strict=False) if is_one]
    jaxpr = jaxpr.replace(invars=[*read, *jaxpr.invars[count:]])
    is_large = [getattr(constant, "nbytes", 0) > FED_BYTES for constant in closed.consts]
    large = [constant for constant, is_one in zip(closed.consts, is_large, strict=True) if is_one]
    small = [None if is_one else constant for constant, is_one in zip(closed.consts, is_large, strict=True)]
    sharding = replicated()
    if sharding is not None:
        large = [jax.device_put(np.asarray(constant), sharding) for constant in large]

    def run(values: list[Any], constants: list[Any], tensors: list[Any]) -> list[Any]:
        fed = iter(constants)
        consts = [next(fed) if is_fed else constant for constant, is_fed in zip(small, is_large, strict=True)]
        return list(jex.jaxpr_as_fun(jex.ClosedJaxpr(jaxpr, consts))(*values, *tensors))

    return _Trace(
        run=jax.jit(run) if sharding is None else jax.jit(run, out_shardings=sharding),
        variables=[variable for variable, read in zip(variables, is_read, strict=True) if read],
        constants=large,
        result=result,
        writes=writes,
        lasting_effects=lasting_effects(closed),
        jaxpr=closed,
    )


def _filled(places: Sequence[Any], tensors: Sequence[Any]) -> list[Any]:
    """Return the leaves of arguments, with these tensors in the gaps."""
    remaining = iter(tensors)
    return [next(remaining) if place is _GAP else place for place in places]


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, jax.Array))


def is_tensor(value: Any) -> bool:
    """Return True for an array of JAX, a traced one included."""
    return isinstance(value, jax.Array)


def _for_jax(value: Any) -> Any:
    """Return an array in a dtype that JAX has.

    Raises:
        InvalidInput: it is text, or integers that do not fit.
    """
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind in "OSTU":
        raise InvalidInput(
            "JAX has no tensors of text. Put the layer that looks text up (StringLookup, TextVectorization) in front of "
            "the model, run it on the samples, and explain the model of numbers that it gives."
        )
    if value.dtype == np.float64:
        return value.astype(np.float32)
    if value.dtype in (np.int64, np.uint64) and not jax.config.jax_enable_x64:
        narrow = np.int32 if value.dtype == np.int64 else np.uint32
        if value.size and not (np.iinfo(narrow).min <= value.min() and value.max() <= np.iinfo(narrow).max):
            raise InvalidInput(
                f"Integers up to {int(value.max())} do not fit into JAX's 32 bits. Set JAX_ENABLE_X64=1 before JAX is imported."
            )
        return value.astype(narrow)
    return value


def constant(array: NDArray[Any]) -> jax.Array:
    """See `Backend`. Where a program is traced, it is a constant of its own, for `Compiled` to feed."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(_for_jax(np.asarray(array)))


def compiles() -> bool:
    """See `Backend`."""
    return True


def has_text() -> bool:
    """See `Backend`."""
    return False


def numpy(value: Any) -> NDArray[Any]:
    """See `Backend`. A copy: JAX's own memory is not to be written to."""
    return np.array(value)


def dense_tensor(value: Any) -> jax.Array | None:
    """See `Backend`."""
    if isinstance(value, keras.Variable):
        value = value.value
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSTU":
        value = constant(value)
    if not isinstance(value, jax.Array) or jnp.issubdtype(value.dtype, jnp.complexfloating):
        return None
    return value


def _remove_note(error: Exception) -> None:
    """Remove JAX's note that it has left frames out of the traceback, which would end every sentence of ours to the user."""
    notes = getattr(error, "__notes__", [])
    notes[:] = [note for note in notes if "JAX has removed its internal frames" not in note]
