"""Tokens are explained where they become numbers: at the output of the embedding that looks them up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_xai.attribution.method import Rows, Tensor
from keras_xai.attribution.question import NOTHING
from keras_xai.backend import get_backend


class EmbeddedRows(Rows):
    """Rows whose tokens were looked up: `x` holds embeddings (n, T, D), and every method works on them unchanged.

    The tokens themselves are still fed, so a mask made of them (`mask_zero`) is kept, and position embeddings beside them
    are left alone. A baseline token below zero is an embedding of zeros.
    """

    def __init__(self, plain: Rows, layers: Sequence[keras.layers.Layer]) -> None:
        self._plain, self._layers = plain, layers
        found = get_backend().embedding_outputs(plain._ask, plain.x, layers)
        self._tokens = sorted({k for k, _ in found})
        self._looked = [k for k, _ in found]  # which input each embedding comes from
        self._direct = [k for k in range(len(plain.x)) if k not in self._tokens]
        super().__init__(
            self._ask_embedded,
            [*(plain.x[k] for k in self._direct), *(output for _, output in found)],
            [],
            plain.target,
            plain.model,
            plain.chunk,
            task=plain.task,
        )
        self.given = plain.x
        self.sources = [*self._direct, *self._looked]
        self.baseline = self.lifted(plain.baseline) if plain.baseline else []

    @property
    def has_tokens(self) -> bool:
        """Whether any input is looked up at all."""
        return bool(self._tokens)

    def _ask_embedded(self, z: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs and scores with these embeddings in the place of the tokens' own; as many copies of the rows as come."""
        ops = keras.ops
        copies = z[0].shape[0] // self._plain.size
        inputs: list[Any] = [None] * len(self._plain.x)
        for k, one in zip(self._direct, z, strict=False):
            inputs[k] = one
        for k in self._tokens:
            tokens = self._plain.x[k]
            inputs[k] = ops.tile(tokens, [copies] + [1] * (len(tokens.shape) - 1))
        found: tuple[Tensor, Tensor] = get_backend().substitute_embeddings(
            self._plain._ask, inputs, self._layers, z[len(self._direct) :]
        )
        return found

    def lifted(self, arrays: list[Tensor]) -> list[Tensor]:
        ops = keras.ops
        known = [ops.maximum(a, 0) if k in self._tokens else a for k, a in enumerate(arrays)]
        looked = get_backend().embedding_outputs(self._plain._ask, known, self._layers)
        embeddings = []
        for k, output in looked:
            there = ops.cast(arrays[k] >= 0, output.dtype)
            embeddings.append(output * ops.reshape(there, (*output.shape[:-1], 1)))
        return [*(arrays[k] for k in self._direct), *embeddings]

    def masks(self, masks: list[Tensor]) -> list[Tensor]:
        """A token is taken away as a whole, from all embeddings that look it up."""
        ops = keras.ops
        found = []
        for k, x in zip(self.sources, self.x, strict=True):
            mask = masks[k]
            if k in self._tokens:
                whole = ops.broadcast_to(mask, (*mask.shape[:2], *self.given[k].shape[1:]))
                mask = ops.reshape(whole, (*mask.shape[:2], *x.shape[1:-1], 1))
            found.append(mask)
        return found

    @functools.cached_property
    def looked_up(self) -> list[bool]:
        return [k in self._tokens for k in range(len(self.given))]

    def lowered(self, values: list[Tensor]) -> list[Tensor]:
        ops = keras.ops
        found: list[Any] = [None] * len(self.given)
        for k, value in zip(self._direct, values, strict=False):
            found[k] = value
        for k, value in zip(self._looked, values[len(self._direct) :], strict=True):
            summed = ops.reshape(ops.sum(value, axis=-1), self.given[k].shape)
            found[k] = summed if found[k] is None else found[k] + summed
        return found


def rows_of(plain: Rows) -> Rows:
    """The rows as methods see them: embedded where the model looks tokens up; other integers have 0 for `NOTHING`."""
    layers = [one for one in plain.model._flatten_layers() if isinstance(one, keras.layers.Embedding)]
    embedded = EmbeddedRows(plain, layers) if layers else None
    rows = embedded if embedded is not None and embedded.has_tokens else plain
    rows.baseline = [
        keras.ops.where(keras.ops.equal(b, NOTHING), 0, b) if "int" in keras.backend.standardize_dtype(b.dtype) else b
        for b in rows.baseline
    ]
    return rows
