"""Runs the model over the probe and reads one matrix a layer, with live weights; compiled once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Activation, ActivationTrace, Program, Tensor, Tensors
from keras_xai.errors import InvalidInput, cause, listed
from keras_xai.mapping.layers import candidates, check_named, followed, left_out, names, unreadable
from keras_xai.mapping.pooling import BOUNDS, CONSTANT_VALUES, Pooled, pool_activation, spoil_by_weights
from keras_xai.model.layers import is_channels_first, iter_layers, layer_path
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output
from keras_xai.model.task import Task
from keras_xai.records import Link

# Where zero throughout says that a unit is dead; of a sigmoid or a tanh it would say nothing.
RECTIFIERS = ("relu", "relu6")
DISTINCT = 1e-4  # of the largest activation: rows that are further apart than that are not the same
COMPARED_ENTRIES = 2**22  # at once
UNNAMED_OUTPUT = ""  # the row of the model's output, until the first reading names it

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A layer without its values."""

    name: str
    width: int  # units
    columns: int  # D
    function: str  # that made its output, "" unknown
    varies: bool = True  # whether what differs between the samples leads to it


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
    """One pass over a probe."""

    outputs: NDArray[np.float32]  # (B, K) of the model
    logits: NDArray[np.float32]  # (B, K) the logits behind them, where it has some
    matrices: tuple[Matrix, ...]
    embedding: NDArray[np.float32] | None  # (B, D) the mean embedding of the steps that count


class Facts(NamedTuple):
    """Facts of a trace: the layers that are followed, and why others are not."""

    layers: list[Layer]  # that are followed; the last is the model's output
    shared: list[str]  # paths of those that are called more than once
    reasons: dict[str, str]  # why layers are not followed, by path
    # Whose rows are counted as the program runs; None for the model's output.
    counted: list[keras.layers.Layer | None]
    embeds: bool


class _Rows(NamedTuple):
    """The result of the program for one chunk."""

    outputs: Tensor  # (n, K)
    scores: Tensor  # (n, K)
    embedding: Tensor  # (n, D) the mean embedding; where there is none, the scores
    rows: Tensors  # (n, D) of each layer
    moments: Tensor  # (L, 5) see `Pooled`
    peaks: Tensor  # (Σ C) of all units, one layer behind the other
    counts: Tensor  # one for each of `Facts.counted`: how many rows it has
    link: Link  # what makes outputs of scores
    facts: Facts


class _Matrices(NamedTuple):
    """Every layer's rows, joined."""

    matrices: Tensors  # (B, D) centred, or their Gram matrix (B, B)
    powers: Tensor  # (L) Σ‖z‖² before centring


class _RowCounter:
    """Tensors with a row for each sample; where only the running program knows how many they have, they are counted.

    Args:
        samples: n.
    """

    def __init__(self, samples: int) -> None:
        self.layers: list[keras.layers.Layer | None] = []  # that gave what is counted; None for the model's own output
        self._samples = samples
        self._counts: Tensors = []

    def fitted(self, tensor: Tensor, layer: keras.layers.Layer | None) -> Tensor:
        """(n, ...) the tensor; None stays None."""
        if tensor is None or tensor.shape[0] is not None:
            return tensor
        rows, count = get_backend().fit_rows(tensor, self._samples)
        self.layers.append(layer)
        self._counts.append(count)
        return rows

    def counts(self) -> Tensor:
        """One a counted tensor."""
        return ops.stack(self._counts) if self._counts else np.zeros(0, np.int32)


class Reader:
    """Reads the layers of a model on one probe.

    The last row of every reading is the model's output, called "logits" where it has some, else "output".

    Args:
        model: a built Keras model.
        x: the probe's arrays, as the program takes them.
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
        self.runner = ModelRunner(model, like, output)
        self.facts = Facts([], [], {}, [], False)  # of the last reading
        self.layers: list[Layer] = []  # after the first reading
        self._model = model
        self._y, self._has_names = y, class_names is not None
        self._x, self.size = x, len(x[0])
        self._vary = [differs(a) for a in x]
        self._named = layers is not None
        self._candidates = candidates(model, layers)
        self._embeddings = [layer for layer in iter_layers(model) if isinstance(layer, keras.layers.Embedding)]
        self._excluded: dict[int, str] = {}  # why a layer is left out that the trace would follow, by its id
        self._settled = False  # whether a reading went through: from then on the layers stay the same
        self._program = self.runner.compiled(self._rows)
        self._join = self.runner.compiled(self._matrices, runs_model=False)
        self._program_of_one_chunk = self.runner.compiled(self._rows_and_matrices)

    @property
    def side_effects(self) -> str:
        """A sentence on what reading may move and nobody can put back; "" where there is nothing."""
        return self.runner.lasting_effects(self._program, self._program_of_one_chunk)

    @property
    def traces(self) -> int:
        """The number of times that the model was traced."""
        return self._program.traces + self._program_of_one_chunk.traces

    @property
    def chunk(self) -> int:
        """The samples of one pass."""
        return min(self.runner.chunk, self.size)

    def read(self) -> Reading:
        """The probe, with the model's present weights.

        Raises:
            InvalidInput: see the class; a layer that no longer gives a row for each sample.
        """
        parts, matrices = self._read_chunks()
        while self._exclude_miscounted(parts):
            parts, matrices = self._read_chunks()
        self._settled = True
        return self._reading(parts, matrices)

    def exclude_layers(self, reason: str) -> None:
        """Follow the model's output alone from the next reading on, for this reason."""
        layers = [*self._candidates, *self._embeddings]
        self._excluded = {id(layer): reason for layer in layers} | self._excluded

    def _read_chunks(self) -> tuple[list[_Rows], _Matrices | None]:
        """The result of each chunk of the probe; the matrices too where all is one chunk."""
        chunks = self.runner.chunks(self.size)
        if len(chunks) == 1:
            part, matrices = self._run(self._program_of_one_chunk, chunks[0].rows, chunks[0].size)
            return [part], matrices
        return [self._run(self._program, rows, size) for rows, size in chunks], None

    def _run(self, program: Program, rows: Any, size: int) -> Any:
        weight = (np.arange(self.chunk) < size) * 1.0  # what fills up the last chunk has none
        # The number of excluded layers is a constant of the program: another number, another trace.
        return program([a[rows] for a in self._x], weight, len(self._excluded))

    def _exclude_miscounted(self, parts: list[_Rows]) -> bool:
        """Exclude layers, whose rows are counted only when they run, that gave another number of them than of samples.

        Returns:
            True where there are some.

        Raises:
            InvalidInput: the model's output does, or a layer that was named or that had the right number before.
        """
        counts = np.stack([get_backend().numpy(part.counts) for part in parts])  # (chunks, counted layers)
        reasons: dict[int, str] = {}
        for layer, rows in zip(parts[0].facts.counted, counts.T, strict=True):
            wrong = rows[rows != self.chunk]
            if not wrong.size:
                continue
            if layer is None:
                raise InvalidInput(
                    f"The output has {wrong[0]} rows for {self.chunk} samples: one row of scores each is expected."
                )
            reasons[id(layer)] = f"it gives {wrong[0]} rows for {self.chunk} samples"
            if self._named or self._settled:
                check_named({layer_path(layer, self._model): reasons[id(layer)]})
        self._excluded |= reasons
        return bool(reasons)

    def _reading(self, parts: list[_Rows], matrices: _Matrices | None) -> Reading:
        """The reading of the whole probe, joined from chunks."""
        numpy = get_backend().numpy
        self.facts = parts[0].facts
        outputs = self._joined([part.outputs for part in parts])
        task = self.runner.settle_by(outputs, parts[0].link, self._y, named=self._has_names)
        self.layers = _with_named_output(self.facts.layers, task)
        if matrices is None:
            by_chunk = [part.rows for part in parts]
            matrices = self._join([list(rows) for rows in zip(*by_chunk, strict=True)])
        powers = numpy(matrices.powers)
        moments = np.stack([numpy(part.moments) for part in parts]).astype(np.float64)  # (chunks, L, 5)
        peaks = np.stack([numpy(part.peaks) for part in parts]).max(0)
        edges = np.cumsum([0, *(layer.width for layer in self.layers)])
        by_layer = []
        for k, layer in enumerate(self.layers):
            of_layer = peaks[edges[k] : edges[k + 1]]
            by_layer.append(self._matrix(layer, numpy(matrices.matrices[k]), float(powers[k]), moments[:, k], of_layer))
        return Reading(
            outputs=outputs,
            logits=self._joined([part.scores for part in parts]),
            matrices=tuple(by_layer),
            embedding=self._joined([part.embedding for part in parts]) if self.facts.embeds else None,
        )

    def _joined(self, parts: Tensors) -> NDArray[np.float32]:
        rows = np.concatenate([get_backend().numpy(part) for part in parts])[: self.size]
        return rows.reshape(self.size, -1).astype(np.float32)

    def _matrix(self, layer: Layer, values: NDArray[Any], power: float, moments: Array, peaks: NDArray[Any]) -> Matrix:
        count, mean, squares, saturated, apart = moments.T
        total = count.sum() or np.nan  # a mask that lets no step through
        middle = float(count @ mean / total)
        # Chan's rule adds up the squares of parts around the mean of all.
        variance = float((squares + count * (mean - middle) ** 2).sum() / total)
        saturates = layer.function in (*CONSTANT_VALUES, *BOUNDS)
        may_die = layer.function in RECTIFIERS and np.isfinite(peaks).all()
        largest = peaks.max() if peaks.size else 0.0
        return Matrix(
            values=values,
            gram=layer.columns > self.size,
            power=power,
            mean=middle,
            std=float(np.sqrt(variance)),
            saturation=float(saturated.sum() / total) if saturates else np.nan,
            dead=float((peaks == 0).mean()) if may_die else np.nan,
            apart=float(apart.max() / largest) if largest > 0 else 0.0,
        )

    # Inside programs.

    def _rows(self, x: Tensors, weight: Tensor, _excluded: int) -> _Rows:
        candidate_ids = {id(layer) for layer in self._candidates}
        watched = [*self._candidates, *(layer for layer in self._embeddings if id(layer) not in candidate_ids)]
        trace = get_backend().trace_activations(self.runner.score_function.outputs, x, watched, self._vary)
        activations, reasons = self._followed(trace)
        counter = _RowCounter(x[0].shape[0])
        parts = [self._pooled(activation, weight, counter) for activation in activations]
        outputs = counter.fitted(trace.outputs, None)
        width = 1 if len(outputs.shape) == 1 else int(outputs.shape[-1])
        scores = ops.reshape(counter.fitted(trace.scores, None), (-1, width))
        parts.append(pool_activation(scores, weight, None, "", False))
        embedding = next((activation for activation in trace.activations if self._embeds(activation)), None)
        mean_embedding = scores if embedding is None else self._pooled(embedding, weight, counter).rows
        facts = Facts(
            layers=self._described(activations, parts),
            shared=[layer_path(a.layer, self._model) for a in activations if a.calls > 1],
            reasons=reasons,
            counted=counter.layers,
            embeds=embedding is not None,
        )
        return _Rows(
            outputs=outputs,
            scores=scores,
            embedding=mean_embedding,
            rows=[part.rows for part in parts],
            moments=ops.stack([part.moments for part in parts]),
            peaks=ops.concatenate([part.peaks for part in parts]),
            counts=counter.counts(),
            link=trace.link,
            facts=facts,
        )

    def _described(self, activations: Sequence[Activation], parts: Sequence[Pooled]) -> list[Layer]:
        """The layers that are followed, and the model's output."""
        paths = [*names(activations, self._model), UNNAMED_OUTPUT]
        functions = [*(activation.function for activation in activations), ""]
        varies = [*(activation.varies for activation in activations), True]
        layers = []
        for path, function, varying, part in zip(paths, functions, varies, parts, strict=True):
            layers.append(Layer(path, int(part.peaks.shape[0]), int(part.rows.shape[1]), function, varying))
        return layers

    def _pooled(self, activation: Activation, weight: Tensor, counter: _RowCounter) -> Pooled:
        """The activation of a layer, pooled."""
        layer, function = activation.layer, activation.function
        output, mask = counter.fitted(activation.output, layer), counter.fitted(activation.mask, layer)
        rows = pool_activation(output, weight, mask, function, is_channels_first(layer, self._model))
        return spoil_by_weights(rows, layer.weights) if function in RECTIFIERS else rows

    def _followed(self, trace: ActivationTrace) -> tuple[list[Activation], dict[str, str]]:
        """Activations of the layers that are followed, and why others cannot be.

        Raises:
            InvalidInput: one that cannot be was named.
        """
        reasons = unreadable(trace.activations, self._candidates, self._excluded)
        by_path = {
            layer_path(layer, self._model): reasons[id(layer)] for layer in self._candidates if id(layer) in reasons
        }
        if self._named:
            check_named(by_path)
        readable_ids = {id(layer) for layer in self._candidates} - reasons.keys()
        readable = [activation for activation in trace.activations if id(activation.layer) in readable_ids]
        return (readable if self._named else followed(readable)), by_path

    def _embeds(self, activation: Activation) -> bool:
        """True where it is what an embedding makes of the samples."""
        layer = activation.layer
        embeds = any(layer is embedding for embedding in self._embeddings)
        return embeds and not activation.problem and id(layer) not in self._excluded

    def _rows_and_matrices(self, x: Tensors, weight: Tensor, excluded: int) -> tuple[_Rows, _Matrices]:
        """Both in one program, for a probe of one chunk."""
        part = self._rows(x, weight, excluded)
        return part, self._matrices([[rows] for rows in part.rows])

    def _matrices(self, parts: list[Tensors]) -> _Matrices:
        """Every layer's rows joined and centred, and Σ‖z‖² before that."""
        matrices, powers = [], []
        for rows in parts:
            z = ops.concatenate(rows)[: self.size]
            powers.append(ops.sum(ops.square(z)))
            # Before any product: a Gram matrix of float32 with an offset of 1e4 is noise. Twice, since the first mean is rounded.
            z = z - ops.mean(z, 0)
            z = z - ops.mean(z, 0)
            matrices.append(ops.matmul(z, ops.transpose(z)) if z.shape[1] > self.size else z)
        return _Matrices(matrices, ops.stack(powers))


def _with_named_output(layers: Sequence[Layer], task: Task) -> list[Layer]:
    """The layers, the last of which is the model's output: whether that is logits may be for the loss or the values to say."""
    name = "logits" if task.space == "logit" else "output"
    if any(layer.name == name for layer in layers):
        name = f"{name} of the model"
    return [*layers[:-1], dataclasses.replace(layers[-1], name=name)]


def differs(x: Samples) -> bool:
    """True where some sample is another one than the first."""
    step = max(1, COMPARED_ENTRIES // max(1, int(np.prod(x.shape[1:]))))
    return any(bool((x[k : k + step] != x[:1]).any()) for k in range(0, len(x), step))


def still_by_design(reader: Reader, reading: Reading) -> list[str]:
    """The layers that give the same for every sample without being dead.

    Nothing that differs leads to them (positions, segments that are all the same, learned queries), or they differ from position
    to position and only the mean that is read of them does not (weights that sum to one, a normalisation over the steps).
    """
    pairs = zip(reader.layers, reading.matrices, strict=True)
    return [layer.name for layer, matrix in pairs if not layer.varies or matrix.apart > DISTINCT]


def remarks(reader: Reader) -> list[str]:
    """Sentences on the layers after the first reading: those that are called more than once, those that are left out."""
    facts = reader.facts
    shared = f"Called more than once, and read at their first call: {listed(facts.shared)}." if facts.shared else ""
    missing = left_out(facts.reasons, len(facts.layers) - 1)
    return [remark for remark in (shared, missing) if remark]


def refusal(reader: Reader, error: Exception) -> str:
    """The reason why the model does not take the probe's rows."""
    step = reader.chunk
    for tensor in getattr(reader.runner.model, "inputs", None) or []:
        samples = tensor.shape[0]
        if samples not in (None, step):
            return (
                f"its input {tensor.name!r} has the shape {tuple(tensor.shape)}, so it takes {samples} samples at a time, "
                f"and the probe is read by {step}; give a probe of {samples} rows, or build the model for any number of "
                f"samples."
            )
    return cause(error)
