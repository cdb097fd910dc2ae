"""The activations of layers in a forward pass, by their calls and what made the tensors; the same on every framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_xai.backend.ancestry import Ancestry, activation_function, final_nodes, is_moved, with_ancestors
from keras_xai.backend.layer_calls import FirstCall
from keras_xai.backend.masks import keras_mask
from keras_xai.backend.protocol import Activation, Tensor, Tensors


def activations_of(
    calls: Sequence[FirstCall], inputs: Sequence[Tensor], outputs: Tensor, ancestry: Ancestry
) -> list[Activation]:
    """The activations of layers.

    Args:
        calls: of the layers, from `record_first_calls`. Keras puts a mask on a layer's output when its call has returned: so
            this is to run after the pass.
        inputs: (n, ...) of the pass.
        outputs: of the model.
        ancestry: of the pass.
    """
    reading = _Reading(inputs, outputs, ancestry)
    activations: list[Activation] = []
    for call in calls:
        layer_input = reading.first_tensor(call.arguments)
        follows = []
        for earlier in activations:
            if earlier.output is not None and reading.is_same(earlier.output, layer_input):
                follows.append(earlier.layer)
        activations.append(reading.activation(call, layer_input)._replace(follows=tuple(follows)))
    return activations


class _Reading:
    """Reads the activations of layers off one pass."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Tensor, ancestry: Ancestry) -> None:
        self._ancestry = ancestry
        self._samples: int | None = inputs[0].shape[0]
        node = ancestry.node(outputs)
        self._final = final_nodes(node, ancestry)
        self._before_outputs = with_ancestors([node], ancestry)

    def activation(self, call: FirstCall, layer_input: Tensor) -> Activation:
        """The activation of a layer: of the tensors in its output the first that is readable and leads on.

        Args:
            call: of the layer.
            layer_input: the first tensor that it was called with, None without.
        """
        node = self._ancestry.node
        floating = [tensor for tensor in self._tensors_in(call.output) if is_floating(tensor)]
        problems = [self._problem(tensor) for tensor in floating]
        readable = [tensor for tensor, problem in zip(floating, problems, strict=True) if not problem]
        unreadable = Activation(
            layer=call.layer,
            output=None,
            mask=None,
            function="",
            is_input=False,
            is_final=False,
            follows=(),
            calls=call.calls,
            leads=False,
            varies=False,
            problem=problems[0] if problems else self._nothing_floating(call.output),
        )
        if not readable:
            return unreadable
        leading = [tensor for tensor in readable if node(tensor) in self._before_outputs]
        tensor = (leading or readable)[0]
        return unreadable._replace(
            output=tensor,
            mask=self._mask(tensor, layer_input),
            function=activation_function(node(tensor), self._ancestry),
            is_input=self._is_input(tensor, layer_input),
            is_final=node(tensor) in self._final,
            leads=bool(leading),
            varies=self._ancestry.varies(tensor),
            problem="",
        )

    def first_tensor(self, values: Any) -> Tensor:
        """The first dense tensor of a structure, None without one."""
        return next(self._tensors_in(values), None)

    def is_same(self, tensor: Tensor, other: Tensor) -> bool:
        """True where two tensors are one; `other` may be None."""
        return other is not None and self._ancestry.node(tensor) == self._ancestry.node(other)

    def _tensors_in(self, values: Any) -> Iterator[Tensor]:
        return (value for value in keras.tree.flatten(values) if self._ancestry.is_dense(value))

    def _problem(self, tensor: Tensor) -> str:
        """Why a floating tensor cannot be read as one row of features a sample; "" where it can."""
        problem = self._ancestry.problem(tensor)
        if problem:
            return problem
        shape = tuple(tensor.shape)
        sides = ["?" if side is None else str(side) for side in shape]
        written = f"({', '.join(sides)}{',' if len(shape) == 1 else ''})"
        if not shape or shape[0] not in (None, self._samples):
            return f"its output has the shape {written} for {self._samples} samples, not a row for each"
        if None in shape[1:]:
            return f"its output has the shape {written}, of which a part is not known in advance"
        if 0 in shape:
            return f"its output has the shape {written} and is empty"
        return ""

    def _nothing_floating(self, output: Any) -> str:
        """Why an output without any floating tensor cannot be read."""
        if output is None:
            return "it gives nothing"
        tensor = self.first_tensor(output)
        if tensor is None:
            leaves: Tensors = keras.tree.flatten([output])
            return f"it gives no dense tensor ({type(leaves[0]).__name__})"
        name = dtype_name(tensor)
        if "complex" in name:
            return "it gives complex numbers, which have no order"
        kinds = {"bool": "yes or no", "string": "text"}
        return f"it gives {kinds.get(name, 'integers')}, in which nothing is by degrees"

    def _mask(self, output: Tensor, layer_input: Tensor) -> Tensor:
        """The steps of a sequence that count: as Keras has it for the output, else for an input of as many steps (a layer that
        knows no masks drops them, the padding is padding all the same)."""
        if len(output.shape) < 3:
            return None
        for tensor in (output, layer_input):
            mask = None if tensor is None else keras_mask(tensor)
            if (
                mask is not None
                and self._ancestry.is_dense(mask)
                and len(mask.shape) == 2
                and _may_be_equal(mask.shape[0], output.shape[0])
                and mask.shape[1] == output.shape[1]
                and not self._ancestry.problem(mask)
            ):
                return mask
        return None

    def _is_input(self, output: Tensor, layer_input: Tensor) -> bool:
        """True where an output is the layer's input again, in another shape at most."""
        if layer_input is None or not _may_be_equal(layer_input.shape[0], output.shape[0]):
            return False  # another number of rows: what was a part of a sample is a sample again
        return is_moved(self._ancestry.node(output), self._ancestry.node(layer_input), self._ancestry)


def is_floating(tensor: Tensor) -> bool:
    """True for a tensor of floating-point numbers."""
    return "float" in dtype_name(tensor)


def dtype_name(tensor: Tensor) -> str:
    """The name of a tensor's dtype, as Keras has it."""
    try:
        name: str = keras.backend.standardize_dtype(tensor.dtype)
    except ValueError:  # a dtype that Keras does not know
        name = str(tensor.dtype)
    return name


def _may_be_equal(side: int | None, other: int | None) -> bool:
    """True where two lengths, of which None is not known, may be equal."""
    return side is None or other is None or side == other
