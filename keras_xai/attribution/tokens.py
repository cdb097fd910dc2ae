"""Tokens are explained where they become numbers: at the output of the embedding that looks them up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_xai.attribution.batch import Batch
from keras_xai.backend import get_backend
from keras_xai.backend.layer_calls import replaced_outputs, substitute_embeddings
from keras_xai.backend.protocol import EmbeddingCall, LayerOutput, Tensor, Tensors
from keras_xai.model.inputs import ABSENT_TOKEN


class EmbeddedBatch(Batch):
    """A batch whose tokens were looked up: `x` holds embeddings (n, T, D), and every method works on them unchanged.

    The tokens themselves are still fed, so a mask made of them (`mask_zero`) is kept, and position embeddings beside them
    are left alone. A baseline token below zero is an embedding of zeros.

    Args:
        plain: the batch of tokens.
        layers: the model's embeddings.
        calls: of these layers in a pass over `plain`.
    """

    def __init__(self, plain: Batch, layers: Sequence[keras.layers.Layer], calls: Sequence[EmbeddingCall]) -> None:
        self._plain, self._layers = plain, layers
        self._looks_up = [call.input_index is not None for call in calls]
        # Which input each embedding comes from, and which inputs are fed as they are.
        self._embedded = [call.input_index for call in calls if call.input_index is not None]
        self._direct = [k for k in range(len(plain.x)) if k not in self._embedded]
        embeddings = [call.output for call in calls if call.input_index is not None]
        super().__init__(
            self._outputs_of_embeddings,
            [*(plain.x[k] for k in self._direct), *embeddings],
            [],
            plain.target,
            plain.model,
            plain.chunk,
            task=plain.task,
            input_names=plain.input_names,
            progress=plain.progress,
            score_type=plain.score_type,
            placements=plain.placements,
            is_dense=plain.is_dense,
        )
        self.model_inputs = plain.x
        self.input_index = [*self._direct, *self._embedded]
        self.baseline = self.embed(plain.baseline) if plain.baseline else []

    def _outputs_of_embeddings(self, z: Tensors) -> Tensor:
        """Outputs with these embeddings in the place of the tokens' own; as many copies of the rows as come."""
        ops = keras.ops
        copies = z[0].shape[0] // self._plain.size
        inputs: list[Any] = [None] * len(self._plain.x)
        for k, direct in zip(self._direct, z, strict=False):
            inputs[k] = direct
        for k in set(self._embedded):
            tokens = self._plain.x[k]
            inputs[k] = ops.tile(tokens, [copies] + [1] * (len(tokens.shape) - 1))
        embeddings = iter(z[len(self._direct) :])
        by_call = [next(embeddings) if looks_up else None for looks_up in self._looks_up]
        return substitute_embeddings(self._plain.run_model, inputs, self._layers, by_call)

    def embed(self, arrays: Tensors) -> Tensors:
        ops = keras.ops
        tokens = [ops.maximum(a, 0) if k in self._embedded else a for k, a in enumerate(arrays)]
        embeddings = []
        for k, output in get_backend().embedding_outputs(self._plain.run_model, tokens, self._layers):
            if k is not None:
                is_token = ops.cast(arrays[k] >= 0, output.dtype)
                embeddings.append(output * ops.reshape(is_token, (*output.shape[:-1], 1)))
        return [*(arrays[k] for k in self._direct), *embeddings]

    def input_masks(self, masks: Tensors) -> Tensors:
        """A token is taken away as a whole, from all embeddings that look it up."""
        ops = keras.ops
        by_input = []
        for k, x in zip(self.input_index, self.x, strict=True):
            mask = masks[k]
            if k in self._embedded:
                of_tokens = ops.broadcast_to(mask, (*mask.shape[:2], *self.model_inputs[k].shape[1:]))
                mask = ops.reshape(of_tokens, (*mask.shape[:2], *x.shape[1:-1], 1))
            by_input.append(mask)
        return by_input

    # At the embeddings themselves: they are inputs here, and their own outputs lead nowhere.

    def activations(self, layer: keras.layers.Layer) -> list[LayerOutput]:
        outputs = super().activations(layer)
        for call, number in self._inputs_of(layer).items():
            outputs[call] = LayerOutput(self.x[number], frozenset([number]))
        return outputs

    def activation_gradient(self, layer: keras.layers.Layer, call: int) -> Tensor:
        number = self._inputs_of(layer).get(call)
        return super().activation_gradient(layer, call) if number is None else self.gradient[number]

    def at_layer(self, x: Tensors, target: Tensor, layer: keras.layers.Layer, call: int) -> tuple[Tensor, Tensor]:
        number = self._inputs_of(layer).get(call)
        if number is None:
            return super().at_layer(x, target, layer, call)
        return keras.ops.cast(x[number], "float32"), self.gradient_of(x, target)[number]

    def deeplift_at(self, layer: keras.layers.Layer, call: int) -> tuple[Tensor, Tensor]:
        number = self._inputs_of(layer).get(call)
        if number is None:
            return super().deeplift_at(layer, call)
        multiplier = self.deeplift_multipliers()[number]
        difference = self.x[number] - self.path_start[number]
        return keras.ops.cast(multiplier, "float32"), keras.ops.cast(difference, "float32")

    def _inputs_of(self, layer: keras.layers.Layer) -> dict[int, int]:
        """The numbers of `x` that calls of an embedding are, by the number of the call; none for any other layer."""
        numbers: dict[int, int] = {}
        call = looked_up = 0
        if not any(layer is embedding for embedding in self._layers):
            return numbers
        for of_layer, looks_up in zip(self._layers_of_calls, self._looks_up, strict=True):
            if of_layer is layer:
                if looks_up:
                    numbers[call] = len(self._direct) + looked_up
                call += 1
            looked_up += looks_up
        return numbers

    @functools.cached_property
    def _layers_of_calls(self) -> list[keras.layers.Layer]:
        """The embedding that each call is of."""
        layers: list[keras.layers.Layer] = []

        def note(layer: keras.layers.Layer, output: Any) -> Any:
            layers.append(layer)
            return output

        with replaced_outputs(self._layers, note):
            self._plain.run_model(list(self._plain.x))
        return layers

    @property
    def holds_tokens(self) -> list[bool]:
        return [k in self._embedded for k in range(len(self.model_inputs))]

    def sum_over_embedding(self, values: Tensors) -> Tensors:
        ops = keras.ops
        summed: list[Any] = [None] * len(self.model_inputs)
        for k, value in zip(self._direct, values, strict=False):
            summed[k] = value
        for k, value in zip(self._embedded, values[len(self._direct) :], strict=True):
            tokens = ops.reshape(ops.sum(value, axis=-1), self.model_inputs[k].shape)
            summed[k] = tokens if summed[k] is None else summed[k] + tokens
        return summed


def batch_for_methods(plain: Batch) -> Batch:
    """The batch as methods see it: embedded where the model looks tokens up; other integers have 0 for `ABSENT_TOKEN`."""
    layers = [layer for layer in plain.model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    batch = plain
    if layers:
        calls = get_backend().embedding_outputs(plain.run_model, plain.x, layers)
        if any(call.input_index is not None for call in calls):
            batch = EmbeddedBatch(plain, layers, calls)
    batch.baseline = [_without_absent_tokens(baseline) for baseline in batch.baseline]
    return batch


def _without_absent_tokens(baseline: Tensor) -> Tensor:
    if "int" not in keras.backend.standardize_dtype(baseline.dtype):
        return baseline
    return keras.ops.where(keras.ops.equal(baseline, ABSENT_TOKEN), 0, baseline)
