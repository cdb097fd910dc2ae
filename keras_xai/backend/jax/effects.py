"""The effects of a jaxpr beside its results."""

from __future__ import annotations

from collections.abc import Iterator

import jax.extend.core as jex

OWN_REPORT = "keras_xai_report"  # the name of a jitted function of ours that calls the host, and changes no state
_PYTHON = frozenset({"debug_callback", "io_callback", "debug_print"})


def lasting_effects(closed: jex.ClosedJaxpr) -> str:
    """Return what a run does that cannot be undone, as a predicate ("runs Python code …"); "" where there is nothing."""
    python = sorted({kind for kind in _kinds(closed.jaxpr) if kind in _PYTHON})
    return f"runs Python code ({', '.join(python)}), whose own state nobody sees" if python else ""


def _kinds(jaxpr: jex.Jaxpr) -> Iterator[str]:
    """Yield the name of each operation with an effect, at whatever depth, without our own."""
    for equation in jaxpr.eqns:
        if not equation.effects or equation.params.get("name") == OWN_REPORT:
            continue
        yield equation.primitive.name
        for inner in jex.jaxprs_in_params(equation.params):
            yield from _kinds(inner)
