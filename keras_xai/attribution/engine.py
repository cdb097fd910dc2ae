"""Runs methods on a model: compiled once, in chunks, with the model's live weights. `kx.attribute` stands here."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution import METHODS
from keras_xai.attribution.baselines import DefaultBaseline, baseline_rows
from keras_xai.attribution.completeness import (
    ENOUGH,
    completeness_error,
    finer,
    incomplete,
    relative,
    said_of_incomplete,
)
from keras_xai.attribution.fitting import arrays_for, inputs_by_name, settled
from keras_xai.attribution.grad_cam import GradCam, Unrectified
from keras_xai.attribution.hires_cam import HiResCam
from keras_xai.attribution.method import Method, Rows, named
from keras_xai.attribution.progress import Progress
from keras_xai.attribution.question import Output, Question, has_convolution
from keras_xai.attribution.samples import Samples, converted, sample_bytes
from keras_xai.attribution.task import Task, resolve_target, true_classes
from keras_xai.attribution.tokens import rows_of
from keras_xai.attribution.whole_numbers import read_as_numbers
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, listed
from keras_xai.frames import as_arrays
from keras_xai.probe import Probe
from keras_xai.records import Attribution

CHUNK_BYTES = 2**24  # of the samples in one pass


class Engine:
    """Methods on one model, in one graph: what they share is computed once.

    One trace serves every call, whatever the number of rows: they come in chunks of one size, the last one filled up with
    copies of its last row. The chunk follows from the model and the size of a sample alone, never from a timing, which would
    change the order of summation from run to run.

    Args:
        model: a built Keras model; its weights are read at each call and never written.
        methods: by name.
        like: the input as the user holds it (array, list or dict), for its structure.
        output: see `Probe`.
        chunk: rows in one forward pass; default 64 with convolutions, else 512, and no more than make up 16 MiB.
        jit: compile with XLA.
        progress: told of every pass.
        task: what the outputs say, where that is known; else it is settled by the first rows.
        names_held: warn once of inputs that no gradient leads to.
    """

    def __init__(
        self,
        model: keras.Model,
        methods: Mapping[str, Method],
        like: Any,
        output: Output = None,
        chunk: int | None = None,
        jit: bool = False,
        progress: Progress | None = None,
        task: Task | None = None,
        names_held: bool = True,
    ) -> None:
        self.methods = dict(methods)
        self.question = Question(model, like, output)
        self.question.task = task
        self.chunk = chunk or chunk_rows(like, convolves=has_convolution(model))
        self._progress = progress or Progress(False)
        self._heard = None if jit or self._progress.silent else self._progress.heard
        self._held_named = not names_held
        self._remarked: set[str] = set()
        self.held: tuple[int, ...] = ()  # inputs that no gradient leads to; known once traced
        self.traces = 0
        self.trace_seconds = 0.0
        self._compares = any(method.compares for method in self.methods.values())
        for method in self.methods.values():
            method.check(model)
        self._model = model
        self._compiled = get_backend().compiled(self._pass, jit, model)
        self._forward = get_backend().compiled(self.question.outputs, jit, model)

    def _pass(self, x: list[Any], baseline: list[Any], target: Any, alike: bool) -> tuple[Any, ...]:
        """The graph: outputs and score, baseline scores, R² and quadrature errors of the methods that have some, and each
        method's values."""
        self.traces += 1
        if alike:
            baseline = [keras.ops.broadcast_to(b, a.shape) for b, a in zip(baseline, x, strict=True)]
        rows = rows_of(
            Rows(self.question.scores, x, baseline, target, self._model, self.chunk, alike, self.question.task)
        )
        if any(method.differentiates for method in self.methods.values()):
            self._name_held(rows)
        rows.heard, rows.names = self._heard, self.question.all_names(len(x))
        rows.watch(self.methods.values())
        values = [method.values(rows) for method in self.methods.values()]
        pairs = zip(self.methods.values(), values, strict=True)
        lowered = [rows.lowered(v) if m.on_input and m.differentiates else v for m, v in pairs]
        outputs, score = rows.said()
        starts = [m.baseline_score(rows) for m in self.methods.values() if m.complete]
        fits = [m.r2(rows) for m in self.methods.values() if m.fits]
        misses = [
            relative(rows.lowered(m.quadrature_miss(rows)), of)
            for m, of in zip(self.methods.values(), lowered, strict=True)
            if m.integrates
        ]
        self._remark(rows.remarks)
        self._progress.passes = 1 + (rows.looped if self._heard else 0)
        return outputs, score, starts, fits, misses, lowered

    def _remark(self, remarks: Sequence[str]) -> None:
        """Warn of each once, however many shapes are traced."""
        for remark in dict.fromkeys(remarks):
            if remark not in self._remarked:
                self._remarked.add(remark)
                warnings.warn(remark, stacklevel=2)

    def _name_held(self, rows: Rows) -> None:
        """Warn once of inputs that no gradient leads to: their values are zero because nothing could be asked."""
        names = self.question.names(len(rows.given))
        self.held = tuple(k for k, smooth in zip(rows.sources, rows.smooth, strict=True) if not smooth)
        held = [names[k] for k in self.held]
        if held and not self._held_named:
            self._held_named = True
            warnings.warn(
                f"No gradient leads from the score to {listed(held)}: held fixed, with zero attribution. Methods without "
                f"gradients (occlusion, kernel_shap, lime) cover such inputs.",
                stacklevel=2,
            )

    def scores(self, x: Sequence[Samples], target: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """(B,) the explained score of rows x; for an engine without methods, which runs them forward alone."""
        self.settle(x)
        parts = []
        for rows in self._chunks(len(x[0])):
            parts.append(self._run([a[rows] for a in x], [], target[rows])[1])
        return np.concatenate(parts)[: len(x[0])]

    def outputs(self, x: Sequence[Samples]) -> NDArray[np.float32]:
        """(B, K) what the model says of rows x."""
        backend = get_backend()
        parts = [backend.numpy(self._forward([a[rows] for a in x])) for rows in self._chunks(len(x[0]))]
        return np.concatenate(parts)[: len(x[0])].astype(np.float32)

    def settle(self, x: Sequence[Samples], y: NDArray[Any] | None = None, *, named: bool = False) -> Task:
        """Decide what the outputs of rows x say, by the first chunk of them; see `Question.settle`."""
        if self.question.task is None:
            first = [a[: self.chunk] for a in x]
            self.question.settle(self.outputs(first), y, named=named)
        assert self.question.task is not None
        return self.question.task

    def prepare(self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]) -> None:
        """Trace what a call with such rows takes, and run nothing: what a method cannot do on this model is an
        `InvalidInput` now."""
        self.settle(x)
        rows = self._chunks(len(x[0]))[0]
        baseline, alike = self._compared(baseline)
        some = [b[:1] if alike else b[rows] for b in baseline]
        self._compiled.trace([a[rows] for a in x], some, target[rows].astype(np.int32), alike)

    def _compared(self, baseline: list[NDArray[Any]]) -> tuple[list[NDArray[Any]], bool]:
        """The baselines that are fed, none where no method looks at one; and whether they are one and the same, as
        `baseline_rows` spreads it."""
        baseline = baseline if self._compares else []
        return baseline, bool(baseline) and all(b.strides[0] == 0 for b in baseline)

    @property
    def side_effects(self) -> str:
        """A sentence on what running the model may move and nobody can put back; "" where there is nothing."""
        return said_of_side_effects(self._compiled.lasting or self._forward.lasting)

    def _chunks(self, size: int) -> list[Any]:
        """Which rows each pass takes, as many as any other: the last row again and again where none are left."""
        step = min(self.chunk, size)
        whole = [slice(begin, begin + step) for begin in range(0, size - step + 1, step)]
        rest = size - len(whole) * step
        return [*whole, np.minimum(np.arange(size - rest, size - rest + step), size - 1)] if rest else whole

    def __call__(
        self,
        x: Sequence[Samples],
        baseline: list[NDArray[Any]],
        target: NDArray[np.integer[Any]],
    ) -> dict[str, Attribution]:
        """Attribute rows x [(B, ...)] against baselines of the same shapes, for the classes target (B,)."""
        return self._attributions(list(self._passes(x, baseline, target)), target)

    def in_parts(
        self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]
    ) -> Iterator[dict[str, Attribution]]:
        """The same a chunk at a time, in order: for what is added up and need not be held whole."""
        begin = 0
        for part in self._passes(x, baseline, target):
            classes = target[begin : begin + len(part[1])]  # without what fills up the last chunk
            yield self._attributions([part], classes)
            begin += len(classes)

    def _passes(
        self, x: Sequence[Samples], baseline: list[NDArray[Any]], target: NDArray[np.integer[Any]]
    ) -> Iterator[tuple[Any, ...]]:
        """What the graph gives for each chunk."""
        self.settle(x)
        chunks = self._chunks(len(x[0]))
        baseline, alike = self._compared(baseline)
        self._progress.begin(len(chunks))
        for rows in chunks:
            some = [b[:1] if alike else b[rows] for b in baseline]
            part = self._run([a[rows] for a in x], some, target[rows], alike)
            self._progress.chunk_done()
            yield part

    def _attributions(self, parts: list[tuple[Any, ...]], target: NDArray[np.integer[Any]]) -> dict[str, Attribution]:
        """What chunks say together of the rows whose classes are target (B,)."""
        size = len(target)
        outputs, score = (joined([p[k] for p in parts], size) for k in range(2))
        task = self.question.task
        assert task is not None
        starts, fits, misses = (
            iter([joined(list(one), size) for one in zip(*(p[k] for p in parts), strict=True)]) for k in (2, 3, 4)
        )
        found = {}
        for m, (name, method) in enumerate(self.methods.items()):
            inputs = range(len(parts[0][5][m]))
            values = [joined([part[5][m].pop(0) for part in parts], size) for _ in inputs]
            baseline_score = next(starts) if method.complete else None
            error = None if baseline_score is None else completeness_error(values, score, baseline_score)
            found[name] = Attribution(
                method=name,
                values=self.question.structured(values) if method.on_input else values[0],
                target=target,
                score=score,
                baseline_score=baseline_score,
                prediction=task.predictions(outputs),
                completeness_error=error,
                space=task.space,
                outputs=outputs.reshape(size, -1)[:, :64],
                r2=next(fits) if method.fits else None,
                task=task.kind,
                link=task.link,
                remark=task.remark,
                quadrature_error=next(misses) if method.integrates else None,
            )
        return found

    def _run(self, x: list[Any], baseline: list[Any], target: NDArray[Any], alike: bool = False) -> tuple[Any, ...]:
        backend = get_backend()
        traces, began = self.traces, time.perf_counter()
        outputs, score, baseline_scores, fits, misses, values = self._compiled(
            x, baseline, target.astype(np.int32), alike
        )
        if self.traces > traces:
            self.trace_seconds += time.perf_counter() - began
        host = backend.numpy
        return (
            host(outputs).astype(np.float32),
            host(score),
            [host(b) for b in baseline_scores],
            [host(r) for r in fits],
            [host(m) for m in misses],
            [[host(v).astype(np.float32, copy=False) for v in method] for method in values],
        )


def said_of_side_effects(lasting: str) -> str:
    """The sentence on what a graph may move for good, "" where there is nothing."""
    return f"The model {lasting}: what an explanation moves there is not put back." if lasting else ""


def chunk_rows(like: Any, *, convolves: bool) -> int:
    """How many samples one pass takes: convolutions want few, and large samples take memory in every layer."""
    arrays = list(like.values()) if isinstance(like, Mapping) else like if isinstance(like, list) else [like]
    bytes_each = sample_bytes([np.shape(array) for array in arrays])
    return max(1, min(64 if convolves else 512, CHUNK_BYTES // max(1, bytes_each)))


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


def smooth(model: keras.Model, x: list[NDArray[Any]], like: Any) -> list[Samples]:
    """Inputs as the graph takes them: numbers are float32, as `fit` makes them, but for what the model takes as integers.

    Arrays of another dtype are converted row by row as they are asked for; those that have it already are taken as they are.

    Strings stay strings where the model may take them (a lookup, a vectorization).

    Raises:
        InvalidInput: neither numbers nor strings, or strings for a model of numbers.
    """
    tensors = getattr(model, "inputs", None) or []
    numbers = [id(tensor) for tensor in read_as_numbers(model)]
    by_name = inputs_by_name(model) if isinstance(like, Mapping) else {}
    taken = [by_name.get(name) for name in like] if by_name else tensors
    wanted = ["" if t is None else "float32" if id(t) in numbers else str(t.dtype) for t in taken]
    wanted = wanted if len(wanted) == len(x) else [""] * len(x)
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    found: list[Samples] = []
    for a, dtype in zip(x, wanted, strict=True):
        if a.dtype.kind in "US" or (a.dtype == object and all(isinstance(v, (str, bytes)) for v in a.flat)):
            if dtype not in ("", "string"):
                raise InvalidInput(
                    f"x has dtype {a.dtype}, the model takes {dtype}: give the samples as `fit` gets them."
                )
            found.append(converted(a, object))  # words of any length
            continue
        if a.dtype.kind not in "fiub":
            raise InvalidInput(f"x has dtype {a.dtype}: numbers or strings are expected, as `fit` gets them.")
        # Integers that the model takes as numbers are numbers; those that it may look up stay what they are.
        whole = "int" in dtype or (a.dtype.kind in "iu" and (embeds or (len(x) > 1 and not dtype)))
        found.append(converted(a, np.int32 if whole else a.dtype if dtype == "bool" else np.float32))
    return found


def check_fit(model: keras.Model, x: list[NDArray[Any]], like: Any) -> None:
    """That the samples have the shape that a built model takes, up to a last axis of 1, which Keras adds or drops.

    Raises:
        InvalidInput: with both shapes.
    """
    expected = getattr(model, "inputs", None)
    if not expected:
        return
    if len(expected) != len(x):
        came = listed(like) if isinstance(like, Mapping) else " and ".join(f"shape {array.shape}" for array in x[:4])
        raise InvalidInput(
            f"x has {len(x)} input{'s' * (len(x) > 1)} ({came}), the model takes {len(expected)}: "
            f"{listed(inputs_by_name(model))}; give the samples as `fit` gets them."
        )
    if isinstance(like, Mapping):
        named_inputs = inputs_by_name(model)
        if set(named_inputs) != set(like):
            raise InvalidInput(f"x has the inputs {listed(like)}, the model takes {listed(named_inputs)}.")
        expected = [named_inputs[name] for name in like]
    for tensor, array in zip(expected, x, strict=True):
        want, got = tuple(tensor.shape)[1:], array.shape[1:]
        if not _is_taken(want, got):
            raise InvalidInput(
                f"x has samples of shape {got}, the model's input {tensor.name!r} takes {want}: give the samples as `fit` "
                f"gets them."
            )
        if array.dtype.kind in "OUS" and "string" not in str(tensor.dtype):
            raise InvalidInput(f"x has dtype {array.dtype}, the model's input {tensor.name!r} takes {tensor.dtype}.")


def _is_taken(want: tuple[int | None, ...], got: tuple[int, ...]) -> bool:
    """Whether an input takes samples of this shape."""
    if len(want) == len(got) + 1:
        got = (*got, 1)
    elif len(want) == len(got) - 1 and got[-1] == 1:
        got = got[:-1]
    return len(want) == len(got) and all(w in (None, g) for w, g in zip(want, got, strict=True))


def attribute(
    model: keras.Model,
    x: Any,
    method: str = "integrated_gradients",
    *,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    seed: int = 0,
    verbose: bool | str = "auto",
    jit_compile: bool = False,
    **options: Any,
) -> Attribution:
    """What each part of x contributed to the model's score: the engine of the callbacks, after training.

    Args:
        model: a built Keras model: functional, Sequential or subclassed.
        x: (B, ...) samples as `fit` gets them: an array, a frame, a list or dict of such, or a `Probe`. Values come as the
            arrays that these are turned into, see `keras_xai.frames.as_arrays`.
        method: one of `keras_xai.attribution.METHODS`.
        target: the class or column to explain: an integer or a name, (B,) integers, or "sum" of several labels or numbers.
            Default the class that the model predicts (a `Probe`: its true class). Of one unit that says class 1 or not,
            class 0 is explained by the negative logit. Several numbers need one.
        output: which output of several, by name or index; or a callable(model, x) -> scores (B, K).
        baseline: one sample or (B, ...), finite: what "nothing" looks like. Default zero in the model's input space (of an
            input behind a Normalization the adapted mean; steps that a Masking skips stay skipped); for a `Probe` of a table
            its mean.
        seed: of the methods that draw; the global generators are neither read nor moved.
        verbose: a progress bar: True, False, or "auto" (where a call takes more than two seconds).
        jit_compile: compile with XLA, which takes seconds once: for long runs on models without convolutions.
        **options: of the method, see its class.

    Returns:
        An `Attribution`. Samples whose completeness error is above 1 % are run again with 64 steps; one that stays above 5 %
        is a warning.

    Raises:
        InvalidInput: unknown methods or options, shapes that do not fit, targets out of range: with name and shape; a
            Grad-CAM whose averages hide what the places of its layer hold.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [2.0], [-1.0]], "float32")])
        >>> attribute(model, np.ones((1, 3), "float32")).values.round(3).tolist()
        [[1.0, 2.0, -1.0]]
    """
    return explained(model, x, method, target, output, baseline, seed, verbose, jit_compile, options, True)[0]


def explained(
    model: keras.Model,
    x: Any,
    method: str,
    target: Any = None,
    output: Output = None,
    baseline: Any = None,
    seed: int = 0,
    verbose: bool | str = False,
    jit_compile: bool = False,
    options: Mapping[str, Any] | None = None,
    names_held: bool = False,
) -> tuple[Attribution, tuple[int, ...]]:
    """What `attribute` gives, and the inputs that could not be asked: no gradient leads there."""
    progress = Progress(verbose)
    prepared = Prepared(
        model, x, method, target, output, baseline, seed, jit_compile, options, progress, names_held=names_held
    )
    found, how = prepared(), prepared.method
    if prepared.side_effects:
        warnings.warn(prepared.side_effects, stacklevel=3)
    if type(how) is GradCam and not found.values.any():
        _check_averages(prepared, how, found)
    more = finer(how)
    again = incomplete(found, ENOUGH)
    if more is not None and len(again):
        found = merged(found, prepared.instead(more, again, progress), again)
    if text := said_of_incomplete(how, found):
        warnings.warn(text, stacklevel=3)
    return found, prepared.held


def _check_averages(prepared: Prepared, method: GradCam, found: Attribution) -> None:
    """Refuse a Grad-CAM whose averages are zero where the layer's places do lead to the score.

    Raises:
        InvalidInput: the gradient of each channel cancels out over the places.
    """
    rows = np.arange(len(found.score))
    before_relu = prepared.instead(Unrectified(method.layer, method.input), rows).values
    if not before_relu.any() and prepared.instead(HiResCam(method.layer, method.input), rows).values.any():
        raise InvalidInput(
            "grad_cam is zero everywhere, though the places of the layer lead to the score: each channel's gradients, averaged "
            "over all places, cancel out. Take hires_cam or layer_cam, which weigh each place by itself."
        )


class Prepared:
    """One question about some samples, ready to be asked: again and again, where the weights move in between.

    The arguments are those of `attribute`, which checks them here.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        method: str,
        target: Any = None,
        output: Output = None,
        baseline: Any = None,
        seed: int = 0,
        jit_compile: bool = False,
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        names_held: bool = True,
    ) -> None:
        options = dict(options or {})
        if method in METHODS and "seed" in {f.name for f in dataclasses.fields(METHODS[method])}:
            options.setdefault("seed", seed)
        how = named(method, options, METHODS)
        probe = settled(model, x) if isinstance(x, Probe) else None
        if probe is not None:
            how = how.for_probe(probe)
            if probe.x is None:
                raise InvalidInput("This probe holds no samples (store='none').")
            x, output = probe.x, probe.output if output is None else output
            baseline = probe.baseline if baseline is None else baseline
        else:
            x = arrays_for(model, as_arrays(x))
        flat = list(x.values()) if isinstance(x, dict) else x if isinstance(x, list) else [x]
        self._like = x
        _check_samples(flat)
        if not model.built:
            raise InvalidInput("The model has no weights yet: call it once, or build it, before it is explained.")
        check_fit(model, flat, self._like)
        self._x = smooth(model, flat, self._like)
        how = how.checked(self._x, self._like)
        if baseline is None:
            self._baseline = DefaultBaseline(model, self._x, self._like, output, probe).rows(self._x)
        else:
            self._baseline = baseline_rows(baseline, self._x, self._like)
        self.name, self.method, self._model, self._output, self._jit = method, how, model, output, jit_compile
        self._task: Task | None = None
        self._names_held = names_held
        self._engine = self._made(how, progress)
        self.target = explained_targets(self._engine, self._x, target, probe)
        self._task = self._engine.question.task

    def __call__(self) -> Attribution:
        """With the weights as they are now."""
        return self._engine(self._x, self._baseline, self.target)[self.name]

    @property
    def side_effects(self) -> str:
        """See `Engine.side_effects`."""
        return self._engine.side_effects

    @property
    def held(self) -> tuple[int, ...]:
        """See `Engine.held`."""
        return self._engine.held

    def instead(self, method: Method, rows: NDArray[np.integer[Any]], progress: Progress | None = None) -> Attribution:
        """The same of some of the rows, by another method."""
        x, baseline = ([a[rows] for a in arrays] for arrays in (self._x, self._baseline))
        return self._made(method, progress)(x, baseline, self.target[rows])[self.name]

    def _made(self, method: Method, progress: Progress | None) -> Engine:
        methods = {self.name: method}
        return Engine(
            self._model,
            methods,
            self._like,
            self._output,
            jit=self._jit,
            progress=progress,
            task=self._task,
            names_held=self._names_held,
        )


def explained_targets(
    engine: Engine, x: Sequence[Samples], target: Any = None, probe: Probe | None = None
) -> NDArray[np.int64]:
    """(B,) the classes or columns to explain: those asked for, else the true ones of a probe, else those the model chooses.

    Args:
        engine: of the model; what its outputs say is settled here.
        x: (B, ...) rows.
        target: as `attribute` takes it.
        probe: with labels and names, None without.

    Raises:
        InvalidInput: labels or targets that do not fit the output; no target where none can be chosen.
    """
    outputs = engine.outputs(x)
    y, names = (None, None) if probe is None else (probe.y, probe.class_names)
    task = engine.question.settle(outputs, y, named=names is not None)
    if target is None and probe is not None:
        target = probe.target
    true = None if target is not None or y is None else true_classes(y, task, names, engine.question.output)
    targets = resolve_target(target, task, len(x[0]), true, names)
    return targets if targets is not None else task.explained(outputs)


def _check_samples(x: list[NDArray[Any]]) -> None:
    sizes = [a.shape[0] if a.ndim else 0 for a in x]
    if not x or min(sizes) == 0 or len(set(sizes)) > 1:
        raise InvalidInput(
            f"x has shapes {[a.shape for a in x]}: expected samples along the first axis, as many in each input."
        )
    for a in x:
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            raise InvalidInput(
                f"x of shape {a.shape} contains NaN or infinite values: an attribution of them means nothing."
            )


def merged(coarse: Attribution, fine: Attribution, rows: NDArray[np.integer[Any]]) -> Attribution:
    """`coarse` with the values and errors of `fine` in these rows."""

    def put(a: Any, b: Any) -> Any:
        if isinstance(a, dict):
            return {k: put(a[k], b[k]) for k in a}
        if isinstance(a, list):
            return [put(v, w) for v, w in zip(a, b, strict=True)]
        a = a.copy()
        a[rows] = b
        return a

    return dataclasses.replace(
        coarse,
        values=put(coarse.values, fine.values),
        completeness_error=put(coarse.completeness_error, fine.completeness_error),
        quadrature_error=None
        if coarse.quadrature_error is None
        else put(coarse.quadrature_error, fine.quadrature_error),
    )
