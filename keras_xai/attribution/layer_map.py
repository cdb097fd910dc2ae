"""Where in a picture: what the methods share that read a map off a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import keras

from keras_xai.attribution.method import Method, Rows, Tensor, every_layer, find_layer, path_of
from keras_xai.errors import InvalidInput, listed


@dataclasses.dataclass(frozen=True)
class LayerMap(Method):
    """A (B, h, w) map from a layer's activation A and the score's gradient G with respect to it, both (n, h, w, c).

    A method of this family says one thing: how A and G make a map.

    A layer that is shared, as by the two halves of a Siamese model, gives something at each of its calls: `input` chooses the
    call that is fed by this input, by name or number. Without it the map is of the first call, and a warning says so.
    """

    on_input: ClassVar[bool] = False

    layer: str | None = None
    input: str | int | None = None

    def check(self, model: keras.Model) -> None:
        if self.layer is not None:
            find_layer(model, self.layer)

    def reads(self, at: Rows) -> Sequence[keras.layers.Layer]:
        return [at.spatial_layers[-1] if self.layer is None else find_layer(at.model, self.layer)]

    def values(self, at: Rows) -> list[Tensor]:
        (layer,) = self.reads(at)
        call = self._call(at, layer)
        activation = at.activations(layer)[call]
        if len(activation.shape) != 4:
            spatial = listed(path_of(one, at.model) for one in at.spatial_layers)
            raise InvalidInput(
                f"Layer {path_of(layer, at.model)!r} gives {tuple(activation.shape)}: a map needs places, (n, h, w, c). "
                f"These have some: {spatial}."
            )
        first = channels_first(layer, at.model)

        def last(t: Tensor) -> Tensor:
            t = keras.ops.cast(t, "float32")
            return keras.ops.transpose(t, (0, 2, 3, 1)) if first else t

        return [self.map(at, last(activation), last(at.slope(layer, call)) if self.differentiates else None)]

    def _call(self, at: Rows, layer: keras.layers.Layer) -> int:
        """The number of the call that the map is of.

        Raises:
            InvalidInput: `input` is none of the model's inputs, or the layer is not fed by it.
        """
        fed = [sorted(at.inputs_of(activation)) for activation in at.activations(layer)]
        wanted = None if self.input is None else self._input(at)
        calls = [k for k, inputs in enumerate(fed) if wanted is None or wanted in inputs]
        path = path_of(layer, at.model)
        if not calls:
            names = listed(at.names[k][-1] for k in sorted({k for inputs in fed for k in inputs}))
            raise InvalidInput(f"Layer {path!r} is not fed by the input {self.input!r}, but by {names}.")
        calls.sort(key=lambda k: len(fed[k]))  # one that is fed by this input alone comes before one that also is
        if len(calls) > 1 and (wanted is None or len(fed[calls[1]]) == len(fed[calls[0]])):
            at.remarks.append(
                _shared(path, min(calls) if wanted is None else calls[0], fed, at, chosen=wanted is not None)
            )
        return min(calls) if wanted is None else calls[0]

    def _input(self, at: Rows) -> int:
        """The number of the input that `input` names."""
        if isinstance(self.input, int) and not isinstance(self.input, bool):
            if 0 <= self.input < len(at.names):
                return self.input
        else:
            for k, names in enumerate(at.names):
                if self.input in names:
                    return k
        raise InvalidInput(
            f"There is no input {self.input!r}; the model has {listed(names[-1] for names in at.names)}."
        )

    def map(self, at: Rows, activation: Tensor, gradient: Tensor) -> Tensor:
        """(n, h, w). The gradient is None for a method that needs none."""
        raise NotImplementedError


def _shared(path: str, call: int, fed: Sequence[Sequence[int]], at: Rows, *, chosen: bool) -> str:
    """The sentence that says which call of a shared layer a map is of."""
    inputs = [listed(at.names[k][-1] for k in numbers) or "no input" for numbers in fed]
    each = ", ".join(f"call {k} by {names}" for k, names in enumerate(inputs, 1))
    apart = len({tuple(numbers) for numbers in fed}) > 1 and not chosen
    way = " Choose another one with input=." if apart else ""
    return f"Layer {path!r} is called {len(fed)} times ({each}): the map is of call {call + 1}, on {inputs[call]}.{way}"


def channels_first(layer: keras.layers.Layer, model: keras.Model) -> bool:
    """Whether a layer's output is (n, c, h, w); one that does not say follows the model's first layer that does."""
    for one in (layer, *every_layer(model)):
        if (found := getattr(one, "data_format", None)) is not None:
            return bool(found == "channels_first")
    return False
