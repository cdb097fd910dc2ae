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
from keras_xai.attribution.method import every_layer, path_of
from keras_xai.attribution.question import Output
from keras_xai.attribution.samples import Samples
from keras_xai.attribution.task import Task
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, cause, listed
from keras_xai.mapping.layers import candidates, check_named, followed, left_out, names, unreadable
from keras_xai.mapping.pooling import BOUNDS, CONSTANT_VALUES, Pooled, pool_activation, spoil_by_weights

# Where zero throughout says that a unit is dead; of a sigmoid or a tanh it would say nothing.
RECTIFIERS = ("relu", "relu6")
APART = 1e-4  # of the largest activation: what is further apart than that is not the same
ROWS_AT_ONCE = 2**22  # entries that are compared at once
LAST = ""  # the row of what the model says, until the first reading names it

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """What is known of a layer without its values."""

    name: str
    width: int  # units
    columns: int  # D
    function: str  # that made its output, "" unknown
    moved: bool = True  # whether what differs between the samples leads to it


@dataclass(frozen=True, eq=False)
class Matrix:
    """A layer's pooled activations Z (B, D), centred: as they are, or, where D > B, as their Gram matrix ZZᵀ (B, B)."""

    values: NDArray[np.float32]
    gram: bool
    power: float  # Σ‖z‖² before centring
    mean: float  # these over all activations, positions included
    std: float
    saturation: float
    dead: float
    apart: float  # the largest distance of a sample from another, over the largest activation


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
    reasons: dict[str, str] = field(default_factory=dict)  # why layers are not followed, by path
    counted: list[keras.layers.Layer | None] = field(default_factory=list)  # whose rows are counted; None the model's
    embeds: bool = False
    function: str = ""  # between logits and outputs


class _Counted:
    """Tensors with a row for each sample; where only the running graph knows how many they have, they are counted.

    Args:
        samples: n.
    """

    def __init__(self, samples: int) -> None:
        self.layers: list[keras.layers.Layer | None] = []  # that gave what is counted; None for the model's own output
        self._samples = samples
        self._counts: list[Any] = []

    def fitted(self, tensor: Any, layer: keras.layers.Layer | None) -> Any:
        """(n, ...) the tensor; None stays None."""
        if tensor is None or tensor.shape[0] is not None:
            return tensor
        rows, count = get_backend().fit_rows(tensor, self._samples)
        self.layers.append(layer)
        self._counts.append(count)
        return rows

    def counts(self) -> Any:
        """One a counted tensor."""
        return ops.stack(self._counts) if self._counts else np.zeros(0, np.int32)


class Reader(Engine):
    """Reads the layers of a model on one probe.

    The last row of every reading is what the model says, called "logits" where it has some, else "output".

    Args:
        model: a built Keras model.
        x: the probe's arrays, as the graph takes them.
        like: the input as the user holds it, for its structure.
        output: see `Probe`.
        layers: paths, or None for the rule of `layers.followed`.
        y: (B, ...) labels, which may tell what the outputs say; None without.
        class_names: of the probe.

    Raises:
        InvalidInput: a path that does not exist; at a reading, a layer that was named and gives nothing to read, an output
            that is no scores.

    Cost:
        One forward pass over the probe, and for each layer B² · D multiplications or fewer.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Sequence[Samples],
        like: Any,
        output: Output,
        layers: Sequence[str] | None,
        y: NDArray[Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(model, {}, like, output)
        self._y, self._has_names = y, class_names is not None
        self._x, self.size = x, len(x[0])
        self._vary = [differs(a) for a in x]
        self._named = layers is not None
        self._candidates = candidates(model, layers)
        self._embeddings = [one for one in every_layer(model) if isinstance(one, keras.layers.Embedding)]
        self.traced = _Traced()
        self._excluded: dict[int, str] = {}  # why a layer is left out that the trace would follow, by its id
        self._settled = False  # whether a reading went through: from then on the layers stay the same
        self._read = get_backend().compiled(self._rows, model=model)
        self._factored = get_backend().compiled(self._matrices)
        self._at_once = get_backend().compiled(self._rows_and_matrices, model=model)

    @property
    def side_effects(self) -> str:
        return said_of_side_effects(self._read.lasting or self._at_once.lasting)

    @property
    def layers(self) -> list[Layer]:
        """Known after the first reading."""
        return self.traced.layers

    def read(self) -> Reading:
        """The probe, with the model's present weights.

        Raises:
            InvalidInput: see the class; a layer that no longer gives a row for each sample.
        """
        parts = self._read_chunks()
        while self._exclude_miscounted(parts):
            parts = self._read_chunks()
        self._settled = True
        return self._reading(parts)

    def exclude_layers(self, reason: str) -> None:
        """Follow the model's output alone from the next reading on, for this reason."""
        layers = [*self._candidates, *self._embeddings]
        self._excluded = {id(layer): reason for layer in layers} | self._excluded

    def _read_chunks(self) -> list[tuple[Any, ...]]:
        """What the graph gives for each chunk of the probe."""
        chunks = self._chunks(self.size)
        graph = self._read if len(chunks) > 1 else self._at_once
        step = min(self.chunk, self.size)
        parts = []
        for begin, rows in zip(range(0, self.size, step), chunks, strict=True):
            fresh = np.arange(begin, begin + step) < self.size  # what fills up the last chunk weighs nothing
            # The number of excluded layers is a constant of the graph: another number, another graph.
            parts.append(graph([a[rows] for a in self._x], fresh * 1.0, len(self._excluded)))
        return parts

    def _exclude_miscounted(self, parts: list[tuple[Any, ...]]) -> bool:
        """Whether some layers, whose rows are counted only when they run, gave another number of them than of samples.

        Raises:
            InvalidInput: the model's output does, or a layer that was named or that had the right number before.
        """
        samples = min(self.chunk, self.size)
        counts = np.stack([get_backend().numpy(part[6]) for part in parts])  # (chunks, counted layers)
        reasons: dict[int, str] = {}
        for layer, rows in zip(self.traced.counted, counts.T, strict=True):
            wrong = rows[rows != samples]
            if not wrong.size:
                continue
            if layer is None:
                raise InvalidInput(
                    f"The output has {wrong[0]} rows for {samples} samples: one row of scores each is expected."
                )
            reasons[id(layer)] = f"it gives {wrong[0]} rows for {samples} samples"
            if self._named or self._settled:
                check_named({path_of(layer, self._model): reasons[id(layer)]})
        self._excluded |= reasons
        return bool(reasons)

    def _reading(self, parts: list[tuple[Any, ...]]) -> Reading:
        """What the chunks say together."""
        backend = get_backend()
        outputs, scores, embedding, rows_of, told, peaked = ([part[k] for part in parts] for k in range(6))
        said = self._joined(outputs)
        self._name_last(self.question.settle(said, self._y, named=self._has_names))
        if len(parts) > 1:
            joined, powers = self._factored([list(parts) for parts in zip(*rows_of, strict=True)])
        else:
            joined, powers = parts[0][7:]
        moments = np.stack([backend.numpy(part) for part in told]).astype(np.float64)  # (chunks, L, 5)
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

    def _name_last(self, task: Task) -> None:
        """Whether they are logits may be for the loss to say, or for the values."""
        last = self.layers[-1]
        if last.name == LAST:
            name = "logits" if task.space == "logit" else "output"
            taken = any(layer.name == name for layer in self.layers)
            self.layers[-1] = dataclasses.replace(last, name=f"{name} of the model" if taken else name)

    def _joined(self, parts: list[Any]) -> NDArray[np.float32]:
        rows = np.concatenate([get_backend().numpy(part) for part in parts])[: self.size]
        return rows.reshape(self.size, -1).astype(np.float32)

    def _matrix(self, layer: Layer, values: NDArray[Any], power: float, moments: Array, peaks: NDArray[Any]) -> Matrix:
        count, mean, squares, flat, apart = moments.T
        total = count.sum() or np.nan  # a mask that lets no step through
        middle = float(count @ mean / total)
        # Chan's rule adds up the squares of parts around the mean of all.
        variance = float((squares + count * (mean - middle) ** 2).sum() / total)
        known = layer.function in (*CONSTANT_VALUES, *BOUNDS)
        largest = peaks.max() if peaks.size else 0.0
        return Matrix(
            values=values,
            gram=layer.columns > self.size,
            power=power,
            mean=middle,
            std=float(np.sqrt(variance)),
            saturation=float(flat.sum() / total) if known else np.nan,
            dead=float((peaks == 0).mean()) if layer.function in RECTIFIERS and np.isfinite(peaks).all() else np.nan,
            apart=float(apart.max() / largest) if largest > 0 else 0.0,
        )

    # Inside graphs.

    def _rows(self, x: list[Any], weight: Any, _excluded: int) -> tuple[Any, Any, Any, list[Any], Any, Any, Any]:
        """Outputs, logits, mean embedding, each layer's rows, moments (L, 5), peaks, one behind the other, and the numbers of
        rows that are known only as the graph runs."""
        self.traces += 1
        backend, model = get_backend(), self._model
        listened = [*self._candidates, *(e for e in self._embeddings if not any(e is c for c in self._candidates))]
        (outputs, scores), heard = backend.trace_activations(self.question.scores, x, listened, self._vary)
        final, function = backend.ending(outputs)
        taken, reasons = self._followed(heard, final)
        counted = _Counted(x[0].shape[0])
        parts = [self._pooled(activation, weight, counted) for activation in taken]
        outputs = counted.fitted(outputs, None)
        scores = ops.reshape(counted.fitted(scores, None), (-1, self.question.width or 1))
        parts.append(pool_activation(scores, weight, None, "", False))
        embedding = next((activation for activation in heard if self._embeds(activation)), None)
        mean = scores if embedding is None else self._pooled(embedding, weight, counted).rows
        paths, functions = names(taken, model), [activation.function for activation in taken]
        moved = [*(activation.varies for activation in taken), True]
        described = zip([*paths, LAST], [*functions, ""], moved, parts, strict=True)
        self.traced = _Traced(
            layers=[Layer(n, int(part.peaks.shape[0]), int(part.rows.shape[1]), f, m) for n, f, m, part in described],
            shared=[path for path, activation in zip(paths, taken, strict=True) if activation.calls > 1],
            reasons=reasons,
            counted=counted.layers,
            embeds=embedding is not None,
            function=function,
        )
        moments, peaks = ops.stack([part.moments for part in parts]), ops.concatenate([part.peaks for part in parts])
        return outputs, scores, mean, [part.rows for part in parts], moments, peaks, counted.counts()

    def _pooled(self, activation: Any, weight: Any, counted: _Counted) -> Pooled:
        """What a layer gave, pooled."""
        layer, function = activation.layer, activation.function
        output, mask = counted.fitted(activation.output, layer), counted.fitted(activation.mask, layer)
        rows = pool_activation(output, weight, mask, function, channels_first(layer, self._model))
        return spoil_by_weights(rows, layer.weights) if function in RECTIFIERS else rows

    def _followed(self, heard: Sequence[Any], final: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
        """Activations of the layers that are followed, and why others cannot be.

        Raises:
            InvalidInput: one that cannot be was named.
        """
        reasons = unreadable(heard, self._candidates, self._excluded)
        by_path = {
            path_of(layer, self._model): reasons[id(layer)] for layer in self._candidates if id(layer) in reasons
        }
        if self._named:
            check_named(by_path)
        readable_ids = {id(layer) for layer in self._candidates} - reasons.keys()
        readable = [activation for activation in heard if id(activation.layer) in readable_ids]
        return (readable if self._named else followed(readable, final)), by_path

    def _embeds(self, activation: Any) -> bool:
        """Whether it is what an embedding makes of the samples."""
        layer = activation.layer
        embeds = any(layer is embedding for embedding in self._embeddings)
        return embeds and not activation.problem and id(layer) not in self._excluded

    def _rows_and_matrices(self, x: list[Any], weight: Any, excluded: int) -> tuple[Any, ...]:
        """Both in one graph, for a probe of one chunk."""
        parts = self._rows(x, weight, excluded)
        return (*parts, *self._matrices([[rows] for rows in parts[3]]))

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


def differs(x: Samples) -> bool:
    """Whether some sample is another one than the first."""
    step = max(1, ROWS_AT_ONCE // max(1, int(np.prod(x.shape[1:]))))
    return any(bool((x[k : k + step] != x[:1]).any()) for k in range(0, len(x), step))


def still_by_design(reader: Reader, reading: Reading) -> list[str]:
    """The layers that give the same for every sample without being dead.

    Nothing that differs leads to them (positions, segments that are all the same, learned queries), or they differ from place
    to place and only the mean that is read of them does not (weights that sum to one, a normalisation over the steps).
    """
    pairs = zip(reader.layers, reading.matrices, strict=True)
    return [layer.name for layer, matrix in pairs if not layer.moved or matrix.apart > APART]


def remarks(reader: Reader) -> list[str]:
    """What to say of the layers after the first reading: those that are called more than once, those that are left out."""
    traced = reader.traced
    shared = f"Called more than once, and read at their first call: {listed(traced.shared)}." if traced.shared else ""
    missing = left_out(traced.reasons, len(traced.layers) - 1)
    return [remark for remark in (shared, missing) if remark]


def refusal(reader: Reader, error: Exception) -> str:
    """Why the model does not take the probe's rows, in words."""
    step = min(reader.chunk, reader.size)
    for tensor in getattr(reader.question.model, "inputs", None) or []:
        samples = tensor.shape[0]
        if samples not in (None, step):
            return (
                f"its input {tensor.name!r} has the shape {tuple(tensor.shape)}, so it takes {samples} samples at a time, "
                f"and the probe is read by {step}; give a probe of {samples} rows, or build the model for any number of "
                f"samples."
            )
    return cause(error)
