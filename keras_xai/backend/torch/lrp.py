"""LRP's multipliers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_xai.backend.lrp import LrpWalk
from keras_xai.backend.protocol import LrpRules, Relevance, TargetScores
from keras_xai.backend.torch.tape import CallTape


def lrp_multipliers(
    scores: Callable[[list[Any]], tuple[Any, Any]],
    inputs: Sequence[Any],
    target: TargetScores,
    rules: LrpRules,
) -> Relevance:
    """See `Backend`."""
    with torch.no_grad():
        sources = [tensor.detach().clone() for tensor in inputs]
        with CallTape(sources) as tape:
            final, aux = scores(list(sources))
        tape.end(final)
        multipliers = LrpWalk(tape, rules).multipliers(target.weights(final))
    return Relevance(target.select(final), multipliers, aux)
