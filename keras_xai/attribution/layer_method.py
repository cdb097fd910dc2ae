"""Attribution at a layer of the model in the place of its input: what the methods that can be asked for it share."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.method import Method
from keras_xai.backend.protocol import LayerOutput
from keras_xai.errors import InvalidInput, listed
from keras_xai.model.layers import find_layer, layer_path


class LayerMethod(Method):
    """A method with the options `layer` and `input`.

    With `layer` the values are (B, ...) in the shape of that layer's output, for each of its units at each of its places: a
    table's hidden units (B, u), an image's or a volume's (B, h, w, c), a series' or a text's (B, t, c). A layer that is shared
    gives something at each of its calls: `input` chooses the call that is fed by this input, see `LayerMap`.
    """

    # Fields of the subclasses, which have options of their own before them.
    layer: str | None
    input: str | int | None

    @property
    def is_of_input(self) -> bool:
        return self.input_shaped and self.layer is None

    @property
    def layer_of_units(self) -> str:
        return self.layer or ""

    @property
    def full_title(self) -> str:
        return self.title if self.layer is None else f"{self.title} at {self.layer}"

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)
        elif self.input is not None:
            raise InvalidInput("input= chooses a call of a layer that is shared: name that with layer=.")

    def required_layers(self, batch: Batch) -> Sequence[keras.layers.Layer]:
        return [] if self.layer is None else [self.chosen_layer(batch)]

    def chosen_layer(self, batch: Batch) -> keras.layers.Layer:
        """The layer that is asked for."""
        assert self.layer is not None
        return find_layer(batch.model, self.layer)

    def chosen_call(self, batch: Batch) -> int:
        """The number of its call that the values are of.

        Raises:
            InvalidInput: `input` is none of the model's inputs, or the layer is not fed by it.
        """
        return batch.memoize(self, lambda: chosen_call(batch, self.chosen_layer(batch), self.input))

    def activation(self, batch: Batch) -> LayerOutput:
        """The layer's output for the rows, at this call: (n, ...).

        Raises:
            InvalidInput: it has no row of numbers for each sample.
        """
        layer = self.chosen_layer(batch)
        activation = batch.activations(layer)[self.chosen_call(batch)]
        shape, dtype = tuple(activation.output.shape), keras.backend.standardize_dtype(activation.output.dtype)
        if not shape or shape[0] != batch.size or not keras.backend.is_float_dtype(dtype):
            raise InvalidInput(
                f"Layer {layer_path(layer, batch.model)!r} gives {dtype} {shape} for {batch.size} samples: a row of floats for "
                f"each is expected, as windows of an image have none. Name another layer with layer=."
            )
        return activation


def chosen_call(batch: Batch, layer: keras.layers.Layer, name: str | int | None) -> int:
    """The number of a layer's call: of the first one, with a remark where there are more, or of the one that an input feeds.

    Args:
        batch: for the calls, the inputs behind them and their names; the layer is among those that it watches.
        layer: whose calls they are.
        name: of the input, or its number; None for the first call.

    Raises:
        InvalidInput: there is no such input, or the layer is not fed by it.
    """
    fed_by = [sorted(batch.inputs_behind(activation)) for activation in batch.activations(layer)]
    path = layer_path(layer, batch.model)
    if name is None:
        if len(fed_by) > 1:
            batch.remarks.append(_remark_on_shared(path, 0, fed_by, batch, may_choose=True))
        return 0
    number = input_number(name, batch.input_names)
    calls = [k for k, inputs in enumerate(fed_by) if number in inputs]
    if not calls:
        numbers = sorted(set().union(*fed_by))
        names = listed(batch.input_names[k][-1] for k in numbers)
        raise InvalidInput(f"Layer {path!r} is not fed by the input {name!r}, but by {names}.")
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
