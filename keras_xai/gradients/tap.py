"""The gradients that a running `fit` hands to its optimizers, heard in the compiled train step.

A model gets a second train function, which records. A `Tap` stands in for `model.train_function` and chooses between the
two on the host: the second one for sampled steps, the user's own for all others, which therefore cost nothing.

The user's own function is traced first, and makes all that a first step makes. The second one is built out of the first
one's graph, with sums of the gradients added (`backend.tensorflow.train_step`); only where that graph is not to be had (it
was traced before anybody listened, on several replicas, inside a branch) the model's code is traced once more. Neither is
run before it is known that it may be, so that one which may not leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import COLUMNS, backend_part, get_backend
from keras_xai.backend.python_state import python_state_kept
from keras_xai.gradients.listening import listening
from keras_xai.gradients.selection import Selection
from keras_xai.running import is_running

T = TypeVar("T")
logger = logging.getLogger("keras_xai")
CALLS, SKIPPED, LARGEST = (COLUMNS.index(name) for name in ("calls", "skipped", "largest"))
clock = time.perf_counter
LARGE = 100  # recorded variables from which on the compilation is announced: it takes seconds

SEALED = (
    "the optimizer is called inside a tf.function of the train step's own, which would keep our operations: Keras compiles"
    " the train step already, so take the decorator off"
)
UNHEARD = (
    "the train step calls no optimizer's apply() that can be heard: it updates the weights by itself, or in a tf.function"
    " of its own that was compiled before"
)
OWN_FUNCTION = "the model has a make_train_function of its own, of which it cannot be known what else it does"
UNTRACEABLE = "this version of Keras makes a train function that cannot be traced by itself"


class NotCaptured(Exception):
    """A train step whose gradients cannot be recorded without changing the training. Says why, in words for the user."""


@dataclass
class Heard:
    """What was recorded in one epoch: `sums[i]` are the columns of `variables[i]`, see `backend.COLUMNS`."""

    epoch: int
    variables: list[Any] = field(default_factory=list)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    sparse: set[int] = field(default_factory=set)  # id of each variable whose gradient names rows
    executions: int = 0
    steps: int = 0  # recorded optimizer calls
    skipped: int = 0  # calls that the optimizer skipped, because loss scaling had overflowed
    octaves: bool = True  # whether exponents could be counted
    reason: str = ""  # why nothing was recorded, where nothing can be


class Seconds(NamedTuple):
    """What recording cost beside a plain fit."""

    built: float  # the second function, as a graph
    compiled: float  # and in its first run
    extra: (
        float | None
    )  # what sampled executions took longer than the median of the plain ones; None without any of these


class Tap:
    """Stands in for the train function of `model` during a fit; one for all callbacks that listen.

    Each listener announces a coming call of the train function (`on_train_batch_begin`) and says whether it wants it
    recorded. A call that nobody announced is not part of their fit: an aborted one left the tap behind. It then takes
    itself away.

    Args:
        model: whose train function is made.
        fit: Keras' `params`, one object a fit.
    """

    def __init__(self, model: keras.Model, fit: object = None) -> None:
        self.model = model
        self.fit = fit
        self.plain: Callable[..., Any] = getattr(model.train_function, "plain", model.train_function)
        self.reason = ""
        self.tell: Callable[[str], None] | None = None  # of what takes long, while it does
        self._listeners: dict[Hashable, Selection] = {}
        self._announced: dict[Hashable, bool] = {}
        self._forget_function()
        self._tables: list[Any] = []
        self._sparse: set[int] = set()
        self.calls = 0  # of the train function, in fits that are listened to: the last one of an epoch may find no data
        self._executions = 0
        self._sampled: list[float] = []
        self._traced = self._first_run = 0.0
        self._collected: Heard | None = None

    def _forget_function(self) -> None:
        """What belongs to one train function of the model's own."""
        self.reason = ""
        self._recording: Callable[..., Any] | None = None
        self._recorded_for: frozenset[Selection] = frozenset()
        self._signature: Any = None  # of the data that the recording function is traced for
        self._ran = False  # whether it was run
        self._after_plain = False  # whether the plain one had run before
        self._traces = backend_part("train_step").StepTraces()
        self._rebuilds = True  # whether the step's own graph is used, where there is one
        self._heard = 0  # calls of apply while the recording function was traced
        self._warm = False  # whether the plain function has run
        self._plain_first: float | None = None  # seconds of its first run, which compiles it
        self._growth = 1.0  # operations of the recording step for each of the plain one's
        self._plain_seconds: deque[float] = deque(maxlen=101)

    @classmethod
    def of(cls, model: keras.Model, known: Tap | None = None, fit: object = None) -> Tap:
        """The tap of a model whose train function is made: the one that is installed, the one known from an earlier fit
        (its function need not be traced again), or a new one.

        A fit inside a running one of the same model gets a tap of its own: their sums are not to be mixed.
        """
        installed = model.train_function
        if isinstance(installed, Tap) and (installed.fit is fit or not is_running(installed.fit)):
            installed.fit = fit
            return installed
        own = getattr(installed, "plain", installed)
        if known is not None and known is not installed and known.model is model and known.plain is own:
            known.fit = fit
            return known
        return cls(model, fit)

    # For the callbacks.

    def join(self, listener: Hashable, selection: Selection) -> None:
        """Take part in the fit that begins. Sums start from zero."""
        self._listeners[listener] = selection
        self._announced.clear()
        for table in self._tables:
            table.reset()
        self._collected, self._executions, self._sampled = None, 0, []
        self._traced = self._first_run = 0.0
        self.install()

    def install(self) -> None:
        """Stand in for the train function, also for one that was made anew in the middle of a fit."""
        installed = self.model.train_function
        if installed is self or installed is None:
            return
        own = getattr(installed, "plain", installed)
        if own is not self.plain:
            self.plain = own
            self._forget_function()
        self.model.train_function = self

    def rest(self) -> None:
        """Between epochs the model has its own train function again: whatever ends the fit there leaves it so."""
        self._uninstall()

    def leave(self, listener: Hashable) -> None:
        """Listen no more; the last one takes the tap away. Idempotent."""
        self._listeners.pop(listener, None)
        self._announced.pop(listener, None)
        if not self._listeners:
            self._uninstall()

    def _uninstall(self) -> None:
        if self.model.train_function is self:
            self.model.train_function = self.plain

    def announce(self, listener: Hashable, record: bool) -> None:
        """The next call of the train function belongs to this listener's fit."""
        self._announced[listener] = record
        if self.model.train_function is self.plain:  # taken away by a call of another callback's, train_on_batch
            self.model.train_function = self

    def collect(self, epoch: int) -> Heard:
        """What was recorded since the last time, in one copy a table; the same for all who ask in that epoch."""
        if self._collected is not None and self._collected.epoch == epoch:
            return self._collected
        steps = skipped = 0
        merged: dict[int, tuple[Any, NDArray[np.float64]]] = {}
        for table in self._tables:
            *rows, calls = table.read()
            steps, skipped = steps + int(calls[CALLS]), skipped + int(calls[SKIPPED])
            for variable, row in zip(table.variables, rows, strict=True):
                if (key := id(variable)) in merged:  # two calls of optimizers, for sets of variables that overlap
                    other = merged[key][1]
                    peak = np.maximum(other[LARGEST], row[LARGEST])
                    row = other + row
                    row[LARGEST] = peak
                merged[key] = variable, row
            table.reset()
        self._collected = Heard(
            epoch=epoch,
            variables=[variable for variable, _ in merged.values()],
            sums=np.stack([row for _, row in merged.values()]) if merged else np.zeros((0, 0)),
            sparse=set(self._sparse),
            executions=self._executions,
            steps=steps,
            skipped=skipped,
            octaves=all(table.counts_exponents for table in self._tables),
            reason=self.reason,
        )
        self._executions = 0
        return self._collected

    def seconds(self) -> Seconds:
        """What recording cost on the host since this was last asked, and a plain fit would not have paid."""
        usual = float(np.median(self._plain_seconds)) if self._plain_seconds else None
        extra = None if usual is None else sum(max(0.0, seconds - usual) for seconds in self._sampled)
        compiled = self._compiled(usual or 0.0)
        found = Seconds(self._traced, compiled or 0.0, extra)
        self._traced, self._sampled = 0.0, []
        if compiled is not None:
            self._first_run = 0.0
        return found

    def _compiled(self, usual: float) -> float | None:
        """Seconds that compiling the recording function took beside the plain one's; None where that is not known yet.

        The first run of a function compiles it. Behind the plain one's first run, that of the recording one is a cost but for
        the step itself. Before it, it is also what any first step takes (the data begin, kernels are made ready), and would
        have been paid without us: what compiling takes is then known by the plain one, in proportion to their operations.
        """
        if not self._first_run:
            return 0.0
        if self._after_plain:
            return max(0.0, self._first_run - usual)
        if self._plain_first is None:
            return None  # every step is recorded so far: it stands in the other's place
        return min(self._first_run, self._growth * max(0.0, self._plain_first - usual))

    # For Keras.

    def __call__(self, *args: Any) -> Any:
        try:
            return self._run(*args)
        except BaseException:  # the end of the data, which the next epoch begins after, or of the fit
            self._uninstall()
            raise

    def _run(self, *args: Any) -> Any:
        announced, self._announced = self._announced, {}
        if not announced:
            self._uninstall()
            return self.plain(*args)
        if len(announced) < len(self._listeners):  # some are left over from an aborted fit
            self._listeners = {key: s for key, s in self._listeners.items() if key in announced}
        recording = self._ready(args) if any(announced.values()) and not self.reason else None
        began = clock()
        result = (recording or self.plain)(*args)
        seconds = clock() - began
        self.calls += 1
        if recording is None:
            if self._warm:  # the first call compiles it
                self._plain_seconds.append(seconds)
            else:
                self._plain_first = seconds
            self._warm = True
            return result
        if self._ran:
            self._sampled.append(seconds)
        else:
            self._first_run, self._ran, self._after_plain = seconds, True, self._warm
        self._executions += 1
        return result

    # The recording function.

    def _ready(self, args: tuple[Any, ...]) -> Callable[..., Any] | None:
        """The recording function, traced for these arguments; None where it may not be run: `reason` says why."""
        wanted, signature = frozenset(self._listeners.values()), getattr(args[0], "element_spec", None)
        recording = self._recording if wanted <= self._recorded_for else None  # each listener picks its own rows
        if recording is not None and signature == self._signature:
            return recording
        if type(self.model).make_train_function is not keras.Model.make_train_function:
            self.reason = OWN_FUNCTION
            return None
        in_graph = not backend_part("train_step").runs_eagerly(self.model)
        if in_graph and not self._trace_plain(args):
            return None
        began = clock()
        try:
            recording = recording or self._make(wanted)
            self._recording = self._trace_recording(recording, args) if in_graph else recording
            self._signature = signature
        except Exception as fault:
            self.reason, self._recording = self.reason or _described(fault), None
        self._traced += clock() - began
        return self._recording

    def _trace_plain(self, args: tuple[Any, ...]) -> bool:
        """Have the model's own function make what a first step makes, and note where its optimizers are called.

        What fails in the model's code fails in the same way without us, and is raised.

        Returns:
            Whether gradients can be recorded, as far as is known now.
        """
        train_step = backend_part("train_step")
        compiled = train_step.compiled(self.plain)
        if compiled is None:
            self.reason = UNTRACEABLE
            return False
        if get_backend().replicas(self.model) > 1:  # each replica of a step runs in a thread of its own
            train_step.trace(compiled, args)
            return True
        fresh = listening(self._traces, lambda: train_step.trace(compiled, args))
        if fresh and not len(self._traces) and not train_step.has_strategy(self.model):
            self.reason = UNHEARD
        return not self.reason

    def _make(self, wanted: frozenset[Selection]) -> Callable[..., Any]:
        """A train function that records, made as the model makes its own, and the sums that it adds to."""
        self._recorded_for, self._tables, self._sparse = wanted, [], set()
        # Made here, outside of the step: variables made while a function is traced have it traced once more, and
        # under a distribution strategy they would be silently wrong.
        if known := [v for v in self.model.trainable_variables if self._wanted(v)]:
            self._tables.append(get_backend().GradientSums(known, self.model))
        self._ran = False
        if self.tell is not None and len(known) >= LARGE:
            self.tell(f"keras_xai: compiling the recording step ({len(known)} variables) …")
        return backend_part("train_step").train_function(self.model, self._step)

    def _trace_recording(self, recording: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
        """Trace it, and run nothing: out of the plain function's graph, else out of the model's code."""
        train_step = backend_part("train_step")
        with python_state_kept(self.model):
            try:
                train_step.trace(train_step.compiled(recording), args)
            except train_step.NotRebuilt as fault:
                logger.debug("the train step's graph is not used: %s", fault)
                self._rebuilds = False
                recording = train_step.train_function(self.model, self._step)
                train_step.trace(train_step.compiled(recording), args)
        return recording

    def _step(self, data: Any) -> Any:
        """The train step of the recording function."""
        train_step, graph = backend_part("train_step"), get_backend().building()
        listener = functools.partial(self.hear, graph)
        if graph is None:
            return listening(listener, lambda: self.model.train_step(data))
        self._heard = 0
        traced = self._traces.find(data, graph) if self._rebuilds else None
        if traced is not None:
            _refuse_own_randomness(traced.graph)
            result = train_step.rebuild(traced, data, listener)
            self._growth = max(1.0, len(graph.get_operations()) / max(1, len(traced.graph.get_operations())))
        elif self._traces.deeper_than(graph):
            raise NotCaptured(SEALED)
        else:
            result = listening(listener, lambda: self.model.train_step(data))
            _refuse_own_randomness(graph)
        if not self._heard:
            raise NotCaptured(UNHEARD)
        return result

    # For the optimizers.

    def hear(
        self, graph: Any, optimizer: Any, gradients: list[Any], variables: Sequence[Any], update: Callable[[], T]
    ) -> T:
        """Record one call of an optimizer around making it; `graph` is the train step's, None where none is built."""
        add: Callable[[], None] | None = None
        with self._harmless():
            add = self._prepared(graph, optimizer, gradients, variables)
        result = update()
        with self._harmless():
            if add is not None:
                add()
        return result

    def _prepared(
        self, graph: Any, optimizer: Any, gradients: list[Any], variables: Sequence[Any]
    ) -> Callable[[], None] | None:
        backend = get_backend()
        if self.reason:
            return None
        if graph is not None and backend.sealed(graph):
            raise NotCaptured(SEALED)
        self._heard += 1
        wanted = [variable for variable in variables if self._wanted(variable)]
        if not wanted:
            return None
        table = self._table_for(wanted)
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None and self._wanted(variable)
        ]
        self._sparse |= {id(v) for g, v in pairs if hasattr(g, "indices")}
        heard, theirs = [g for g, _ in pairs], [v for _, v in pairs]
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        scale = _loss_scale(optimizer)
        applied = optimizer.check_finite(gradients) if scaled else True
        before, iterations = backend.weights(theirs), backend.present(optimizer.iterations)

        def add() -> None:
            # `iterations` counts updates: it stands still while gradients accumulate, and where the scale overflowed.
            updated = backend.present(optimizer.iterations) > iterations
            table.add(heard, theirs, before, scale=scale, applied=applied, updated=updated)

        return add

    def _wanted(self, variable: Any) -> bool:
        return recordable(variable) and any(path(variable) in selection for selection in self._recorded_for)

    def _table_for(self, variables: Sequence[Any]) -> Any:
        """The sums that hold all these variables."""
        keys = {id(variable) for variable in variables}
        for table in self._tables:
            if keys <= {id(variable) for variable in table.variables}:
                return table
        if get_backend().replicas(self.model) > 1:
            raise NotCaptured(
                "under a distribution strategy only variables in model.trainable_variables are recorded, and an"
                " optimizer was given others"
            )
        self._tables.append(get_backend().GradientSums(variables, self.model))
        return self._tables[-1]

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A fault of ours ends the recording, not the step: out of a trace, which is thrown away, or noted."""
        try:
            yield
        except Exception as fault:
            self.reason = self.reason or _described(fault)
            if get_backend().building() is not None:
                raise NotCaptured(self.reason) from fault


def path(variable: Any) -> str:
    """A variable's name for the user: Keras' path, or the framework's own name."""
    return str(getattr(variable, "path", None) or variable.name.partition(":")[0])


def recordable(variable: Any) -> bool:
    """Not where the "gradient" is a value to be stored (float8 scales), nor of complex numbers (no octaves)."""
    if getattr(variable, "overwrite_with_gradient", False):
        return False
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(variable.dtype)))


def _loss_scale(optimizer: Any) -> Any:
    """What the gradients are multiplied with, None where they are not. As `scale_loss` has it, which runs before."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return get_backend().present(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
    return optimizer.loss_scale_factor


def _described(fault: Exception) -> str:
    if isinstance(fault, NotCaptured):
        return str(fault)
    first = (str(fault).strip().splitlines() or [""])[0]
    return f"the train step could not be built a second time: {type(fault).__name__}: {first}"


def _refuse_own_randomness(graph: Any) -> None:
    """Refuse a graph that would draw other numbers than the plain one does."""
    if drawn := get_backend().own_randomness(graph):
        raise NotCaptured(
            f"the model draws random numbers with {', '.join(drawn)}, whose state belongs to one compiled function:"
            f" a second one would draw others and change the training. Use keras.random with a SeedGenerator, or"
            f" the stateless functions of the framework"
        )
