"""Runs the model over the probe and reads one matrix a layer, with its current weights; compiled once."""

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
from keras_xai.backend.rows import fit_rows
from keras_xai.errors import InvalidInput, listed
from keras_xai.mapping.layers import candidates, check_named, followed, left_out, names, unreadable
from keras_xai.mapping.pooling import BOUNDS, CONSTANT_VALUES, Pooled, pool_activation, spoil_by_weights
from keras_xai.model.dense import Positions
from keras_xai.model.layers import is_channels_first, iter_layers, layer_path
from keras_xai.model.region_score import encode
from keras_xai.model.regions import Regions
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output
from keras_xai.model.task import Task
from keras_xai.records import Link

# Activation functions of which a unit that is always zero is dead. Of a sigmoid or tanh zero means nothing of the kind.
RECTIFIERS = ("relu", "relu6")
MIN_DISTANCE = 1e-4  # of the largest activation: samples that are further apart have different activations
COMPARED_ENTRIES = 2**22  # of the probe, compared at once
UNNAMED_OUTPUT = ""  # the row of the model's output, until the first reading names it

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A layer that is followed, without its values."""

    name: str
    width: int  # units
    columns: int  # D, of its pooled activations
    function: str  # the activation function of its output, "" unknown
    varies: bool = True  # False where it is computed from values alone that are the same for all samples


@dataclass(frozen=True, eq=False)
class Matrix:
    """A layer's pooled activations Z (B, D), centred, or their Gram matrix; and statistics of all its activations."""

    values: NDArray[np.float32]  # Z (B, D); ZZᵀ (B, B) where D > B
    gram: bool  # `values` is ZZᵀ
    power: float  # Σ‖z‖² before centring
    # Over all activations of all samples and positions:
    mean: float
    std: float
    saturation: float  # 0..1, see `records.Features`; NaN where it does not exist
    dead: float  # likewise
    apart: float  # the largest distance of a sample's activation from the first one's, over the largest activation


@dataclass(frozen=True, eq=False)
class Reading:
    """The values of one pass over a probe."""

    outputs: NDArray[np.float32]  # (B, K) of the model
    logits: NDArray[np.float32]  # (B, K) before the softmax or sigmoid; the outputs where there is none
    matrices: tuple[Matrix, ...]  # of the followed layers, the model's output last
    positions: Positions | None  # of a dense output, whose outputs and logits are means over the regions
    embedding: NDArray[np.float32] | None  # (B, D) the mean over unmasked steps; None without an embedding layer


class Facts(NamedTuple):
    """Facts of a trace: the layers that are followed, and why others are not."""

    layers: list[Layer]  # that are followed; the last is the model's output
    shared: list[str]  # paths of those that are called more than once
    reasons: dict[str, str]  # why layers are not followed, by path
    # Layers whose number of rows is known only when the program runs, and counted there; None for the model's output.
    counted: list[keras.layers.Layer | None]
    embeds: bool  # the trace has an embedding layer
    followed: list[keras.layers.Layer]  # the layers themselves, without the model's output


class _Rows(NamedTuple):
    """The result of the program for one chunk."""

    outputs: Tensor  # (n, K)
    scores: Tensor  # (n, K)
    embedding: Tensor  # (n, D) the mean embedding; the scores, as a placeholder, where there is none
    rows: Tensors  # (n, D) of each layer
    moments: Tensor  # (L, 5) see `Pooled`
    peaks: Tensor  # (Σ C) of all units, one layer behind the other
    counts: Tensor  # the number of rows of each of `Facts.counted`
    link: Link  # the function from scores to outputs
    facts: Facts


class _Matrices(NamedTuple):
    """The rows of every layer, joined over chunks."""

    matrices: Tensors  # (B, D) centred, or their Gram matrix (B, B)
    powers: Tensor  # (L) Σ‖z‖² before centring


class _RowCounter:
    """Gives tensors one row for each sample, and counts the rows of those whose number is known only at run time.

    Args:
        samples: n, the rows that a tensor should have.
    """

    def __init__(self, samples: int) -> None:
        self.layers: list[keras.layers.Layer | None] = []  # whose output is counted; None for the model's own output
        self._samples = samples
        self._counts: Tensors = []

    def fitted(self, tensor: Tensor, layer: keras.layers.Layer | None) -> Tensor:
        """The tensor with n rows (n, ...); None stays None."""
        if tensor is None or tensor.shape[0] is not None:
            return tensor
        rows, count = fit_rows(tensor, self._samples)
        self.layers.append(layer)
        self._counts.append(count)
        return rows

    def counts(self) -> Tensor:
        """The number of rows of each counted tensor."""
        return ops.stack(self._counts) if self._counts else np.zeros(0, np.int32)


class Reader:
    """Reads the layers of a model on one probe.

    The last row of every reading is the model's output, called "logits" where it has some, else "output".

    Args:
        model: a built Keras model.
        x: (B, ...) the probe's arrays, as the program takes them.
        like: the same input in the structure in which the model takes it (an array, a list or a dict).
        output: see `Probe`.
        layers: paths, or None for the choice of `layers.followed`.
        y: (B, ...) labels, from which the meaning of the outputs may follow; None without.
        class_names: of the probe.

    Raises:
        InvalidInput: a path that does not exist; at a reading, a named layer that cannot be read, or an output that is no
            scores.

    Attributes:
        facts: of the last reading.
        layers: the layers that are followed, the model's output last; empty before the first reading.
        size: B.
        runner: of the model.
        region_label: after a reading of a dense output, what labels say of the regions, see `regions.label_of_region`; None
            without labels.

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
        self.facts = Facts([], [], {}, [], False, [])
        self.layers: list[Layer] = []
        self._model = model
        self._y, self._class_names = y, class_names
        self.region_label: NDArray[Any] | None = None
        self._explained_classes: NDArray[np.int64] | None = (
            None  # of a dense output without labels: those of the first reading
        )
        self._x, self.size = x, len(x[0])
        self._vary = [differs(a) for a in x]
        self._named = layers is not None
        self._candidates = candidates(model, layers)
        self._embeddings = [layer for layer in iter_layers(model) if isinstance(layer, keras.layers.Embedding)]
        self._excluded: dict[int, str] = {}  # why a layer is left out that the trace would follow, by the layer's id
        self._has_read = False  # after the first reading the layers stay the same
        self._program = self.runner.compiled(self._rows)
        self._join = self.runner.compiled(self._matrices, runs_model=False)
        self._program_of_one_chunk = self.runner.compiled(self._rows_and_matrices)

    @property
    def side_effects(self) -> str:
        """A sentence on the state that reading may change and that cannot be restored; "" where there is none."""
        return self.runner.lasting_effects(self._program, self._program_of_one_chunk)

    @property
    def traces(self) -> int:
        """The number of times that the model was traced."""
        return self._program.traces + self._program_of_one_chunk.traces

    @property
    def chunk(self) -> int:
        """The samples of one pass."""
        return self.runner.rows_a_pass(self.size)

    def read(self) -> Reading:
        """One pass over the probe with the model's current weights.

        Raises:
            InvalidInput: see the class; a layer that no longer gives a row for each sample.
        """
        positions, target = self._dense_output()
        parts, matrices = self._read_chunks(target)
        while self._exclude_miscounted(parts):
            parts, matrices = self._read_chunks(target)
        self._has_read = True
        return self._reading(parts, matrices, positions)

    def _dense_output(self) -> tuple[Positions | None, NDArray[np.int64] | None]:
        """The answers of a dense output at every position, and the regions over which it is read as one row."""
        dense = self.runner.dense
        if dense is None:
            return None, None
        self.runner.settle(self._x, self._y, named=self._class_names is not None)
        labels = dense.labels(self._y, self._class_names)
        positions = dense.positions(self._x, labels)
        if self._y is not None and labels is not None:
            regions = dense.labelled_regions(self._x, self._y, None, self._class_names, positions)
            assert regions is not None
            self.region_label = regions.label
            chosen = Regions(regions.target, regions.region)
        else:
            chosen = dense.regions(self._x, None, self._explained_classes, self._class_names, positions)
            self._explained_classes = chosen.target
        return positions, encode(chosen.target, chosen.region)

    def exclude_layers(self, reason: str) -> None:
        """Follow the model's output alone from the next reading on.

        Args:
            reason: why the layers are left out, for `remarks`.
        """
        layers = [*self._candidates, *self._embeddings]
        self._excluded = {id(layer): reason for layer in layers} | self._excluded

    def _read_chunks(self, target: NDArray[np.int64] | None) -> tuple[list[_Rows], _Matrices | None]:
        """The result of each chunk of the probe; the matrices too where all is one chunk."""
        chunks = self.runner.chunks(self.size)
        if len(chunks) == 1:
            part, matrices = self._run(self._program_of_one_chunk, chunks[0].rows, chunks[0].size, target)
            return [part], matrices
        return [self._run(self._program, rows, size, target) for rows, size in chunks], None

    def _run(self, program: Program, rows: Any, size: int, target: NDArray[np.int64] | None) -> Any:
        weight = (np.arange(self.chunk) < size) * 1.0  # 0 for the rows that fill up the last chunk
        # The number of excluded layers is a constant of the program, so that excluding further ones traces it again.
        regions = [] if target is None else [target[rows].astype(np.int32)]
        return program([a[rows] for a in self._x], weight, len(self._excluded), regions)

    def _exclude_miscounted(self, parts: list[_Rows]) -> bool:
        """Exclude the layers that gave another number of rows than of samples, which is known only after they ran.

        Returns:
            True where there are some: the probe has to be read again.

        Raises:
            InvalidInput: it is the model's output, a layer that the user named, or one that had the right number before.
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
            if self._named or self._has_read:
                check_named({layer_path(layer, self._model): reasons[id(layer)]})
        self._excluded |= reasons
        return bool(reasons)

    def _reading(self, parts: list[_Rows], matrices: _Matrices | None, positions: Positions | None) -> Reading:
        """The reading of the whole probe, joined from chunks."""
        numpy = get_backend().numpy
        self.facts = parts[0].facts
        outputs = self._joined([part.outputs for part in parts])
        task = self.runner.settle_by(outputs, parts[0].link, self._y, named=self._class_names is not None)
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
            layer_peaks = peaks[edges[k] : edges[k + 1]]
            values, power = numpy(matrices.matrices[k]), float(powers[k])
            by_layer.append(self._matrix(layer, values, power, moments[:, k], layer_peaks))
        return Reading(
            outputs=outputs,
            logits=self._joined([part.scores for part in parts]),
            matrices=tuple(by_layer),
            positions=positions,
            embedding=self._joined([part.embedding for part in parts]) if self.facts.embeds else None,
        )

    def _joined(self, parts: Tensors) -> NDArray[np.float32]:
        rows = np.concatenate([get_backend().numpy(part) for part in parts])[: self.size]
        return rows.reshape(self.size, -1).astype(np.float32)

    def _matrix(self, layer: Layer, values: NDArray[Any], power: float, moments: Array, peaks: NDArray[Any]) -> Matrix:
        count, mean, squares, saturated, apart = moments.T
        total = count.sum() or np.nan  # NaN where every step is masked
        overall_mean = float(count @ mean / total)
        # Chan's rule: the squares around each chunk's mean, moved to the mean of all chunks.
        variance = float((squares + count * (mean - overall_mean) ** 2).sum() / total)
        saturates = layer.function in (*CONSTANT_VALUES, *BOUNDS)
        may_die = layer.function in RECTIFIERS and np.isfinite(peaks).all()
        largest = peaks.max() if peaks.size else 0.0
        return Matrix(
            values=values,
            gram=layer.columns > self.size,
            power=power,
            mean=overall_mean,
            std=float(np.sqrt(variance)),
            saturation=float(saturated.sum() / total) if saturates else np.nan,
            dead=float((peaks == 0).mean()) if may_die else np.nan,
            apart=float(apart.max() / largest) if largest > 0 else 0.0,
        )

    # Inside programs.

    def _rows(self, x: Tensors, weight: Tensor, _excluded: int, regions: Tensors) -> _Rows:
        candidate_ids = {id(layer) for layer in self._candidates}
        watched = [*self._candidates, *(layer for layer in self._embeddings if id(layer) not in candidate_ids)]
        trace = get_backend().trace_activations(self.runner.score_function.outputs, x, watched, self._vary)
        activations, reasons = self._followed(trace)
        counter = _RowCounter(x[0].shape[0])
        parts = [self._pooled(activation, weight, counter) for activation in activations]
        outputs, scores = counter.fitted(trace.outputs, None), counter.fitted(trace.scores, None)
        if regions:
            of_region = self.runner.score_function.target_score(self.runner.task, regions[0])
            outputs, scores = of_region.rows(outputs), of_region.rows(scores)
        width = 1 if len(outputs.shape) == 1 else int(outputs.shape[-1])
        scores = ops.reshape(scores, (-1, width))
        parts.append(pool_activation(scores, weight, None, "", False))
        embedding = next((activation for activation in trace.activations if self._embeds(activation)), None)
        mean_embedding = scores if embedding is None else self._pooled(embedding, weight, counter).rows
        facts = Facts(
            layers=self._described(activations, parts),
            shared=[layer_path(a.layer, self._model) for a in activations if a.calls > 1],
            reasons=reasons,
            counted=counter.layers,
            embeds=embedding is not None,
            followed=[activation.layer for activation in activations],
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
        """The names, widths and functions of the layers that are followed, and of the model's output."""
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
            InvalidInput: one of these was named by the user.
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
        """True for the output of an embedding layer that can be read."""
        layer = activation.layer
        embeds = any(layer is embedding for embedding in self._embeddings)
        return embeds and not activation.problem and id(layer) not in self._excluded

    def _rows_and_matrices(
        self, x: Tensors, weight: Tensor, excluded: int, regions: Tensors
    ) -> tuple[_Rows, _Matrices]:
        """The rows and matrices in one program, for a probe of one chunk."""
        part = self._rows(x, weight, excluded, regions)
        return part, self._matrices([[rows] for rows in part.rows])

    def _matrices(self, parts: list[Tensors]) -> _Matrices:
        """Every layer's rows joined and centred, and Σ‖z‖² before that."""
        matrices, powers = [], []
        for rows in parts:
            z = ops.concatenate(rows)[: self.size]
            powers.append(ops.sum(ops.square(z)))
            # Centred before any product, since a float32 Gram matrix with an offset of 1e4 is noise; and twice, since the first
            # mean is rounded.
            z = z - ops.mean(z, 0)
            z = z - ops.mean(z, 0)
            matrices.append(ops.matmul(z, ops.transpose(z)) if z.shape[1] > self.size else z)
        return _Matrices(matrices, ops.stack(powers))


def _with_named_output(layers: Sequence[Layer], task: Task) -> list[Layer]:
    """The layers with the model's output, the last one, named "logits" or "output", as the task says."""
    name = "logits" if task.space == "logit" else "output"
    if any(layer.name == name for layer in layers):
        name = f"{name} of the model"
    return [*layers[:-1], dataclasses.replace(layers[-1], name=name)]


def differs(x: Samples) -> bool:
    """True where some sample differs from the first."""
    step = max(1, COMPARED_ENTRIES // max(1, int(np.prod(x.shape[1:]))))
    return any(bool((x[k : k + step] != x[:1]).any()) for k in range(0, len(x), step))


def constant_by_design(reader: Reader, reading: Reading) -> list[str]:
    """The names of the layers that give the same for every sample by design, without being dead.

    Such a layer is computed from values alone that are the same for all samples (positions, equal segments, learned queries);
    or its activations differ between samples, and only their mean over positions, which is read, does not (attention weights
    that sum to one, a normalisation over the steps).
    """
    pairs = zip(reader.layers, reading.matrices, strict=True)
    return [layer.name for layer, matrix in pairs if not layer.varies or matrix.apart > MIN_DISTANCE]


def remarks(reader: Reader) -> list[str]:
    """Sentences, after the first reading, on layers that are called more than once and layers that are left out."""
    facts = reader.facts
    shared = f"Called more than once, and read at their first call: {listed(facts.shared)}." if facts.shared else ""
    missing = left_out(facts.reasons, len(facts.layers) - 1)
    return [remark for remark in (shared, missing) if remark]
