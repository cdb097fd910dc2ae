"""Table of the gradient flags: the condition of each, its default threshold, and its words in every view.

A new flag is one function of a `VariableState` and one entry at the end of `CONDITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Thresholds = Mapping[str, float]

NEVER_EXCEEDED = 1e300  # threshold of a condition "over x" that is switched off; event files hold finite numbers only


class VariableState(NamedTuple):
    """The figures of one variable's gradient in one epoch from which flags are judged."""

    rms: float
    zero_fraction: float
    nonfinite: float  # entries
    is_sparse: bool  # leaves out the rows that the batch did not use
    usual_rms: float  # median of its earlier epochs that did not explode; 0 where they are fewer than three
    layer_zero_fraction: float  # of all its layer's variables together
    layer_mean_square: float  # likewise
    statistics: Mapping[str, float]  # all that was recorded of the variable, by the names of `records.STATISTICS`


def is_dead(state: VariableState, thresholds: Thresholds) -> bool:
    """Return True where the gradient, and its whole layer's, is zero almost everywhere; of a sparse one throughout."""
    if state.is_sparse:
        return state.rms == 0 and state.layer_mean_square == 0
    return state.zero_fraction > thresholds["dead"] and state.layer_zero_fraction > thresholds["dead"]


def is_vanishing(state: VariableState, thresholds: Thresholds) -> bool:
    """Return True where the gradient, and its whole layer's, is tiny, and it is not dead."""
    limit = thresholds["vanishing"]
    return state.rms < limit and state.layer_mean_square < limit**2 and not is_dead(state, thresholds)


def is_exploding(state: VariableState, thresholds: Thresholds) -> bool:
    """Return True where the gradient is many times the usual one, and above the limit of a vanishing one."""
    return (
        not state.rms < thresholds["vanishing"]
        and state.usual_rms > 0
        and state.rms > thresholds["exploding"] * state.usual_rms
    )


def is_nonfinite(state: VariableState, thresholds: Thresholds) -> bool:
    """Return True where the gradient has NaN or infinite entries."""
    return state.nonfinite > thresholds["non-finite"]


class Condition(NamedTuple):
    """One kind of flag.

    The sentences may name its threshold: `{0:g}` as a number, `{percent}` as a share, `{short}` in two digits.
    """

    holds: Callable[[VariableState, Thresholds], bool]
    threshold: float  # the default
    off: float  # the threshold that stands for `thresholds={kind: None}`: the flag is never raised
    warning: str  # "layer/kernel (since epoch 3): dead, <warning>."; {updates} as below
    verb: str  # of the overview: "3 of 8 variables <verb>"
    reason: str  # of the view of weight gradients: "layer/kernel <reason>."; {when} is "epoch 3", {updates} "epochs"
    rule: str = ""  # of the same view while no flag stands: "Dead: <rule>."; "" where the name says it
    epochs: int | None = None  # recorded epochs running in which it must hold; None: as many as thresholds["epochs"]


# The order is that of the columns in event files: a new flag stands at the end.
CONDITIONS: Mapping[str, Condition] = {
    "dead": Condition(
        is_dead,
        threshold=0.999,
        off=1,
        warning="more than {0:.4g} of its gradient is exactly zero",
        verb="get no gradient",
        reason="has had no gradient since {when}: more than {percent} of its gradients are exactly zero",
        rule="more than {percent} zeros",
    ),
    "vanishing": Condition(
        is_vanishing,
        threshold=1e-7,
        off=0,
        warning="the RMS of its gradient is under {0:g}",
        verb="get hardly any gradient",
        reason="vanishes since {when}: its RMS is under {short}",
        rule="RMS under {short}",
    ),
    "exploding": Condition(
        is_exploding,
        threshold=100.0,
        off=NEVER_EXCEEDED,
        warning="the RMS of its gradient is over {0:g} × the median of its earlier {updates}",
        verb="get exploding gradients",
        reason="explodes since {when}: its RMS is over {0:g} times the median of the {updates} before",
        rule="{0:g} × the median of the {updates} before",
    ),
    "non-finite": Condition(
        is_nonfinite,
        threshold=0,
        off=NEVER_EXCEEDED,
        warning="its gradient has NaN or infinite entries",
        verb="get gradients that are not finite",
        reason="has NaN or infinite gradients since {when}",
        epochs=1,
    ),
}

# Default thresholds of the conditions, and how many recorded epochs running those without a count of their own must hold.
THRESHOLDS: Thresholds = {kind: condition.threshold for kind, condition in CONDITIONS.items()} | {"epochs": 3}
