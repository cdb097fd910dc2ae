"""Runs the model over the probe and hands out one matrix a layer, with live weights; compiled once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.attribution.engine import Engine, said_of_side_effects
from keras_xai.attribution.layer_map import channels_first
from keras_xai.attribution.method import every_layer
from keras_xai.attribution.question import Output
from keras_xai.backend import chosen
from keras_xai.errors import listed
from keras_xai.mapping.layers import candidates, followed, names, unreadable
from keras_xai.mapping.pooling import BOUNDS, FLAT, by_weights, pooled

# Where zero throughout says that a unit is dead; of a sigmoid or a tanh it would say nothing.
RECTIFIERS = ("relu", "relu6")
LAST = ""  # the row of what the model says, until the first reading names it

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """What is known of a layer without its values."""

    name: str
    width: int  # units
    columns: int  # D
    function: str  # that made its output, "" unknown


@dataclass(frozen=True, eq=False)
class Matrix:
    """A layer's pooled activations Z (B, D), centred: as they are, or, where D > B, as their Gram matrix ZZᵀ (B, B)."""

    values: NDArray[np.float32]
    gram: bool
    power: float  # Σ‖z‖² before centring
    mean: float  # these four over all activations, positions included
    std: float
    saturation: float
    dead: float


@dataclass(frozen=True, eq=False)
class Reading:
    """One look at a probe."""

    outputs: NDArray[np.float32]  # (B, K) what the model says
    logits: NDArray[np.float32]  # (B, K) the logits behind it, where it has some
    matrices: tuple[Matrix, ...]
    embedding: NDArray[np.float32] | None  # (B, D) the mean embedding of the steps that count


@dataclass(eq=False)
class _Traced:
    """What the trace finds out."""

    layers: list[Layer] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    embeds: bool = False
    function: str = ""  # between logits and outputs


class Reader(Engine):
    """Reads the layers of a model on one probe.

    The last row of every reading is what the model says, called "logits" where it has some, else "output".

    Args:
        model: a built Keras model.
        x: the probe's arrays, as the graph takes them.
        like: the input as the user holds it, for its structure.
        output: see `Probe`.
        layers: paths, or None for the rule of `layers.followed`.

    Raises:
        InvalidInput: a path that does not exist; at the first reading, a layer that gives nothing to read.

    Cost:
        One forward pass over the probe, and for each layer B² · D multiplications or fewer.
    """

    def __init__(
        self, model: keras.Model, x: list[NDArray[Any]], like: Any, output: Output, layers: Sequence[str] | None
    ) -> None:
        super().__init__(model, {}, like, output)
        self._x, self.size = x, len(x[0])
        self._named = layers is not None
        self._candidates = candidates(model, layers)
        self._embeddings = [one for one in every_layer(model) if isinstance(one, keras.layers.Embedding)]
        self.traced = _Traced()
        self._read = chosen().compiled(self._rows, model=model)
        self._factored = chosen().compiled(self._matrices)
        self._at_once = chosen().compiled(self._rows_and_matrices, model=model)

    @property
    def side_effects(self) -> str:
        return said_of_side_effects(self._read.lasting or self._at_once.lasting)

    @property
    def layers(self) -> list[Layer]:
        """Known after the first reading."""
        return self.traced.layers

    def read(self) -> Reading:
        """The probe, with the model's present weights."""
        backend, parts = chosen(), []
        chunks = self._chunks(self.size)
        graph = self._read if len(chunks) > 1 else self._at_once
        step = min(self.chunk, self.size)
        for begin, rows in zip(range(0, self.size, step), chunks, strict=True):
            fresh = np.arange(begin, begin + step) < self.size  # what fills up the last chunk weighs nothing
            parts.append(graph([a[rows] for a in self._x], fresh * 1.0))
        outputs, scores, embedding, rows_of, told, peaked = ([part[k] for part in parts] for k in range(6))
        said = self._joined(outputs)
        self._name_last(said)
        if len(chunks) > 1:
            joined, powers = self._factored([list(parts) for parts in zip(*rows_of, strict=True)])
        else:
            joined, powers = parts[0][6:]
        moments = np.stack([backend.numpy(part) for part in told]).astype(np.float64)  # (chunks, L, 4)
        peaks = np.stack([backend.numpy(part) for part in peaked]).max(0)
        edges = np.cumsum([0, *(layer.width for layer in self.layers)])
        return Reading(
            outputs=said,
            logits=self._joined(scores),
            matrices=tuple(
                self._matrix(
                    layer, backend.numpy(joined[k]), float(power), moments[:, k], peaks[edges[k] : edges[k + 1]]
                )
                for k, (layer, power) in enumerate(zip(self.layers, backend.numpy(powers), strict=True))
            ),
            embedding=self._joined(embedding) if self.traced.embeds else None,
        )

    def _name_last(self, outputs: NDArray[np.float32]) -> None:
        """Whether they are logits may be for the loss to say, or for the values."""
        last = self.layers[-1]
        if last.name == LAST:
            name = "logits" if self.question.space(outputs) == "logit" else "output"
            taken = any(layer.name == name for layer in self.layers)
            self.layers[-1] = dataclasses.replace(last, name=f"{name} of the model" if taken else name)

    def _joined(self, parts: list[Any]) -> NDArray[np.float32]:
        rows = np.concatenate([chosen().numpy(part) for part in parts])[: self.size]
        return rows.reshape(self.size, -1).astype(np.float32)

    def _matrix(self, layer: Layer, values: NDArray[Any], power: float, moments: Array, peaks: NDArray[Any]) -> Matrix:
        count, mean, squares, flat = moments.T
        total = count.sum() or np.nan  # a mask that lets no step through
        middle = float(count @ mean / total)
        # Chan's rule adds up the squares of parts around the mean of all.
        variance = float((squares + count * (mean - middle) ** 2).sum() / total)
        known = layer.function in (*FLAT, *BOUNDS)
        return Matrix(
            values=values,
            gram=layer.columns > self.size,
            power=power,
            mean=middle,
            std=float(np.sqrt(variance)),
            saturation=float(flat.sum() / total) if known else np.nan,
            dead=float((peaks == 0).mean()) if layer.function in RECTIFIERS and np.isfinite(peaks).all() else np.nan,
        )

    # Inside graphs.

    def _rows(self, x: list[Any], weight: Any) -> tuple[Any, Any, Any, list[Any], Any, Any]:
        """Outputs, logits, mean embedding, and each layer's rows, moments (L, 4) and peaks, one behind the other."""
        self.traces += 1
        backend, model = chosen("activations"), self._model
        listened = [*self._candidates, *(e for e in self._embeddings if not any(e is c for c in self._candidates))]
        (outputs, scores), heard = backend.heard(self.question.scores, x, listened)
        final, function = backend.ending(outputs)
        part = backend.leading([one.output for one in heard], outputs)  # not what only another output is made of
        of_candidates = [
            one
            for one, leads in zip(heard, part, strict=True)
            if (leads or one.problem) and any(one.layer is c for c in self._candidates)
        ]
        if self._named:
            unreadable(of_candidates, self._candidates, model)
            taken = of_candidates
        else:
            taken = followed(of_candidates, final)
        found = [pooled(one.output, weight, one.mask, one.function, channels_first(one.layer, model)) for one in taken]
        found = [
            by_weights(part, one.layer.weights) if one.function in RECTIFIERS else part
            for part, one in zip(found, taken, strict=True)
        ]
        scores = ops.reshape(scores, (-1, self.question.width or 1))
        found.append(pooled(scores, weight, None, "", False))
        told = zip([*names(taken, model), LAST], [*(one.function for one in taken), ""], found, strict=True)
        embedded = [one for one in heard if any(one.layer is e for e in self._embeddings) and not one.problem]
        self.traced = _Traced(
            layers=[Layer(n, int(part.peaks.shape[0]), int(part.rows.shape[1]), f) for n, f, part in told],
            shared=[name for name, one in zip(names(taken, model), taken, strict=True) if one.calls > 1],
            embeds=bool(embedded),
            function=function,
        )
        mean = pooled(embedded[0].output, weight, embedded[0].mask, "", False).rows if embedded else scores
        moments = ops.stack([part.moments for part in found])
        return outputs, scores, mean, [part.rows for part in found], moments, ops.concatenate([p.peaks for p in found])

    def _rows_and_matrices(self, x: list[Any], weight: Any) -> tuple[Any, ...]:
        """Both in one graph, for a probe of one chunk."""
        found = self._rows(x, weight)
        return (*found, *self._matrices([[rows] for rows in found[3]]))

    def _matrices(self, parts: list[list[Any]]) -> tuple[list[Any], Any]:
        """Every layer's rows joined and centred, and Σ‖z‖² before that."""
        joined, powers = [], []
        for layer, rows in zip(self.layers, parts, strict=True):
            z = ops.concatenate(rows)[: self.size]
            powers.append(ops.sum(ops.square(z)))
            # Before any product: a Gram matrix of float32 with an offset of 1e4 is noise. Twice, since the first mean is rounded.
            z = z - ops.mean(z, 0)
            z = z - ops.mean(z, 0)
            joined.append(ops.matmul(z, ops.transpose(z)) if layer.columns > self.size else z)
        return joined, ops.stack(powers)


def shared_note(reader: Reader) -> str:
    """What to say of layers that are called more than once; "" if none is."""
    if not reader.traced.shared:
        return ""
    return f"Called more than once, and read at their first call: {listed(reader.traced.shared)}."
