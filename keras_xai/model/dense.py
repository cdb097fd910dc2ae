"""A dense output of a model on samples: what it says at each position, and what of it is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.masks import keras_mask
from keras_xai.backend.protocol import Program, Tensor
from keras_xai.backend.team import present_team
from keras_xai.errors import InvalidInput
from keras_xai.model.positions import Layout, PositionLabels, counted, flat_labels, position_labels
from keras_xai.model.region_score import encode
from keras_xai.model.regions import Regions, candidates, label_of_region, one_position, regions_of, wanted_classes
from keras_xai.model.samples import Samples, take_rows
from keras_xai.model.scores import ScoreFunction
from keras_xai.model.task import Task, none_chosen
from keras_xai.outputs.dense import BEST, Dense
from keras_xai.records import Link

if TYPE_CHECKING:
    from keras_xai.model.runner import ModelRunner

MAX_DECIDING_ENTRIES = 2**20  # of outputs, by which it is decided what they say
OUTPUT_BYTES = 2**26  # of the dense outputs of one pass


class Positions(NamedTuple):
    """The answers of a model at every position; NaN where they are not known."""

    prediction: NDArray[Any]  # (B, P) the class; (B, P, K) of 0 and 1 for several labels; 0 for numbers
    certainty: NDArray[np.float32]  # (B, P) the probability of the prediction
    confidence: NDArray[np.float32]  # (B, P) the probability of the true class
    right: NDArray[np.float32]  # (B, P) 1 where the prediction is right, else 0; of several labels the share
    of_target: NDArray[np.float32]  # (B, P) the output of the requested class
    top: NDArray[np.int64]  # (B, P) the column with the largest output
    top_output: NDArray[np.float32]  # (B, P) its output
    counts: NDArray[np.bool_]  # (B, P) False where the model masks a step


class _Chunk(NamedTuple):
    """The result of the program for one chunk."""

    tensors: list[Tensor]  # of `Positions`, in their order
    masks: bool  # a fact of the trace: Keras puts a mask on the output


class LabelledRegions(NamedTuple):
    """The question about samples by their labels alone: the class that is explained, where, and which label that region has."""

    target: NDArray[np.int64]  # (B,)
    region: NDArray[np.bool_]  # (B, P)
    label: NDArray[Any]  # (B,) the class of most of the region; (B, K) of 0 and 1 for labels; numbers


class DenseOutput:
    """The dense output of a model that a runner runs.

    Args:
        runner: of the model.
        spec: what is explained of the output.

    Attributes:
        layout: of the output; known once `settle` was called.
    """

    def __init__(self, runner: ModelRunner, spec: Dense) -> None:
        self.spec = spec
        self._runner, self._score_function = runner, runner.score_function
        self._layout: Layout | None = None
        self._masks: bool | None = None  # Keras puts a mask on the output; None where that is not known yet
        self._program = runner.compiled(self._positions)
        self._boxes: Program | None = None

    @property
    def layout(self) -> Layout:
        assert self._layout is not None, "settle was not called"
        return self._layout

    @property
    def task(self) -> Task:
        """The meaning of the output at each position."""
        assert self._runner.task is not None
        return self._runner.task

    def settle(self, outputs: NDArray[Any], link: Link, y: NDArray[Any] | None, *, named: bool) -> Task:
        """Decide what the output says at each position, and how it is laid out.

        Args:
            outputs: (n, ...) of some samples.
            link: what makes them of logits, "" where nothing does.
            y: (B, ...) labels of all samples, None without.
            named: whether classes have names.

        Raises:
            InvalidInput: labels that are not one a position.
        """
        self._layout = Layout.of(outputs.shape, self._score_function.input_shapes, self.spec)
        flat = self._layout.flat_array(outputs).reshape(-1, self._layout.columns)
        labels = None
        if y is not None and self.spec.has_labels:
            labels = flat_labels(y, self._layout, self.spec)
            if labels.ndim == 2 and labels.dtype.kind in "iuf":
                has_signs = bool(np.isin(labels, (-1, 1)).all())
                counts = counted(labels, self.spec, self._score_function.ignored_label)
                labels = labels.reshape(-1) if has_signs or not counts.any() else labels[counts]
            else:
                labels = labels.reshape(-1, labels.shape[-1])
        few = flat[: max(1, MAX_DECIDING_ENTRIES // flat.shape[1])]
        return self._score_function.task(few, link, labels, named=named)

    # What is explained.

    def placeholder(self, size: int) -> NDArray[np.int64]:
        """Something to explain, where only the shape counts."""
        signs = np.ones((size, self.layout.columns), np.int64) if self.task.kind == "labels" else None
        target, region = np.zeros(size, np.int64), np.ones((size, self.layout.size), bool)
        return encode(target, region, signs)

    def targets(
        self,
        x: Sequence[Samples],
        y: NDArray[Any] | None = None,
        target: Any = None,
        names: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """(B, ...) what is explained of rows x, as `region_score.encode` has it.

        Args:
            x: (B, ...) rows, one array an input.
            y: (B, ...) their labels, None without.
            target: that goes before the description's.
            names: of the classes.

        Raises:
            InvalidInput: see `regions`.
        """
        regions = self.regions(x, y, target, names)
        return encode(regions.target, regions.region, self._signs(regions.target))

    def regions(
        self,
        x: Sequence[Samples],
        y: NDArray[Any] | None = None,
        target: Any = None,
        names: Sequence[str] | None = None,
        positions: Positions | None = None,
    ) -> Regions:
        """The class and the region of rows x, see `targets`; a forward pass where they follow from predictions.

        Args:
            x, y, target, names: as `targets` has them.
            positions: what the model says of these rows, where it was read already, for no class in particular.

        Raises:
            InvalidInput: no labels where the description asks for them, a class that does not exist, a mask or step that does
                not fit.
        """
        spec, size = self.spec, len(x[0])
        labels = self.labels(y, names)
        region = spec.over if isinstance(spec.over, str) else ""
        if region == "label" and labels is None:
            raise InvalidInput(
                "over='label' needs labels, one at each position: give a Probe(x, y, output=…), or over='predicted'."
            )
        requested = wanted_classes(spec, target, self.task, size, names)
        if labels is not None and region != "predicted":
            left = candidates(spec, self.layout, self.counts(x, labels))
            return self._chosen(left, labels.classes, requested)
        if requested is not None and isinstance(spec.over, np.ndarray):
            left = candidates(spec, self.layout, np.ones((size, self.layout.size), bool))
            return Regions(requested, left)
        if positions is None or self.spec.unit == "box":
            positions = self.positions(x, labels, requested)
        counts = positions.counts if labels is None else _both(positions.counts, labels.counts)
        if labels is None and spec.padding is not None:
            counts = counts & self._unpadded(x)
        left = candidates(spec, self.layout, counts)
        if spec.unit == "box":
            boxes = self._box(x, positions, requested)
            requested = positions.top[np.arange(size), boxes] if requested is None else requested
            left = one_position(boxes, self.layout.size)
        return _agreed(self._chosen(left, positions.prediction, requested))

    def counts(
        self, x: Sequence[Samples], labels: PositionLabels, positions: Positions | None = None
    ) -> NDArray[np.bool_]:
        """(B, P) True at positions whose label counts, and which the model does not mask."""
        if not self._has_mask(x):
            return labels.counts
        positions = self.positions(x) if positions is None else positions
        return _both(positions.counts, labels.counts)

    def _has_mask(self, x: Sequence[Samples]) -> bool:
        """True where Keras puts a mask on the output, which a trace tells."""
        if self._masks is None:
            rows = self._runner.chunks(len(x[0]))[0].rows
            self._masks = bool(self._program.trace(*self._arguments(take_rows(x, rows), None, None)).masks)
        return self._masks

    def _chosen(self, left: NDArray[np.bool_], source: NDArray[Any], requested: NDArray[np.int64] | None) -> Regions:
        if requested is None and self.task.kind == "numbers":
            raise none_chosen(self.task, None)
        return regions_of(self.spec, self.task, left, source, requested)

    def labelled_regions(
        self,
        x: Sequence[Samples],
        y: NDArray[Any],
        target: Any = None,
        names: Sequence[str] | None = None,
        positions: Positions | None = None,
    ) -> LabelledRegions | None:
        """Class, region and label by the labels alone, whatever the model predicts; None where the description reads no labels.

        The samples themselves are read for the mask that a model makes of them; that takes a forward pass, unless `positions`
        are there.

        Raises:
            InvalidInput: labels that do not fit.
        """
        labels = self.labels(y, names)
        if labels is None:
            return None
        requested = wanted_classes(self.spec, target, self.task, len(y), names)
        left = candidates(self.spec, self.layout, self.counts(x, labels, positions))
        regions = self._chosen(left, labels.classes, requested)
        label = label_of_region(labels.classes, regions.region, self.task)
        return LabelledRegions(regions.target, regions.region, label)

    def margin_targets(self, regions: LabelledRegions) -> NDArray[np.int64]:
        """(B, ...) the labels whose margin is explained, each over the region that has it."""
        if self.task.kind == "labels":
            return encode(regions.target, regions.region, np.where(regions.label > 0, 1, -1))
        target = regions.label if self.task.classes else regions.target
        return encode(target, regions.region)

    def _signs(self, target: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Of several labels a position what `margin_targets` has, so that both have one shape."""
        return np.ones((len(target), self.layout.columns), np.int64) if self.task.kind == "labels" else None

    def labels(self, y: NDArray[Any] | None, names: Sequence[str] | None = None) -> PositionLabels | None:
        """Labels (B, ...) at each position, as the task reads them; None without.

        Raises:
            InvalidInput: labels that do not fit.
        """
        if y is None or not self.spec.has_labels:
            return None
        return position_labels(y, self.layout, self.spec, self.task, self._score_function.ignored_label, names)

    def _unpadded(self, x: Sequence[Samples]) -> NDArray[np.bool_]:
        """(B, P) False where an input of tokens has the padding."""
        size = len(x[0])
        for array in x:
            if tuple(array.shape[1:]) == self.layout.positions and array.dtype.kind in "iu":
                return np.asarray(array[:] != self.spec.padding).reshape(size, self.layout.size)
        return np.ones((size, self.layout.size), bool)

    # What the model says.

    def positions(
        self,
        x: Sequence[Samples],
        labels: PositionLabels | None = None,
        requested: NDArray[np.int64] | None = None,
    ) -> Positions:
        """The answers of the model for rows x at every position; one forward pass.

        Args:
            x: (B, ...) rows.
            labels: of these, for what is right; None without.
            requested: (B,) the classes whose outputs are read.
        """
        size, numpy = len(x[0]), get_backend().numpy
        samples, truth, target = self._arguments(x, labels, requested)
        parts: list[list[NDArray[Any]]] = []
        for rows, count in self._runner.chunks(size):
            chunk: _Chunk = self._program(take_rows(samples, rows), truth[rows], target[rows])
            parts.append([numpy(tensor)[:count] for tensor in chunk.tensors])
        joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        prediction, certainty, confidence, right, of_target, top, top_output, mask = joined
        counts = mask > 0
        has_label = np.zeros_like(counts) if labels is None else _both(counts, labels.counts)
        return Positions(
            prediction=prediction.astype(np.int64),
            certainty=certainty,
            confidence=np.where(has_label, confidence, np.nan),
            right=np.where(has_label & np.isfinite(certainty), right, np.nan),
            of_target=of_target,
            top=top.astype(np.int64),
            top_output=top_output,
            counts=counts,
        )

    def _arguments(
        self, x: Sequence[Samples], labels: PositionLabels | None, requested: NDArray[np.int64] | None
    ) -> tuple[Sequence[Samples], NDArray[np.int32], NDArray[np.int32]]:
        """The arguments of the program for rows x: these, the truth at every position, and the classes whose outputs are read."""
        size, layout = len(x[0]), self.layout
        by_column = self.task.kind == "labels"
        shape = (size, layout.size, layout.columns) if by_column else (size, layout.size)
        truth = np.zeros(shape, np.int32)
        if labels is not None and (self.task.classes or by_column):
            truth = np.maximum(labels.classes, 0).astype(np.int32)
        target = np.zeros(size, np.int32) if requested is None else np.maximum(requested, 0).astype(np.int32)
        return x, truth, target

    def _positions(self, x: list[Tensor], truth: Tensor, target: Tensor) -> _Chunk:
        """Inside a program: what `Positions` holds, for one chunk."""
        task, layout = self.task, self.layout
        outputs = self._score_function.outputs(x)
        flat = layout.flat(ops.cast(outputs, "float32"))
        mask = keras_mask(outputs)
        masks = mask is not None and int(np.prod(mask.shape[1:])) == layout.size
        counts = ops.ones_like(flat[:, :, 0])
        if masks:
            counts = ops.cast(ops.reshape(mask, (-1, layout.size)), "float32")
        column = ops.one_hot(target, layout.columns, dtype="float32") if layout.columns > 1 else None
        of_target = flat[:, :, 0] if column is None else ops.sum(flat * column[:, None, :], -1)
        top = ops.cast(ops.argmax(flat, -1), "int32")
        columns = [of_target, top, ops.max(flat, -1), counts]
        if task.outputs == "raw":
            unknown = ops.full_like(counts, np.nan)
            return _Chunk([ops.zeros_like(counts), unknown, unknown, unknown, *columns], masks)
        probabilities = _probabilities(flat, task)
        if task.kind in ("binary", "labels"):
            answers = _of_columns(probabilities, truth, is_binary=task.kind == "binary")
            return _Chunk([*answers, *columns], masks)
        certainty = ops.max(probabilities, -1)
        true = ops.take_along_axis(probabilities, truth[:, :, None], axis=-1)[:, :, 0]
        right = ops.cast(ops.equal(top, truth), "float32")
        return _Chunk([top, certainty, true, right, *columns], masks)

    # Boxes.

    def _box(
        self, x: Sequence[Samples], positions: Positions, requested: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """(B,) the numbers of the boxes that are explained."""
        position, size = self.spec.position, len(x[0])
        if isinstance(position, str):
            assert position == BEST
            probable = positions.top_output if requested is None else positions.of_target
            return np.nan_to_num(probable, nan=-np.inf).argmax(1).astype(np.int64)
        if np.ndim(position) == 2 or (np.ndim(position) == 1 and np.asarray(position).dtype.kind == "f"):
            return self._overlapping_box(x, np.asarray(position))
        numbers = np.asarray(position)
        if numbers.shape not in ((), (size,)):
            raise InvalidInput(
                f"box has shape {numbers.shape}: expected one box, or one for each of the {size} samples."
            )
        if numbers.max(initial=0) >= self.layout.size:
            raise InvalidInput(f"box holds {numbers.max()}: the model gives {self.layout.size} boxes, counted from 0.")
        return np.broadcast_to(numbers, (size,)).astype(np.int64)

    def _overlapping_box(self, x: Sequence[Samples], requested_box: NDArray[np.float64]) -> NDArray[np.int64]:
        """(B,) the model's boxes with the largest intersection over union with those that are asked for."""
        size, numpy = len(x[0]), get_backend().numpy
        if requested_box.ndim == 2 and len(requested_box) != size:
            raise InvalidInput(
                f"box has shape {requested_box.shape}: expected (4,), or one box for each of the {size} samples."
            )
        if self._boxes is None:
            boxes = self.spec.boxes
            if isinstance(boxes, slice):
                spec = dataclasses.replace(self.spec, columns=boxes)
            else:
                spec = dataclasses.replace(self.spec, output=boxes, columns=None)
            read = ScoreFunction(self._score_function.model, self._runner.like, spec)
            self._boxes = self._runner.compiled(read.outputs)
        parts = [numpy(self._boxes(take_rows(x, rows)))[:count] for rows, count in self._runner.chunks(size)]
        coordinates = np.concatenate(parts).astype(np.float64)
        shape = (size, self.layout.size, 4)
        if coordinates.shape != shape:
            raise InvalidInput(
                f"boxes={self.spec.boxes!r} has shape {coordinates.shape}: expected coordinates {shape}, one box for each row of "
                f"classes."
            )
        overlap = overlaps(coordinates, np.broadcast_to(requested_box, (size, 4)))
        apart = np.flatnonzero(overlap.max(1) <= 0)
        if apart.size:
            raise InvalidInput(
                f"No box of the model overlaps box={requested_box.tolist()} in sample {apart[0]}: are its coordinates "
                f"corners, as the model's own? Boxes relative to anchors have no place by themselves: give the number of one."
            )
        return np.asarray(overlap.argmax(1), np.int64)


def _both(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B, P) True where both are."""
    return np.asarray(first & second)


def means_of_rows(positions: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B,) what is right, and the probability of the truth: means over the positions of each row that have a label."""
    return _mean_of_rows(positions.right), _mean_of_rows(positions.confidence)


def _mean_of_rows(values: NDArray[Any]) -> NDArray[np.float64]:
    counts = np.isfinite(values)
    total = np.where(counts, values, 0).sum(1, dtype=np.float64)
    return np.asarray(np.where(counts.any(1), total / np.maximum(counts.sum(1), 1), np.nan))


def overlaps(boxes: NDArray[Any], requested_box: NDArray[Any]) -> NDArray[np.float64]:
    """(B, N) the intersection over union of boxes (B, N, 4) and a box of each sample (B, 4), all as corners.

    Example:
        >>> overlaps(np.array([[[0, 0, 2, 2], [1, 0, 3, 2]]]), np.array([[0, 0, 2, 2]])).round(3).tolist()
        [[1.0, 0.333]]
    """
    other = requested_box[:, None]
    low, high = np.maximum(boxes[..., :2], other[..., :2]), np.minimum(boxes[..., 2:], other[..., 2:])
    intersection = np.prod(np.maximum(high - low, 0), -1)
    area = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), -1)
    union = area + np.prod(np.maximum(other[..., 2:] - other[..., :2], 0), -1) - intersection
    return np.asarray(np.where(union > 0, intersection / np.where(union > 0, union, 1), 0.0), np.float64)


def output_chunk(chunk: int, model: Any, inputs: Sequence[tuple[int, ...]]) -> int:
    """The rows of one pass, so few that the dense outputs of a functional model take no more than 64 MiB.

    Args:
        chunk: rows that the samples themselves leave.
        model: whose outputs have shapes, if it is functional.
        inputs: (...) of a sample of each input, for sides that the model leaves open.
    """
    longest = max((side for shape in inputs for side in shape), default=1)
    bytes_each = 0
    for tensor in getattr(model, "outputs", None) or []:
        sides = [longest if side is None else int(side) for side in tuple(tensor.shape)[1:]]
        bytes_each += 4 * int(np.prod(sides, dtype=np.int64))
    return max(1, min(chunk, OUTPUT_BYTES // max(1, bytes_each)))


def _agreed(regions: Regions) -> Regions:
    """The chief's choice: close scores may round to another class in another process, and all explain one."""
    team = present_team()
    if team.size == 1:
        return regions
    return Regions(team.agreed(regions.target), team.agreed(regions.region))


def _probabilities(flat: Tensor, task: Task) -> Tensor:
    """(n, P, K) of outputs that are probabilities, or logits."""
    if task.outputs == "probability":
        return flat
    is_one_of_several = task.kind == "classes" and task.link != "sigmoid"
    return ops.softmax(flat, axis=-1) if is_one_of_several else ops.sigmoid(flat)


def _of_columns(probabilities: Tensor, truth: Tensor, *, is_binary: bool) -> list[Tensor]:
    """Prediction, certainty, probability of the truth and what is right, of columns that are true or not."""
    prediction = ops.cast(probabilities > 0.5, "int32")
    certainty = ops.maximum(probabilities, 1 - probabilities)
    if is_binary:
        prediction, certainty, probabilities = prediction[:, :, 0], certainty[:, :, 0], probabilities[:, :, 0]
    true = ops.where(ops.equal(truth, 1), probabilities, 1 - probabilities)
    right = ops.cast(ops.equal(prediction, truth), "float32")
    if is_binary:
        return [prediction, certainty, true, right]
    return [prediction, ops.mean(certainty, -1), ops.mean(true, -1), ops.mean(right, -1)]
