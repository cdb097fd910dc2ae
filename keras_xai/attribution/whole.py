"""Importance of features that no gradient reaches: a category behind a lookup is not unimportant, only not measured.

A table that holds such a column is measured whole by exchange, so that all columns have one unit:

    importance of a column = mean over rows of |score(x) − score(x with the column of another row)|

a permutation of the column (Breiman 2001) against the score in the place of the loss; one forward pass a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import NoPath
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.method import Method
from keras_xai.attribution.occlusion import Occlusion
from keras_xai.backend.team import present_team
from keras_xai.errors import listed
from keras_xai.model.samples import Samples
from keras_xai.model.task import Task
from keras_xai.probe import Probe

Companions = Callable[[Task, Probe, list[Samples]], Mapping[str, Method]]
METHOD = "occlusion"  # with another row's values in the place of a baseline
SCORE_ROUNDING = 1e-6  # of a score, relative: less is no move


class Measuring(NamedTuple):
    """An explainer for a probe's importance, and what it cannot measure."""

    explainer: ProbeExplainer
    method: str  # that it runs
    unmeasured: NDArray[np.bool_]  # (F)
    notice: str  # what to tell of both; "" where all is as it was asked for


def measuring(
    model: keras.Model, probe: Probe, name: str, method: Method, companions: Companions | None = None
) -> Measuring:
    """By the method that was asked for, where it reaches every feature; a table by exchange where it does not.

    Args:
        model: a built Keras model.
        probe: of which the importance is measured.
        name: of the method.
        method: that was asked for.
        companions: see `ProbeExplainer`; none where it is measured by exchange.

    Raises:
        InvalidInput: what `ProbeExplainer` refuses, and inputs of another kind to which no gradient leads at all.
    """
    nothing = np.zeros(probe.feature_count, bool)
    table = can_exchange(probe)
    try:
        explainer = ProbeExplainer(model, probe, {name: method}, warns_of_held=False, companions=companions)
    except NoPath:
        if not table:
            raise
        return _exchange(model, probe, ~nothing)
    if not method.needs_gradient:
        return Measuring(explainer, name, nothing, "")
    held = probe.feature_map.in_inputs(explainer.engine.held_inputs)
    if not table:
        return Measuring(explainer, name, held, not_asked(probe, held))
    team = present_team()
    silent = team.agreed(held | (explainer.magnitudes_now()[name] == 0))
    if not silent.any():
        return Measuring(explainer, name, nothing, "")
    by_exchange = _exchange(model, probe, held)
    used = team.agreed(silent & moves(by_exchange.explainer))
    if held.any() or used.any():
        return by_exchange._replace(notice=exchanged(probe, held | used))
    return Measuring(explainer, name, nothing, "")


def can_exchange(probe: Probe) -> bool:
    """True for a table of several features, in which rows can lend each other a column."""
    return probe.kind == "table" and probe.feature_count > 1 and probe.size > 1


def moves(explainer: ProbeExplainer) -> NDArray[np.bool_]:
    """(F) true where exchanging a feature moves any score."""
    magnitude = explainer.magnitudes_now()[METHOD]
    return np.asarray(magnitude > SCORE_ROUNDING * max(1.0, float(magnitude.max(initial=0.0))))


def exchanged(probe: Probe, unreached: NDArray[np.bool_]) -> str:
    """The sentence on a table that is measured by exchange."""
    return (
        f"No gradient reaches {listed(_named(probe, unreached))}: all columns are measured by {METHOD}, the score that moves "
        f"when a column's values are exchanged between rows; one forward pass a column, {probe.feature_count} in all."
    )


def not_asked(probe: Probe, held: NDArray[np.bool_]) -> str:
    """The sentence on features that stay unmeasured, "" where none do."""
    if not held.any():
        return ""
    return (
        f"No gradient reaches {listed(_named(probe, held))}: not measured, which is not 0 %; shares are of the other features. "
        f"Methods without gradients (occlusion, kernel_shap, lime) measure all."
    )


def _named(probe: Probe, which: NDArray[np.bool_]) -> list[str]:
    names = probe.features
    return [names[f] for f in np.flatnonzero(which)[:5]] + ["…"] * int(which.sum() > 5)


def _exchange(model: keras.Model, probe: Probe, unreached: NDArray[np.bool_]) -> Measuring:
    explainer = ProbeExplainer(model, probe, {METHOD: Occlusion()}, exchanged=True)
    return Measuring(explainer, METHOD, np.zeros(len(unreached), bool), exchanged(probe, unreached))
