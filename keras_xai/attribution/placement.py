"""The place of a layer's output on the input: which layer a map is read off, and how its tokens are laid on the image.

A transformer's output is a sequence of tokens (n, t, c), of which some stand for the patches of an image, row by row, and
some for none: the class token, registers. Those are told apart by what a sample does to them before they are mixed: behind
the first layer of as many tokens the patches change with the image, and the others do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_xai.attribution.layer_survey import SurveyedLayer, image_sides, survey
from keras_xai.attribution.token_grid import Grid, grid_of
from keras_xai.backend.protocol import Tensor
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.layers import is_channels_first, iter_layers, layer_path, may_hold_tokens
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples

ALIKE = 0.9  # correlation of the places of patches with those of a grid, from which on they are the same


class Placement(NamedTuple):
    """The layer that a map is read off, and which of its tokens lie where."""

    layer: keras.layers.Layer
    grid: Grid | None = None  # of tokens; None where the output itself has the places
    tokens: tuple[int, ...] = ()  # that lie on the grid, in its order
    remark: str = ""  # what a user has to know of the choice
    leads: bool = True  # the scores change with one of the places; else with tokens alone that are none

    def arranged(self, tensor: Tensor) -> Tensor:
        """(n, t, c) as (n, *grid, c); what has no grid as it is."""
        if self.grid is None:
            return tensor
        if len(self.tokens) < tensor.shape[1]:
            tensor = keras.ops.take(tensor, list(self.tokens), axis=1)
        return keras.ops.reshape(tensor, (tensor.shape[0], *self.grid, tensor.shape[-1]))


class TokenOptions(NamedTuple):
    """Options on tokens, as the user gives them."""

    grid: Grid | None  # of patches
    special_tokens: tuple[int, ...] | None  # positions of tokens that are no patch


def place_layer(
    runner: ModelRunner,
    x: Sequence[Samples],
    layer: keras.layers.Layer | None,
    options: TokenOptions,
    number: int | None = None,
) -> Placement | None:
    """The layer that a map is read off; None where the last one with the image's axes is, as the program itself finds it.

    Args:
        runner: of the model.
        x: (B, ...) rows, one array an input.
        layer: that was asked for, None for the last one that tells places apart.
        options: what the user says of its tokens.
        number: of the input that is asked for, None for any.

    Raises:
        InvalidInput: tokens of which nothing says how they lie on the image, and what to do.
    """
    images = [k for k, array in enumerate(x) if len(array.shape) in (4, 5) and number in (None, k)]
    if not images and options != TokenOptions(None, None):
        raise InvalidInput("grid= and special_tokens= are about tokens of an image: x holds none.")
    if images and (options == TokenOptions(None, None)) and not may_hold_tokens(runner.model):
        return None
    if layer is not None and not images:
        return None
    layers = survey(runner, x)
    if not layers and images and attends(runner.model):
        raise InvalidInput(
            "The model takes too few samples at a time to tell what its tokens stand for: build it again without a batch size, "
            "with the same weights, and explain that one."
        )
    if not images:
        return None if any(not surveyed.is_sequence for surveyed in layers) else _last_of_sequence(layers, number)
    tokens = _Tokens(runner.model, layers, images, image_sides(x[images[0]].shape[1:]), options)
    return tokens.of_layer(layer) if layer is not None else tokens.last()


def _last_of_sequence(layers: Sequence[SurveyedLayer], number: int | None) -> Placement | None:
    """The last layer of which more than one step leads to the scores; else the last that leads there at all."""
    sequences = [layer for layer in layers if number is None or number in layer.inputs]
    for least in (2, 1):
        for surveyed in reversed(sequences):
            if surveyed.leads.sum() >= least:
                return Placement(surveyed.layer)
    return None


class _Tokens:
    """The tokens of an image in a model's layers.

    Args:
        model: that the layers are in.
        layers: as `survey` has them.
        images: numbers of the inputs that are images or volumes.
        sides: of the first of them, in pixels.
        options: what the user says of tokens.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[SurveyedLayer],
        images: Sequence[int],
        sides: tuple[int, ...],
        options: TokenOptions,
    ) -> None:
        self._model, self._layers, self._sides, self._options = model, layers, sides, options
        self._of_image = [layer for layer in layers if layer.inputs and layer.inputs <= set(images)]

    def of_layer(self, layer: keras.layers.Layer) -> Placement | None:
        """The placement of a layer's tokens; None for one that gives no tokens.

        Raises:
            InvalidInput: nothing says how.
        """
        for surveyed in self._layers:
            if surveyed.layer is layer and surveyed.is_sequence:
                placement = self._placed(surveyed) or self._refuse(surveyed)
                leads = surveyed.leads[list(placement.tokens)].any() or not surveyed.leads.any()
                return placement._replace(leads=bool(leads))
        return None

    def last(self) -> Placement | None:
        """The last layer that tells places apart; None where it has the image's own axes.

        Raises:
            InvalidInput: it is of a transformer, and nothing says how its tokens lie.
        """
        begin = max((k for k, layer in enumerate(self._of_image) if not layer.is_sequence), default=-1) + 1
        sequences = self._of_image[begin:]
        for surveyed in reversed(sequences):
            if surveyed.leads.sum() <= 1 or not self._patches(surveyed):
                continue  # as behind the last attention, where a class token alone leads to the scores
            placement = self._placed(surveyed)
            if placement is None:
                break
            if surveyed.leads[list(placement.tokens)].sum() > 1:
                return self._normalized(surveyed) or placement
        if not sequences or all(layer.moves.all() and not layer.leads.any() for layer in sequences):
            return None
        if begin == 0 or attends(self._model):
            return self._refuse(sequences[-1])
        before = self._of_image[begin - 1].layer
        remark = (
            f"The map is of layer {layer_path(before, self._model)!r}, the last one with the image's axes. Behind it "
            f"{layer_path(sequences[-1].layer, self._model)!r} gives {sequences[-1].shape[0]} steps, which are no grid of it: "
            f"name a layer with layer=, and its grid= where it gives tokens."
        )
        return Placement(before, remark=remark)

    def _normalized(self, surveyed: SurveyedLayer) -> Placement | None:
        """The normalization in front of a dense layer of the same block, as of queries, keys and values; None without one."""
        if not isinstance(surveyed.layer, (keras.layers.Dense, keras.layers.EinsumDense)):
            return None
        block = self._path(surveyed).rpartition("/")[0]
        end = next(k for k, layer in enumerate(self._layers) if layer.layer is surveyed.layer)
        for layer in reversed(self._layers[:end]):
            is_norm = "Normalization" in type(layer.layer).__name__ and layer.shape[0] == surveyed.shape[0]
            if is_norm and layer.is_sequence and self._path(layer).rpartition("/")[0] == block:
                return self._placed(layer) if (layer.leads >= surveyed.leads).all() else None
        return None

    def _placed(self, surveyed: SurveyedLayer) -> Placement | None:
        """The tokens of a layer on their grid, None where that is not known.

        Raises:
            InvalidInput: options that do not fit the layer.
        """
        count, tokens = surveyed.shape[0], self._patches(surveyed)
        grid = self._options.grid or grid_of(len(tokens), self._sides, self._before(surveyed))
        if grid is None or not tokens:
            return None
        if math.prod(grid) == len(tokens):
            is_known = self._options.grid is not None or self._lie_row_by_row(surveyed, grid, tokens)
            return Placement(surveyed.layer, grid, tokens) if is_known else None
        if self._options.special_tokens is not None:
            raise InvalidInput(
                f"Layer {self._path(surveyed)!r} gives {count} tokens, {len(tokens)} without special_tokens: grid={grid} has "
                f"{math.prod(grid)} places."
            )
        return None

    def _lie_row_by_row(self, surveyed: SurveyedLayer, grid: Grid, tokens: tuple[int, ...]) -> bool:
        """True where the tokens, before they are mixed, change with the parts of the image that the grid says.

        Windows that are taken out of an image one after the other have as many tokens, in another order.
        """
        centres = self._first_like(surveyed).centres[:, list(tokens)]
        if len(centres) != len(grid):
            return False
        for axis, side in enumerate(grid):
            expected = np.indices(grid)[axis].reshape(-1)
            if side > 1 and (not centres[axis].std() or np.corrcoef(expected, centres[axis])[0, 1] < ALIKE):
                return False
        return True

    def _first_like(self, surveyed: SurveyedLayer) -> SurveyedLayer:
        """The first layer of as many tokens."""
        return next(layer for layer in self._layers if layer.is_sequence and layer.shape[0] == surveyed.shape[0])

    def _patches(self, surveyed: SurveyedLayer) -> tuple[int, ...]:
        """The positions of tokens that stand for patches."""
        special = self._special(surveyed)
        return tuple(t for t in range(surveyed.shape[0]) if t not in special)

    def _special(self, surveyed: SurveyedLayer) -> set[int]:
        """The positions of tokens that are no patch: those that the user names, else those that stay before they are mixed."""
        count = surveyed.shape[0]
        named = self._options.special_tokens
        if named is None:
            moves = self._first_like(surveyed).moves
            return {t for t in range(count) if not moves[t]}
        outside = [t for t in named if not -count <= t < count]
        if outside:
            raise InvalidInput(
                f"special_tokens holds {outside[0]}, layer {self._path(surveyed)!r} gives {count} tokens."
            )
        return {t % count for t in named}

    def _before(self, surveyed: SurveyedLayer) -> Grid | None:
        """The places of the last layer in front of the tokens that has the image's axes."""
        end = next(k for k, layer in enumerate(self._layers) if layer.layer is surveyed.layer)
        grids = []
        for layer in self._layers[:end]:
            if not layer.is_sequence and len(layer.shape) == len(self._sides) + 1:
                is_first = is_channels_first(layer.layer, self._model, len(layer.shape) + 1)
                grids.append(layer.shape[1:] if is_first else layer.shape[:-1])
        return grids[-1] if grids else None

    def _path(self, surveyed: SurveyedLayer) -> str:
        return layer_path(surveyed.layer, self._model)

    def _refuse(self, surveyed: SurveyedLayer) -> Placement:
        others = listed(self._path(layer) for layer in self._layers if not layer.is_sequence)
        way = f" Or name a layer with the image's axes: {others}." if others else ""
        raise InvalidInput(
            f"Layer {self._path(surveyed)!r} gives {surveyed.shape[0]} tokens of an image of {self._sides}, and which of them "
            f"lies where cannot be told: say it with grid=(rows, columns) of the patches, row by row, and special_tokens=(0,), "
            f"the positions of tokens that are no patch, () for none.{way}"
        )


def attends(model: keras.Model) -> bool:
    """True where a layer of attention is in the model, by its name."""
    return any("Attention" in type(layer).__name__ for layer in iter_layers(model))
