"""Maps that are read off a layer: what their methods share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.layer_method import chosen_call, input_number
from keras_xai.attribution.method import Method
from keras_xai.attribution.placement import Placement, TokenOptions, place_layer
from keras_xai.backend.protocol import LayerOutput, Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int, listed
from keras_xai.model.layers import find_layer, is_channels_first, layer_path
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples


@dataclasses.dataclass(frozen=True)
class LayerMap(Method):
    """A map from a layer's activation A and the score's gradient G with respect to it.

    The map has the places of the layer: (B, h, w) of an image, (B, t) of a series, (B, d, h, w) of a volume. A method of this
    family adds one thing: how A and G make a map.

    A layer that is shared, as by the two halves of a Siamese model, gives something at each of its calls: `input` chooses the
    call that is fed by this input, by name or number. Without it the map is of the first call, and a warning says so.
    """

    input_shaped: ClassVar[bool] = False

    layer: str | None = None
    input: str | int | None = None
    grid: Sequence[int] | None = None
    special_tokens: Sequence[int] | None = None

    @property
    def differentiates_inputs(self) -> bool:
        return False  # the gradient ends at the layer, whatever is in front of it

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)
        self._token_options()

    def placed(self, runner: ModelRunner, x: Sequence[Samples]) -> Placement | None:
        layer = None if self.layer is None else find_layer(runner.model, self.layer)
        number = None
        if self.input is not None:
            number = input_number(self.input, runner.score_function.input_aliases(len(x)))
        placement = place_layer(runner, x, layer, self._token_options(), number)
        if placement is None or placement.leads or not self.needs_gradient:
            return placement
        return placement._replace(remark=_remark_on_silent(placement, runner.model))

    @property
    def layer_options(self) -> dict[str, Any]:
        """The options that all methods of the family have."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(LayerMap)}

    def _token_options(self) -> TokenOptions:
        grid, special = self.grid, self.special_tokens
        if grid is not None:
            grid = tuple(
                check_int("grid", side, expected="the sides of the grid of patches, 1 or more") for side in grid
            )
        if special is not None:
            special = tuple(int(token) for token in special)
        return TokenOptions(grid, special)

    def required_layers(self, batch: Batch) -> Sequence[keras.layers.Layer]:
        return [self._layer(batch)]

    def values(self, batch: Batch) -> Tensors:
        layer, call = self._layer(batch), self.call(batch)
        activation = self.activation(batch).output
        gradient = self._arranged(batch.activation_gradient(layer, call), batch)
        by_place = self.map(_by_place(activation), _by_place(gradient))
        return [keras.ops.reshape(by_place, [-1 if side is None else side for side in activation.shape[:-1]])]

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """(n, p) of an activation and the score's gradient with respect to it, both float32 (n, p, c) of p places."""
        raise NotImplementedError

    def activation(self, batch: Batch) -> LayerOutput:
        """The layer's output at the call that the map is of: float32 (n, t, c), (n, h, w, c) or (n, d, h, w, c).

        Raises:
            InvalidInput: it has another number of axes.
        """
        layer = self._layer(batch)
        activation = batch.activations(layer)[self.call(batch)]
        shape = tuple(activation.output.shape)
        if len(shape) not in (3, 4, 5):
            spatial = listed(layer_path(candidate, batch.model) for candidate in batch.spatial_layers)
            raise InvalidInput(
                f"Layer {layer_path(layer, batch.model)!r} gives {shape}: a map needs places, (n, t, c), (n, h, w, c) or "
                f"(n, d, h, w, c). These have some: {spatial}."
            )
        return activation._replace(output=self._arranged(activation.output, batch))

    def _arranged(self, tensor: Tensor, batch: Batch) -> Tensor:
        """The layer's output, or its gradient, as float32 (n, places, c): tokens of an image on their grid."""
        tensor, rank = keras.ops.cast(tensor, "float32"), len(tensor.shape)
        placement = batch.placements.get(id(self))
        if placement is not None and placement.grid is not None:
            return placement.arranged(tensor)
        if is_channels_first(self._layer(batch), batch.model, rank):
            return keras.ops.transpose(tensor, (0, *range(2, rank), 1))
        return tensor

    def call(self, batch: Batch) -> int:
        """The number of the call that the map is of.

        Raises:
            InvalidInput: `input` is none of the model's inputs, or the layer is not fed by it.
        """
        return batch.memoize(self, lambda: self._choose_call(batch))

    def _layer(self, batch: Batch) -> keras.layers.Layer:
        if self.layer is not None:
            return find_layer(batch.model, self.layer)
        placement = batch.placements.get(id(self))
        return batch.spatial_layers[-1] if placement is None else placement.layer

    def _choose_call(self, batch: Batch) -> int:
        placement = batch.placements.get(id(self))
        if placement is not None and placement.remark:
            batch.remarks.append(placement.remark)
        return chosen_call(batch, self._layer(batch), self.input)


def _remark_on_silent(placement: Placement, model: keras.Model) -> str:
    """The sentence that says why a map is zero everywhere: another token alone leads to the scores, as a class token does."""
    return (
        f"At layer {layer_path(placement.layer, model)!r} no gradient leads from the score to a patch, only to tokens that are "
        f"none, such as a class token: the map is zero everywhere. Take a layer in front of the last attention, as by default."
    )


def _by_place(tensor: Tensor) -> Tensor:
    """(n, places, c) with all places along one axis: (n, p, c)."""
    return keras.ops.reshape(tensor, (tensor.shape[0], -1, tensor.shape[-1]))
