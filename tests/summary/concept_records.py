"""Records of concepts by hand: a mark that a model begins to use, and something that no layer can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_xai.concept_records import Concepts

NAN = np.nan
SHAPE = 2, 2, 3  # concepts, layers, questions


def concepts_at(epoch: int, effect: float = 0.0, p: float = 1.0) -> Concepts:
    """Return a record in which the second layer has this effect of the first concept on the third question."""
    effects, values = np.full(SHAPE, NAN, np.float32), np.full(SHAPE, NAN, np.float32)
    effects[0], values[0] = 0.25, 1.0
    effects[0, 1, 2], values[0, 1, 2] = effect, p
    return Concepts(
        epoch=epoch,
        names=("<b>mark</b>", "nothing"),
        layers=("h1", "h2"),
        questions=("class 0", "<script>", "class 2"),
        rows=(12, 0, 30),
        examples=((40, 60), (40, 60)),
        readability=np.array([[0.96875, 1], [0.5, NAN]], np.float32),
        effect=effects,
        error=np.where(np.isnan(effects), NAN, 0.5).astype(np.float32),
        share=np.where(np.isnan(effects), NAN, 0.75).astype(np.float32),
        p=values,
        floor=0.5,
        draws=199,
        digest="ab12",
    )


def concepts_over(signs: Sequence[int]) -> list[Concepts]:
    """Return a record an epoch, with an effect of this sign that is shown, or with none."""
    return [concepts_at(epoch, 2.5 * sign, 0.0078125 if sign else 1.0) for epoch, sign in enumerate(signs)]
