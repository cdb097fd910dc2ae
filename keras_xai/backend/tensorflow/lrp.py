"""LRP's multipliers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_xai.backend.lrp import LrpWalk
from keras_xai.backend.protocol import LrpRules, Relevance, TargetScores
from keras_xai.backend.tensorflow.tape import GraphTape


def lrp_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    target: TargetScores,
    rules: LrpRules,
) -> Relevance:
    """See `Backend`."""
    final, aux = scores(list(inputs))
    walk = LrpWalk(GraphTape(inputs, final), rules)
    return Relevance(target.select(final), walk.multipliers(target.weights(final)), aux)
