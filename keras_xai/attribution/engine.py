"""Runs attribution methods on a model: in one program, in chunks, with the model's live weights."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.completeness import completeness_error, relative_magnitude
from keras_xai.attribution.method import Method
from keras_xai.attribution.placement import Placement
from keras_xai.attribution.progress import Progress
from keras_xai.attribution.tokens import batch_for_methods
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.backend.team import present_team
from keras_xai.errors import listed
from keras_xai.model.inputs import is_shared
from keras_xai.model.runner import ModelRunner, joined
from keras_xai.model.samples import Samples, take_rows
from keras_xai.model.target_score import TargetScore
from keras_xai.records import Attribution

RECORDED_COLUMNS = 64  # of the outputs


class Facts(NamedTuple):
    """Facts of a trace of the methods, beside the values."""

    held_inputs: tuple[int, ...]  # inputs that no gradient leads to, where a method needs one
    remarks: tuple[str, ...]
    loop_passes: int  # in all loops of one chunk


class Pass(NamedTuple):
    """The result of the program for one chunk; on the host arrays in the place of tensors."""

    outputs: Any  # (n, K)
    score: Any  # (n,)
    baseline_scores: list[Any]  # (n,) of the methods that satisfy completeness
    r2: list[Any]  # (n,) of those that report it
    quadrature_errors: list[Any]  # (n,) of those that report it
    values: list[list[Any]]  # of each method, one an input
    facts: Facts


class Engine:
    """Methods on one model, in one program: what they share is computed once.

    Args:
        runner: of the model.
        methods: by name.
        progress: told of every pass.
        warns_of_held: warn once of inputs that no gradient leads to.
        score_type: of what is explained.
        remarked: remarks that were warned of before; added to.
    """

    def __init__(
        self,
        runner: ModelRunner,
        methods: Mapping[str, Method],
        progress: Progress | None = None,
        warns_of_held: bool = True,
        score_type: type[TargetScore] = TargetScore,
        remarked: set[str] | None = None,
    ) -> None:
        self.runner = runner
        self.methods = dict(methods)
        self.held_inputs: tuple[int, ...] = ()  # that no gradient leads to; after a call or `prepare`
        self._progress = progress or Progress(False)
        self._reports = self._progress.report if runner.reports_progress and not self._progress.silent else None
        self._may_warn_of_held = warns_of_held
        self._score_type = score_type
        self._remarked: set[str] = set() if remarked is None else remarked
        self._layers_by_shapes: dict[Any, list[keras.layers.Layer]] = {}  # found by earlier batches
        self._placements: dict[int, Placement] = {}  # by the method's id
        self._placed: set[str] = set()  # methods that were looked up
        self._needs_baseline = any(method.needs_baseline for method in self.methods.values())
        for method in self.methods.values():
            method.check(runner.model)
        self._compiled = runner.compiled(self._pass)

    def add(self, methods: Mapping[str, Method]) -> None:
        """Run further methods in the same program; before anything is traced."""
        for method in methods.values():
            method.check(self.runner.model)
        self.methods |= methods
        self._needs_baseline = any(method.needs_baseline for method in self.methods.values())

    @property
    def traces(self) -> int:
        """The number of times that the methods were traced."""
        return self._compiled.traces

    @property
    def side_effects(self) -> str:
        """A sentence on what running the model may move and nobody can put back; "" where there is nothing."""
        return self.runner.lasting_effects(self._compiled)

    def prepare(self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]) -> None:
        """Trace what a call with such rows takes, and run nothing.

        Raises:
            InvalidInput: what a method cannot do on this model.
        """
        self._settle(x)
        rows = self.runner.chunks(len(x[0]))[0].rows
        baselines = self._baselines(baseline)
        result: Pass = self._compiled.trace(
            take_rows(x, rows), baselines.of(rows), target[rows].astype(np.int32), baselines.shared
        )
        self._note(result.facts)

    def __call__(
        self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]
    ) -> dict[str, Attribution]:
        """Attribute rows x [(B, ...)] against baselines of the same shapes, for the classes target (B,)."""
        return self._attributions(list(self._passes(x, baseline, target)), target)

    def in_parts(
        self,
        x: Sequence[Samples],
        baseline: list[NDArray[Any]],
        target: NDArray[np.integer[Any]],
        watch: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> Iterator[dict[str, Attribution]]:
        """The same a chunk at a time, in order: for what is added up and need not be held whole.

        Args:
            x, baseline, target: see `__call__`.
            watch: gets the outputs (n, K) of each chunk, all columns of them.
        """
        begin = 0
        for part in self._passes(x, baseline, target):
            classes = target[begin : begin + len(part.score)]  # without what fills up the last chunk
            if watch is not None:
                watch(joined([part.outputs], len(classes)).reshape(len(classes), -1))
            yield self._attributions([part], classes)
            begin += len(classes)

    def _settle(self, x: Sequence[Samples]) -> None:
        """Decide, once, what the outputs say, and which layers the methods are read off."""
        self.runner.settle(x)
        for name, method in self.methods.items():
            if name not in self._placed:
                self._placed.add(name)
                placement = method.placed(self.runner, x)
                if placement is not None:
                    self._placements[id(method)] = placement

    def _baselines(self, baseline: list[NDArray[Any]]) -> _Baselines:
        """The baselines that are fed: none where no method looks at one."""
        arrays = baseline if self._needs_baseline else []
        return _Baselines(arrays, bool(arrays) and all(is_shared(rows) for rows in arrays))

    def _passes(
        self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]
    ) -> Iterator[Pass]:
        """The result of each chunk, on the host."""
        self._settle(x)
        chunks = self.runner.chunks(len(x[0]))
        baselines, target = self._baselines(baseline), target.astype(np.int32)
        for number, (rows, _) in enumerate(chunks):
            arguments = take_rows(x, rows), baselines.of(rows), target[rows], baselines.shared
            if number == 0:
                passes = 1
                if self._reports is not None:
                    passes += self._compiled.trace(*arguments).facts.loop_passes
                self._progress.begin(len(chunks), passes)
            part = self._run(*arguments)
            self._note(part.facts)
            self._progress.chunk_done()
            yield part

    def _run(self, x: list[Any], baseline: list[Any], target: NDArray[Any], shared: bool) -> Pass:
        """The result of one chunk, on the host."""
        numpy = get_backend().numpy
        result: Pass = self._compiled(x, baseline, target, shared)
        values = []
        for by_input in result.values:
            values.append([numpy(value).astype(np.float32, copy=False) for value in by_input])
        return Pass(
            outputs=numpy(result.outputs).astype(np.float32),
            score=numpy(result.score),
            baseline_scores=[numpy(score) for score in result.baseline_scores],
            r2=[numpy(r2) for r2 in result.r2],
            quadrature_errors=[numpy(error) for error in result.quadrature_errors],
            values=values,
            facts=result.facts,
        )

    def _note(self, facts: Facts) -> None:
        """Warn of what a trace says, of each thing once, however many shapes are traced."""
        self.held_inputs = facts.held_inputs
        for remark in facts.remarks:
            if remark not in self._remarked:
                self._remarked.add(remark)
                if present_team().is_chief:
                    warnings.warn(remark, stacklevel=2)
        if facts.held_inputs and self._may_warn_of_held:
            self._may_warn_of_held = False
            if not present_team().is_chief:
                return
            names = self.runner.input_names()
            held = listed(names[k] for k in facts.held_inputs)
            warnings.warn(
                f"No gradient leads from the score to {held}: held fixed, with zero attribution. Methods without "
                f"gradients (occlusion, kernel_shap, lime) cover such inputs.",
                stacklevel=2,
            )

    def _attributions(self, parts: list[Pass], target: NDArray[np.integer[Any]]) -> dict[str, Attribution]:
        """The attributions of the rows whose classes are target (B,), joined from chunks."""
        size = len(target)
        outputs = joined([part.outputs for part in parts], size)
        score = joined([part.score for part in parts], size)
        baseline_scores = _joined_each([part.baseline_scores for part in parts], size)
        r2 = _joined_each([part.r2 for part in parts], size)
        quadrature_errors = _joined_each([part.quadrature_errors for part in parts], size)
        task = self.runner.task
        assert task is not None
        attributions = {}
        for m, (name, method) in enumerate(self.methods.items()):
            values = []
            while parts[0].values[m]:
                # Taken out of the parts, so that a large whole and its parts are not held at once.
                values.append(joined([part.values[m].pop(0) for part in parts], size))
            baseline_score = next(baseline_scores) if method.satisfies_completeness else None
            error = None if baseline_score is None else completeness_error(values, score, baseline_score)
            attributions[name] = Attribution(
                method=name,
                title=method.full_title,
                quantity=method.quantity,
                layer=method.layer_of_units,
                values=self.runner.score_function.structured(values) if method.is_of_input else values[0],
                target=target if self.runner.dense is None else target[:, 0],
                score=score,
                baseline_score=baseline_score,
                prediction=task.predictions(outputs),
                completeness_error=error,
                space=task.space,
                outputs=outputs.reshape(size, -1)[:, :RECORDED_COLUMNS],
                r2=next(r2) if method.reports_r2 else None,
                task=task.kind,
                link=task.link,
                remark=task.remark,
                quadrature_error=next(quadrature_errors) if method.reports_quadrature_error else None,
            )
        return attributions

    # Inside the program.

    def _pass(self, x: Tensors, baseline: Tensors, target: Tensor, shared: bool) -> Pass:
        methods = list(self.methods.values())
        batch = self._batch(x, baseline, target, shared)
        held_inputs: tuple[int, ...] = ()
        if any(method.differentiates_inputs for method in methods):
            inputs = zip(batch.input_index, batch.differentiable, strict=True)
            held_inputs = tuple(k for k, has_path in inputs if not has_path)
        required = [layer for method in methods for layer in method.required_layers(batch)]
        batch.watch(required)
        values = []
        for method in methods:
            by_input = method.values(batch)
            # Gradients are those of embeddings, where the model looks tokens up.
            of_embeddings = method.is_of_input and method.needs_gradient
            values.append(batch.sum_over_embedding(by_input) if of_embeddings else by_input)
        prediction = batch.prediction()
        baseline_scores = [method.baseline_score(batch) for method in methods if method.satisfies_completeness]
        r2 = [method.r2(batch) for method in methods if method.reports_r2]
        quadrature_errors = []
        for method, by_input in zip(methods, values, strict=True):
            if method.reports_quadrature_error:
                difference = method.quadrature_difference(batch)
                if method.is_of_input:
                    difference = batch.sum_over_embedding(difference)
                quadrature_errors.append(relative_magnitude(difference, by_input))
        facts = Facts(held_inputs, tuple(dict.fromkeys(batch.remarks)), batch.loop_passes)
        outputs = batch.score_type(self.runner.task, target).rows(prediction.outputs)
        return Pass(outputs, prediction.score, baseline_scores, r2, quadrature_errors, values, facts)

    def _batch(self, x: Tensors, baseline: Tensors, target: Tensor, shared: bool) -> Batch:
        if shared:
            baseline = [keras.ops.broadcast_to(b, a.shape) for b, a in zip(baseline, x, strict=True)]
        return batch_for_methods(
            Batch(
                self.runner.score_function.outputs,
                x,
                baseline,
                target,
                self.runner.model,
                self.runner.chunk,
                shared_baseline=shared,
                task=self.runner.task,
                input_names=self.runner.score_function.input_aliases(len(x)),
                progress=self._reports,
                layers_by_shapes=self._layers_by_shapes,
                placements=self._placements,
                is_dense=self.runner.dense is not None,
                score_type=functools.partial(self.runner.score_function.target_score, score_type=self._score_type),
            )
        )


class _Baselines(NamedTuple):
    """The baselines of all rows."""

    arrays: list[NDArray[Any]]
    shared: bool  # they are one and the same, as `broadcast_baseline` spreads it

    def of(self, rows: Any) -> list[NDArray[Any]]:
        """Those of some rows, one where it is shared."""
        return [b[:1] if self.shared else b[rows] for b in self.arrays]


def _joined_each(parts: list[list[NDArray[Any]]], size: int) -> Iterator[NDArray[Any]]:
    """Arrays of several methods in several chunks, joined for each method."""
    return iter([joined(list(chunks), size) for chunks in zip(*parts, strict=True)])
