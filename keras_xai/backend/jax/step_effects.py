"""The effects of a train step beside its results, which a second program would have once more."""

from __future__ import annotations

from collections.abc import Iterator

import jax.extend.core as jex

# Operations that draw from a generator inside the compiled program: another program would draw other numbers.
_STATEFUL_DRAWS = frozenset({"rng_uniform"})


def step_effects(closed: jex.ClosedJaxpr) -> str:
    """Return what else a step does, as a predicate ("calls Python code …"); "" where there is nothing."""
    kinds = set(_kinds(closed.jaxpr))
    calls = sorted(kind for kind in kinds if "callback" in kind or kind == "debug_print")
    if calls:
        return f"calls Python code while it runs ({', '.join(calls)})"
    draws = sorted(kinds & _STATEFUL_DRAWS)
    if draws:
        return f"draws random numbers whose state belongs to one compiled program ({', '.join(draws)})"
    if closed.effects:
        names = sorted({type(effect).__name__ for effect in closed.effects})
        return f"has effects beside its results ({', '.join(names)})"
    return ""


def _kinds(jaxpr: jex.Jaxpr) -> Iterator[str]:
    """Yield the name of each operation, at whatever depth."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jex.jaxprs_in_params(equation.params):
            yield from _kinds(inner)
