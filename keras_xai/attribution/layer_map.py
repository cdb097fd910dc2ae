"""Maps that are read off a layer: what their methods share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import keras

from keras_xai.attribution.batch import Batch
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

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)
        self._token_options()

    def placed(self, runner: ModelRunner, x: Sequence[Samples]) -> Placement | None:
        layer = None if self.layer is None else find_layer(runner.model, self.layer)
        number = None
        if self.input is not None:
            number = input_number(self.input, runner.score_function.input_aliases(len(x)))
        return place_layer(runner, x, layer, self._token_options(), number)

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
        return [keras.ops.reshape(by_place, activation.shape[:-1])]

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
        layer = self._layer(batch)
        placement = batch.placements.get(id(self))
        if placement is not None and placement.remark:
            batch.remarks.append(placement.remark)
        fed_by = [sorted(batch.inputs_behind(activation)) for activation in batch.activations(layer)]
        path = layer_path(layer, batch.model)
        if self.input is None:
            if len(fed_by) > 1:
                batch.remarks.append(_remark_on_shared(path, 0, fed_by, batch, may_choose=True))
            return 0
        number = input_number(self.input, batch.input_names)
        calls = [k for k, inputs in enumerate(fed_by) if number in inputs]
        if not calls:
            numbers = sorted(set().union(*fed_by))
            names = listed(batch.input_names[k][-1] for k in numbers)
            raise InvalidInput(f"Layer {path!r} is not fed by the input {self.input!r}, but by {names}.")
        calls.sort(key=lambda k: len(fed_by[k]))  # one that is fed by this input alone comes before one that also is
        if len(calls) > 1 and len(fed_by[calls[1]]) == len(fed_by[calls[0]]):
            batch.remarks.append(_remark_on_shared(path, calls[0], fed_by, batch, may_choose=False))
        return calls[0]


def input_number(name: str | int, input_names: Sequence[tuple[str, ...]]) -> int:
    """The number of the input that a name or a number stands for.

    Raises:
        InvalidInput: there is none.
    """
    if isinstance(name, int) and not isinstance(name, bool):
        if 0 <= name < len(input_names):
            return name
    else:
        for k, names in enumerate(input_names):
            if name in names:
                return k
    raise InvalidInput(f"There is no input {name!r}; the model has {listed(names[-1] for names in input_names)}.")


def _by_place(tensor: Tensor) -> Tensor:
    """(n, places, c) with all places along one axis: (n, p, c)."""
    return keras.ops.reshape(tensor, (tensor.shape[0], -1, tensor.shape[-1]))


def _remark_on_shared(path: str, call: int, fed_by: Sequence[Sequence[int]], batch: Batch, *, may_choose: bool) -> str:
    """The sentence that says which call of a shared layer a map is of.

    Args:
        path: of the layer.
        call: that the map is of.
        fed_by: the numbers of the inputs that feed each call.
        batch: for the names of inputs.
        may_choose: no input was chosen yet.
    """
    inputs = []
    for numbers in fed_by:
        inputs.append(listed(batch.input_names[k][-1] for k in numbers) or "no input")
    each = ", ".join(f"call {k} by {names}" for k, names in enumerate(inputs, 1))
    by_several = len({tuple(numbers) for numbers in fed_by}) > 1
    way = " Choose another one with input=." if by_several and may_choose else ""
    return (
        f"Layer {path!r} is called {len(fed_by)} times ({each}): the map is of call {call + 1}, on {inputs[call]}.{way}"
    )
