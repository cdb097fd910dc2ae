"""The functions that operations of a jaxpr compute: softmax, sigmoid, and the moves of values that leave them what they are."""

from __future__ import annotations

from keras_xai.backend.jax.jaxprs import FlatJaxpr, Value

# Operations that hand a value on as it is.
TRANSPARENT = frozenset(
    ("convert_element_type", "copy", "copy_p", "name", "optimization_barrier", "reduce_precision", "stop_gradient")
)
_SPREADS = frozenset(("broadcast_in_dim", "reshape", "expand_dims", "squeeze"))


def before_transparent(value: Value) -> Value:
    """Return the value that a value is, before operations that hand it on as it is."""
    while value.maker is not None and value.maker.kind in TRANSPARENT:
        value = value.maker.inputs[value.maker.outputs.index(value)]
    return value


def logits_behind(value: Value) -> tuple[str, Value | None]:
    """Return "softmax" or "sigmoid" and its logits, where one of them makes a value; else "" and None."""
    maker = before_transparent(value).maker
    if maker is None:
        return "", None
    if maker.kind == "logistic":
        return "sigmoid", maker.inputs[0]
    if maker.kind == "softmax":
        return "softmax", maker.inputs[0]
    source = _softmax_source(before_transparent(value)) if maker.kind == "div" else None
    return ("", None) if source is None else ("softmax", source)


def _softmax_source(value: Value) -> Value | None:
    """Return z where a value is exp(z − max z) / Σ exp(z − max z) over the last axis, whoever wrote it; None otherwise."""
    assert value.maker is not None
    numerator, denominator = value.maker.inputs
    power = before_transparent(numerator)
    total = _before(denominator, TRANSPARENT | _SPREADS)
    if power.maker is None or total.maker is None or power.maker.kind != "exp" or total.maker.kind != "reduce_sum":
        return None
    summed = total.maker.inputs[0]
    if before_transparent(summed) is not power or tuple(total.maker.params["axes"]) != (len(summed.aval.shape) - 1,):
        return None
    exponent = power.maker.inputs[0]
    difference = before_transparent(exponent).maker
    if difference is not None and difference.kind == "sub":
        source, shift = difference.inputs
        if _is_largest(shift, source):
            return source
    return exponent


def _is_largest(shift: Value, source: Value) -> bool:
    """Return True where `shift` is the largest entry of each row of `source`, which a softmax subtracts for numbers in range."""
    current = _before(shift, TRANSPARENT | _SPREADS)
    while current.maker is not None and current.maker.kind == "max":  # with −∞, which is the largest of nothing
        current = _before(current.maker.inputs[-1], TRANSPARENT | _SPREADS)
    if current.maker is None or current.maker.kind != "reduce_max":
        return False
    return before_transparent(current.maker.inputs[0]) is before_transparent(source)


def _before(value: Value, kinds: frozenset[str]) -> Value:
    """Return the value behind operations of some kinds, following the first input of each."""
    while value.maker is not None and value.maker.kind in kinds:
        value = value.maker.inputs[0]
    return value


def link_of(jaxpr: FlatJaxpr, outputs: Value) -> tuple[str, Value]:
    """Return the link between scores and a model's outputs, and the scores: the outputs where there is no link."""
    link, logits = logits_behind(outputs)
    return (link, logits) if logits is not None and jaxpr.can_return(logits) else ("", outputs)
