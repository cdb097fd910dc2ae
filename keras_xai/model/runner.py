"""Runs a model on samples in chunks of one size, with its live weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Program, Tensor
from keras_xai.backend.team import Team, present_team
from keras_xai.model.batch_size import fixed_batch_size
from keras_xai.model.dense import DenseOutput, output_chunk
from keras_xai.model.layers import has_convolution
from keras_xai.model.samples import Samples, sample_bytes, take_rows
from keras_xai.model.scores import Output, ScoreFunction
from keras_xai.model.task import Task, resolve_target, true_classes
from keras_xai.records import Link
from keras_xai.tree import leaves

CHUNK_BYTES = 2**24  # of the samples in one pass
CHUNK_ROWS = 512
CHUNK_ROWS_WITH_CONVOLUTIONS = 64
CHUNK_ROWS_UNCOMPILED = 1024  # a pass takes milliseconds of Python, however few rows it has


class Chunk(NamedTuple):
    """The samples of one pass."""

    rows: Any  # an index of as many rows as any other chunk has: the last row again and again where none are left
    size: int  # how many of them count


class _Outputs(NamedTuple):
    """The result of the forward program for one chunk."""

    outputs: Tensor  # (n, K)
    link: Link  # what makes them of logits


class ModelRunner:
    """A model that is run on samples: chunks of one size, one program a function, state that is left as it was.

    One trace serves every call, whatever the number of rows: they come in chunks of one size, the last one filled up with
    copies of its last row. The chunk follows from the model and the size of a sample alone, never from a timing, which would
    change the order of summation from run to run.

    Args:
        model: a built Keras model; its weights are read at each call and never written.
        like: the input as the user holds it (array, list or dict), for its structure.
        output: see `Probe`.
        chunk: rows in one forward pass; default 64 with convolutions, else 512, where nothing is compiled 1024, and no more than
            make up 16 MiB. A model of a fixed batch size takes as many as that, always.
        jit: compile with XLA.

    Attributes:
        task: what the outputs say, None before `settle`.
        dense: of an output that says it at many positions; None for a row of scores.
    """

    def __init__(
        self, model: keras.Model, like: Any, output: Output = None, chunk: int | None = None, jit: bool = False
    ) -> None:
        self.model, self.like = model, like
        fixed = fixed_batch_size(model)
        self._takes_whole_chunks = fixed is not None
        self._samples_a_pass: int | None = None  # where that is less than a chunk
        self.chunk = fixed or chunk or chunk_rows(like, convolves=has_convolution(model))
        self.score_function = ScoreFunction(model, like, output)
        self.task: Task | None = None  # once `settle` has decided it
        self._jit = jit
        self.dense: DenseOutput | None = None
        if self.score_function.dense is not None:
            most = output_chunk(self.chunk, model, self.score_function.input_shapes)
            self.chunk = self.chunk if self._takes_whole_chunks else most
            self.dense = DenseOutput(self, self.score_function.dense)
        self._forward = self.compiled(self._outputs)
        self._target_scores = self.compiled(self._scores)

    @property
    def reports_progress(self) -> bool:
        """False under XLA, from inside which nothing can be heard."""
        return not self._jit

    def input_names(self) -> list[str]:
        """Names for the model's inputs."""
        return self.score_function.input_names(len(leaves(self.like)))

    def by_sample(self) -> ModelRunner:
        """A runner for the same task that takes one sample after the other, of whose variants a pass then holds a whole chunk."""
        runner = ModelRunner(self.model, self.like, self.score_function.output, self.chunk, self._jit)
        runner.task, runner.dense, runner._samples_a_pass = self.task, self.dense, 1
        return runner

    def compiled(self, function: Callable[..., Any], *, runs_model: bool = True) -> Program:
        """A program of a function that runs the model, compiled as this runner's own are."""
        program = get_backend().compiled(function, self.model if runs_model else None, self._jit)
        team = present_team()
        return program if team.size == 1 or not runs_model else _ProgramInStep(program, team)

    def rows_a_pass(self, size: int) -> int:
        """The rows of each pass over `size` of them."""
        return self.chunk if self._takes_whole_chunks else min(self._samples_a_pass or self.chunk, size)

    def chunks(self, size: int) -> list[Chunk]:
        """The passes over `size` rows."""
        step = self.rows_a_pass(size)
        chunks = [Chunk(slice(begin, begin + step), step) for begin in range(0, size - step + 1, step)]
        remaining = size - len(chunks) * step
        if remaining:
            rows = np.minimum(np.arange(size - remaining, size - remaining + step), size - 1)
            chunks.append(Chunk(rows, remaining))
        return chunks

    def outputs(self, x: Sequence[Samples]) -> NDArray[np.float32]:
        """(B, K) the model's outputs for rows x; (B, ..., K) of a dense one."""
        return self._run_forward(x)[0]

    def scores(self, x: Sequence[Samples], target: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """(B,) the scores of what `targets` gives, or of classes or columns (B,): logits where the model has some."""
        self.settle(x)
        numpy, target = get_backend().numpy, target.astype(np.int32)
        parts = []
        for rows, _ in self.chunks(len(x[0])):
            parts.append(numpy(self._target_scores(take_rows(x, rows), target[rows])))
        return joined(parts, len(x[0]))

    def targets(
        self,
        x: Sequence[Samples],
        y: NDArray[Any] | None = None,
        target: Any = None,
        names: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """The targets of rows x: classes or columns (B,), with regions (B, ...) where the output is dense.

        Args:
            x: (B, ...) rows; by them the task is decided.
            y: (B, ...) their labels, None without.
            target: as `attribute` takes it; default the true class, else the one that the model chooses.
            names: of the classes.

        Raises:
            InvalidInput: labels or targets that do not fit the output; no target where none can be chosen.
        """
        if self.dense is not None:
            self.settle(x, y, named=names is not None)
            return self.dense.targets(x, y, target, names)
        outputs, task = self.outputs_and_task(x, y, named=names is not None)
        classes = None
        if target is None and y is not None:
            classes = true_classes(y, task, names, self.score_function.output)
        targets = resolve_target(target, task, len(x[0]), classes, names)
        return targets if targets is not None else task.explained(outputs)

    def settle(self, x: Sequence[Samples], y: NDArray[Any] | None = None, *, named: bool = False) -> Task:
        """Decide what the outputs say, once: by the outputs of the first chunk of rows x.

        Args:
            x: (B, ...) rows, one array an input.
            y: (B, ...) labels, None without.
            named: whether classes have names.
        """
        if self.task is not None:
            return self.task
        outputs, link = self._run_forward([a[: self.chunk] for a in x])
        return self.settle_by(outputs, link, y, named=named)

    def settle_by(
        self, outputs: NDArray[Any], link: Link, y: NDArray[Any] | None = None, *, named: bool = False
    ) -> Task:
        """Decide it by outputs (B, K), or (B, ..., K), that are there already, and by what makes them of logits."""
        if self.task is None and self.dense is not None:
            self.task = self.dense.settle(outputs, link, y, named=named)
        elif self.task is None:
            self.task = self.score_function.task(outputs, link, y, named=named)
        return self.task

    def outputs_and_task(
        self, x: Sequence[Samples], y: NDArray[Any] | None = None, *, named: bool = False
    ) -> tuple[NDArray[np.float32], Task]:
        """The outputs of rows x, by which the task is decided, in one run."""
        outputs, link = self._run_forward(x)
        return outputs, self.settle_by(outputs, link, y, named=named)

    @property
    def has_side_effects(self) -> bool:
        """True where a forward pass moves something that is put back: a dropout that is on in inference moves its seed."""
        return self._forward.has_side_effects

    def lasting_effects(self, *programs: Program) -> str:
        """A sentence on what running these programs may move and nobody can put back; "" where there is nothing."""
        effects = [program.lasting_effects for program in (*programs, self._forward) if program.lasting_effects]
        return f"The model {effects[0]}: what an explanation moves there is not put back." if effects else ""

    def _run_forward(self, x: Sequence[Samples]) -> tuple[NDArray[np.float32], Link]:
        numpy, size = get_backend().numpy, len(x[0])
        results: list[_Outputs] = [self._forward(take_rows(x, rows)) for rows, _ in self.chunks(size)]
        outputs = joined([numpy(result.outputs) for result in results], size)
        return outputs.astype(np.float32), results[0].link

    # Inside programs.

    def _outputs(self, x: list[Tensor]) -> _Outputs:
        logits = self.score_function.logits(x)
        return _Outputs(logits.outputs, logits.link)

    def _scores(self, x: list[Tensor], target: Tensor) -> Tensor:
        return self.score_function.target_score(self.task, target).select(self.score_function.logits(x).scores)


class _ProgramInStep:
    """A program on the devices of several processes: it begins once all of them are about to run it, and well."""

    def __init__(self, program: Program, team: Team) -> None:
        self._program = program
        self._team = team

    def __call__(self, *args: Any) -> Any:
        self._team.meet()
        return self._program(*args)

    def trace(self, *args: Any) -> Any:
        return self._program.trace(*args)

    @property
    def traces(self) -> int:
        return self._program.traces

    @property
    def has_side_effects(self) -> bool:
        return self._program.has_side_effects

    @property
    def lasting_effects(self) -> str:
        return self._program.lasting_effects


def chunk_rows(like: Any, *, convolves: bool) -> int:
    """The number of samples that one pass takes: convolutions want few, and large samples take memory in every layer."""
    bytes_each = sample_bytes([np.shape(array) for array in leaves(like)])
    if get_backend().compiles():
        most = CHUNK_ROWS_WITH_CONVOLUTIONS if convolves else CHUNK_ROWS
    else:
        most = CHUNK_ROWS_UNCOMPILED
    return max(1, min(most, CHUNK_BYTES // max(1, bytes_each)))


def joined(parts: list[NDArray[Any]], size: int) -> NDArray[Any]:
    """The first `size` rows of all parts. The list is emptied on the way: a large whole and its parts are not held at once."""
    if len(parts) == 1:
        return parts[0][:size]
    whole = np.empty((size, *parts[0].shape[1:]), parts[0].dtype)
    begin = 0
    while parts:
        rows = parts.pop(0)[: size - begin]
        whole[begin : begin + len(rows)] = rows
        begin += len(rows)
    return whole
