"""Checks of a gallery's maps: is their order better than a random one, and does a small noise move them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.explainer import ProbeExplainer, passes_of
from keras_xai.attribution.metrics.curves import equal_shares
from keras_xai.attribution.metrics.noise import NoisyEngine, ranges
from keras_xai.attribution.metrics.ranks import flat_values
from keras_xai.attribution.metrics.replacement import Replacement, ScoredRows
from keras_xai.errors import InvalidInput
from keras_xai.records import Attribution, MapCheck

EVERY = 10  # updates
STEPS = 10  # of a deletion curve
ORDERS = 4  # random ones
DRAWS = 2  # of the noise: in many dimensions all of them lie equally far
SPREAD = 0.02  # of the noise, as a share of the inputs' range


class MapChecker:
    """Checks the maps of a gallery by all of its methods, see `records.MapCheck`.

    The random orders and the noise follow from a seed, and are the same at every update.

    Args:
        explainer: of the gallery.

    Cost:
        Forward passes over the gallery: 9 for each method and 36 for the random orders; and the methods' own passes three times.
    """

    def __init__(self, explainer: ProbeExplainer) -> None:
        self._explainer = explainer
        self._engine = NoisyEngine(explainer.engine.runner, explainer.engine.methods, warns_of_held=False)

    def __call__(self, update: int, attributions: Mapping[str, Attribution]) -> list[MapCheck]:
        """Check the maps of an update.

        Args:
            update: its number.
            attributions: of the gallery, as the explainer gives them.
        """
        scored = self._explainer.scored_rows()
        deletion, sensitivity = self._deletion(scored, attributions), self._sensitivity(scored)
        return [
            MapCheck(update, name, deletion[name], sensitivity[name], SPREAD, DRAWS, ORDERS) for name in attributions
        ]

    def _deletion(self, scored: ScoredRows, attributions: Mapping[str, Attribution]) -> dict[str, NDArray[np.float64]]:
        """Return by method how much sooner each score (B) falls than in random orders, in units of the mean distance."""
        by_chance: dict[int, NDArray[np.float64]] = {}  # by the number of places
        size, unit = len(scored.target), None
        sooner = {}
        for name, attribution in attributions.items():
            sooner[name] = np.full(size, np.nan)
            if attribution.layer:
                continue  # units of a layer have no place in the input
            replacement = Replacement(scored, attribution.values)
            count = replacement.count
            lengths = equal_shares(count, STEPS)[1:-1]  # the ends are those of any order
            if unit is None:
                ends = replacement.scores_of(replacement.rows), replacement.scores_of(replacement.baseline)
                unit = float(np.abs(ends[0] - ends[1]).mean())
            if count not in by_chance:
                generator = np.random.default_rng(0)
                orders = [generator.random((size, count)) for _ in range(ORDERS)]
                curves = [replacement.curve(replacement.ranks(order), lengths) for order in orders]
                by_chance[count] = np.mean(curves, 0)
            fall = replacement.curve(replacement.ranks(), lengths)
            if unit > 0:
                sooner[name] = (by_chance[count] - fall).sum(1) / (STEPS + 1) / unit
        return sooner

    def _sensitivity(self, scored: ScoredRows) -> dict[str, NDArray[np.float64]]:
        """Return by method by how much the noise moves each map (B), in units of its norm; NaN without numbers to move."""
        numbers = self._engine.numbers(scored.inputs, scored.target)
        try:
            spans = ranges(numbers)
        except InvalidInput:
            return {name: np.full(len(scored.target), np.nan) for name in self._engine.methods}
        first = self._maps(scored, [np.broadcast_to(np.float32(0), values.shape) for values in numbers])
        moves = {name: np.zeros(len(scored.target)) for name in first}
        generator = np.random.default_rng(0)
        for _ in range(DRAWS):
            noise = []
            for values, span in zip(numbers, spans, strict=True):
                drawn = SPREAD * span * generator.uniform(-1, 1, values.shape[1:])[None]
                noise.append(np.broadcast_to(drawn.astype(np.float32), values.shape))
            for name, maps in self._maps(scored, noise).items():
                moves[name] = np.maximum(moves[name], np.linalg.norm(maps - first[name], axis=1))
        relative = {}
        for name, moved in moves.items():
            norms = np.linalg.norm(first[name], axis=1)
            relative[name] = np.divide(moved, norms, out=np.full(len(moved), np.nan), where=norms > 0)
        return relative

    def _maps(self, scored: ScoredRows, noise: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
        """Return by method the values (B, entries) of the samples with this noise."""
        attributions = self._engine([*scored.inputs, *noise], list(scored.baseline), scored.target)
        return {name: flat_values(attribution) for name, attribution in attributions.items()}


def rows_a_check(explainer: ProbeExplainer) -> float:
    """Return how many rows a check passes through the model, forwards and backwards; a forward pass alone is a third."""
    methods = len(explainer.engine.methods)
    forward = (STEPS - 1) * (methods + ORDERS) + 3
    return explainer.probe.size * (forward / 3 + (DRAWS + 1) * passes_of(explainer))
