"""The operations of a jaxpr between a model's inputs and its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from keras_xai.backend.ancestry import with_ancestors
from keras_xai.backend.jax.ancestry import JaxprAncestry
from keras_xai.backend.jax.autodiff import is_floating
from keras_xai.backend.jax.jaxprs import FlatJaxpr, Operation, Value, trace
from keras_xai.backend.results import Template
from keras_xai.backend.tape import Key, Kinds, Step, Tape, names

_ENTRYWISE = names(
    "abs acos acosh asin asinh atan atanh cbrt celu clamp cos cosh elu erf erf_inv erfc exp exp2 expm1 integer_pow "
    "leaky_relu log log1p logistic max min pow relu relu6 rsqrt selu sign sin sinh softplus sqrt square squareplus tan tanh"
)
KINDS = Kinds(
    linear={
        **dict.fromkeys(names("add add_any concatenate stack sub"), "all"),
        **dict.fromkeys(names("conv_general_dilated dot_general mul"), "one"),
        **dict.fromkeys(
            names(
                "broadcast_in_dim convert_element_type copy copy_p cumsum div dynamic_slice expand_dims gather name neg "
                "optimization_barrier pad reduce_precision reduce_sum reduce_window_sum reshape rev slice split squeeze "
                "transpose"
            ),
            "first",
        ),
        "select_n": "chosen from",
    },
    entrywise=_ENTRYWISE,
    by_entry=_ENTRYWISE
    | names(
        "add add_any and convert_element_type copy copy_p div eq ge gt le lt mul name ne neg not or select_n sub xor"
    ),
    meeting=names("div max min mul pow select_n"),
    winner=names("reduce_max reduce_window_max"),
    between_two=names("max min"),
    convolutions=names("conv_general_dilated"),
    bilinear=names("dot_general mul"),
    softmax=names("softmax"),
    log_softmax=names("log_softmax"),
    exponential=names("exp"),
    sums=names("reduce_sum"),
    spreads=names("broadcast_in_dim convert_element_type expand_dims reshape transpose"),
    stops=names("stop_gradient"),
    one_by_one=frozenset(),
    moves=names("convert_element_type copy copy_p expand_dims name reshape squeeze transpose"),
    scales_and_shifts=names("add add_any div mul sub"),
    additions=names("add add_any"),
    roots=names("rsqrt sqrt"),
    squares=names("square"),
    means=names(
        "add broadcast_in_dim clamp convert_element_type copy copy_p div expand_dims max min mul name reduce_sum reshape "
        "select_n squeeze sub transpose"
    ),
    scaling=names("div mul"),
)


class TracedScores(NamedTuple):
    """A function of a model's scores, traced."""

    jaxpr: FlatJaxpr
    final: Value  # the scores
    aux: list[Value]  # the arrays that are returned beside them
    template: Template  # what they are returned in


def traced_scores(scores: Callable[[list[Any]], tuple[Any, Any]], inputs: Sequence[Any]) -> TracedScores:
    """Trace `scores(inputs)`, which returns the scores and auxiliary values."""
    templates: list[Template] = []

    def flattened(*z: Any) -> list[Any]:
        final, aux = scores(list(z))
        templates.append(Template(aux, lambda value: isinstance(value, jax.Array)))
        return [final, *templates[-1].forget()]

    jaxpr = trace(flattened, inputs)
    final, *aux = jaxpr.outputs
    return TracedScores(jaxpr, final, aux, templates[-1])


class JaxprTape(Tape):
    """The operations behind a value of a jaxpr, and the arrays for some inputs. A key is a value of the jaxpr.

    Args:
        jaxpr: of a function that returns the scores.
        final: the scores.
        arrays: those of all values.
    """

    kinds = KINDS

    def __init__(self, jaxpr: FlatJaxpr, final: Value, arrays: Mapping[Value, Any]) -> None:
        self._arrays = arrays
        self.inputs, self.final = jaxpr.inputs, final
        before = with_ancestors([final], JaxprAncestry(jaxpr))
        self.steps = [_step(operation) for operation in jaxpr.operations if not before.isdisjoint(operation.outputs)]

    def value(self, key: Key) -> Any:
        return self._arrays[key]

    def shape(self, key: Key) -> tuple[int | None, ...]:
        return tuple(key.aval.shape)

    def is_floating(self, key: Key) -> bool:
        return is_floating(key.aval)

    def is_square(self, step: Step) -> bool:
        if step.kind == "integer_pow":
            return bool(step.operation.params["y"] == 2)
        return super().is_square(step) or (step.kind == "mul" and step.inputs[0] is step.inputs[1])

    def softmax_axis(self, step: Step) -> int:
        inner = step.operation.params.get("jaxpr") or step.operation.params["call_jaxpr"]
        return next(int(e.params["axes"][0]) for e in inner.jaxpr.eqns if e.primitive.name == "reduce_sum")

    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        return step.operation.run(inputs)[0]

    def pullback(
        self, step: Step, sources: Sequence[int], above: Mapping[int, Any], inputs: Sequence[Any] | None = None
    ) -> Sequence[Any]:
        arrays = [self._arrays[key] for key in step.inputs] if inputs is None else list(inputs)

        def function(*changing: Any) -> list[Any]:
            for k, array in zip(sources, changing, strict=True):
                arrays[k] = array
            results: list[Any] = step.operation.run(arrays)
            return results

        results, back = jax.vjp(function, *[arrays[k] for k in sources])
        of_results = [jnp.zeros_like(result) for result in results]
        for k, multiplier in above.items():
            of_results[k] = jnp.asarray(multiplier, results[k].dtype)
        return list(back(of_results))


def _step(operation: Operation) -> Step:
    return Step(operation.kind, tuple(operation.inputs), tuple(operation.outputs), operation.place, operation)
