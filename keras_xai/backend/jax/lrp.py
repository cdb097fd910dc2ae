"""LRP's multipliers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_xai.backend.jax.tape import JaxprTape, traced_scores
from keras_xai.backend.lrp import LrpWalk
from keras_xai.backend.protocol import LrpRules, Relevance, TargetScores


def lrp_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    target: TargetScores,
    rules: LrpRules,
) -> Relevance:
    """See `Backend`."""
    jaxpr, final, aux, template = traced_scores(scores, inputs)
    arrays = jaxpr.evaluate(inputs)
    walk = LrpWalk(JaxprTape(jaxpr, final, arrays), rules)
    multipliers = walk.multipliers(target.weights(arrays[final]))
    return Relevance(target.select(arrays[final]), multipliers, template.filled([arrays[value] for value in aux]))
