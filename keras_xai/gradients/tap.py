"""The gradients that a running `fit` hands to its optimizers, heard in the compiled train step.

A model gets a second train function, traced while the optimizers' `apply` is listened to. A `Tap` stands in for
`model.train_function` and chooses between the two on the host: the second one for sampled steps, the user's own for all
others, which therefore cost nothing. Nothing is left in the model or its optimizers, because `apply` is only replaced
while the train step's own Python code runs: during the trace, or, in eager mode, during the step.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import COLUMNS, chosen
from keras_xai.gradients.selection import Selection

T = TypeVar("T")
CALLS, SKIPPED, LARGEST = (COLUMNS.index(name) for name in ("calls", "skipped", "largest"))

# The classes with an `apply` of their own. Optimizers of users come down from the first.
OPTIMIZERS = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)


class NotCaptured(Exception):
    """Leaves the trace of a function that must not be run. Says why, in words for the user."""


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


class Tap:
    """Stands in for the train function of `model` during a fit; one for all callbacks that listen.

    Each listener announces a coming call of the train function (`on_train_batch_begin`) and says whether it wants it
    recorded. A call that nobody announced is not part of their fit: an aborted one left the tap behind. It then takes
    itself away.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.plain: Callable[..., Any] = model.train_function
        self.reason = ""
        self._listeners: dict[Hashable, Selection] = {}
        self._announced: dict[Hashable, bool] = {}
        self._recording: Callable[..., Any] | None = None
        self._recorded_for: frozenset[Selection] = frozenset()
        self._tables: list[Any] = []
        self._sparse: set[int] = set()
        self._calls = 0  # of apply, in the Python code of recorded steps
        self._traces = 0
        self._trace_failed = self._ran_eagerly = False  # in the present call
        self.calls = 0  # of the train function, in fits that are listened to: the last one of an epoch may find no data
        self._executions = 0
        self._sampled: list[float] = []
        self._traced = 0.0
        self._warm = False
        self._plain_seconds: deque[float] = deque(maxlen=101)
        self._collected: Heard | None = None

    @classmethod
    def of(cls, model: keras.Model, known: Tap | None = None) -> Tap:
        """The tap of a model whose train function is made: the one installed, the one known from an earlier fit (its
        function need not be traced again), or a new one."""
        if isinstance(model.train_function, Tap):
            return model.train_function
        if known is not None and known.model is model and known.plain is model.train_function:
            return known
        return cls(model)

    # For the callbacks.

    def join(self, listener: Hashable, selection: Selection) -> None:
        """Take part in the fit that begins. Sums start from zero."""
        self._listeners[listener] = selection
        self._announced.clear()
        for table in self._tables:
            table.reset()
        self._collected, self._executions, self._sampled, self._traced = None, 0, [], 0.0
        self.install()

    def install(self) -> None:
        """Stand in for the train function, also for one that was made anew in the middle of a fit."""
        now = self.model.train_function
        if now is self or now is None:
            return
        if now is not self.plain:
            self.plain, self._recording, self.reason = now, None, ""
            self._warm = False
            self._plain_seconds.clear()
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

    def seconds(self) -> tuple[float, float | None]:
        """What recording cost on the host since this was last asked: tracing, and what sampled executions took longer
        than the median of the plain ones (None where there was none to compare with)."""
        usual = float(np.median(self._plain_seconds)) if self._plain_seconds else None
        extra = None if usual is None else sum(max(0.0, seconds - usual) for seconds in self._sampled)
        traced, self._traced, self._sampled = self._traced, 0.0, []
        return traced, extra

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
        if any(announced.values()) and not self.reason:
            result = self._record(*args)
            self.calls += 1
            return result
        began = time.perf_counter()
        result = self.plain(*args)
        self.calls += 1
        if self._warm:  # the first call may have traced it
            self._plain_seconds.append(time.perf_counter() - began)
        self._warm = True
        return result

    def _record(self, *args: Any) -> Any:
        """Run the recording function; where it cannot be built, the plain one, of which nothing has run then."""
        began, traces = time.perf_counter(), self._traces
        self._trace_failed = self._ran_eagerly = False
        try:
            result = self._function()(*args)
        except Exception as error:
            if not self._trace_failed and (self._ran_eagerly or chosen().ran(error)):
                raise
            self.reason = self.reason or _described(error)
            self._traced += time.perf_counter() - began
            return self.plain(*args)
        took = time.perf_counter() - began
        if self._traces == traces:
            self._sampled.append(took)
        else:
            self._traced += took
        self._executions += 1
        return result

    def _function(self) -> Callable[..., Any]:
        wanted = frozenset(self._listeners.values())
        if self._recording is None or not wanted <= self._recorded_for:  # each listener picks its own rows
            self._recorded_for = wanted
            self._tables, self._sparse, self._calls = [], set(), 0
            # Made here, outside of the step: variables made while a function is traced have it traced once more, and
            # under a distribution strategy they would be silently wrong.
            if known := [v for v in self.model.trainable_variables if self._wanted(v)]:
                self._tables.append(chosen().GradientSums(known, self.model))
            self._recording = self._make()
        return self._recording

    def _make(self) -> Callable[..., Any]:
        """A train function around a train step that is listened to, made as the model makes its own."""
        model = self.model
        if type(model).make_train_function is not keras.Model.make_train_function:
            raise NotCaptured(
                "the model has a make_train_function of its own, of which it cannot be known what else it does"
            )
        attributes, step, now = vars(model), model.train_step, model.train_function
        own = {"train_step": attributes["train_step"]} if "train_step" in attributes else {}
        # Past the model's __setattr__: nothing may be tracked, and nothing remain.
        attributes["train_step"] = self._listening(step)
        try:
            model.train_function = None
            model.make_train_function()
            made: Callable[..., Any] = model.train_function
        finally:
            del attributes["train_step"]
            attributes.update(own)
            model.train_function = now
        return made

    def _listening(self, step: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(step)
        def train_step(*args: Any, **kwargs: Any) -> T:
            graph = chosen().building()
            self._ran_eagerly |= graph is None
            try:
                with _hearing(self, graph):
                    result = step(*args, **kwargs)
                if graph is not None:
                    self._inspect(graph)
            except Exception:
                self._trace_failed = graph is not None
                raise
            self._traces += graph is not None
            return result

        return train_step

    def _inspect(self, graph: Any) -> None:
        """Refuse a graph that would not train the model as the plain one does, before it runs."""
        if not self._calls:
            raise NotCaptured(
                "the train step calls no optimizer's apply() that can be heard: it updates the weights by itself, or in"
                " a tf.function of its own that was compiled before"
            )
        if drawn := chosen().own_randomness(graph):
            raise NotCaptured(
                f"the model draws random numbers with {', '.join(drawn)}, whose state belongs to one compiled function:"
                f" a second one would draw others and change the training. Use keras.random with a SeedGenerator, or"
                f" the stateless functions of the framework"
            )

    # For the optimizers.

    def hear(self, optimizer: Any, gradients: list[Any], variables: Sequence[Any], update: Callable[[], T]) -> T:
        """Record one call of an optimizer around making it."""
        add: Callable[[], None] | None = None
        with self._harmless():
            add = self._prepared(optimizer, gradients, variables)
        result = update()
        with self._harmless():
            if add is not None:
                add()
        return result

    def _prepared(self, optimizer: Any, gradients: list[Any], variables: Sequence[Any]) -> Callable[[], None] | None:
        backend = chosen()
        if self.reason:
            return None
        if (graph := _here.graph) is not None and backend.sealed(graph):
            raise NotCaptured(
                "the optimizer is called inside a tf.function of the train step's own, which would keep our operations:"
                " Keras compiles the train step already, so take the decorator off"
            )
        self._calls += 1
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
        if chosen().replicas(self.model) > 1:
            raise NotCaptured(
                "under a distribution strategy only variables in model.trainable_variables are recorded, and an"
                " optimizer was given others"
            )
        self._tables.append(chosen().GradientSums(variables, self.model))
        return self._tables[-1]

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A fault of ours ends the recording, not the step: out of a trace, which is thrown away, or noted."""
        try:
            yield
        except Exception as fault:
            self.reason = self.reason or _described(fault)
            if chosen().building() is not None:
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
        return chosen().present(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
    return optimizer.loss_scale_factor


def _described(fault: Exception) -> str:
    if isinstance(fault, NotCaptured):
        return str(fault)
    first = (str(fault).strip().splitlines() or [""])[0]
    return f"the train step could not be built a second time: {type(fault).__name__}: {first}"


# Listening to `apply`. The tap that listens is known by thread, and each replica of a step runs in one of its own: so
# another model's fit is never heard, and neither is an optimizer that another one holds inside.

_here = threading.local()
_lock = threading.Lock()
_listening = 0
_originals: dict[type, Any] = {}


@contextlib.contextmanager
def _hearing(tap: Tap, graph: Any) -> Iterator[None]:
    before = getattr(_here, "tap", None), getattr(_here, "graph", None)
    _replace()
    _here.tap, _here.graph = tap, graph
    try:
        yield
    finally:
        _here.tap, _here.graph = before
        _restore()


def _replace() -> None:
    global _listening
    with _lock:
        _listening += 1
        if _listening == 1:
            for cls in OPTIMIZERS:
                _originals[cls] = vars(cls).get("apply")  # None where it is inherited
                cls.apply = _heard(cls.apply)


def _restore() -> None:
    global _listening
    with _lock:
        _listening -= 1
        if _listening == 0:
            for cls in OPTIMIZERS:
                if (original := _originals.pop(cls)) is None:
                    del cls.apply
                else:
                    cls.apply = original


def _heard(original: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(original)
    def apply(self: Any, grads: Any, trainable_variables: Any = None, *args: Any, **kwargs: Any) -> T:
        tap = getattr(_here, "tap", None)
        if tap is None:
            return original(self, grads, trainable_variables, *args, **kwargs)
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        _here.tap = None
        try:
            return tap.hear(self, grads, variables, lambda: original(self, grads, trainable_variables, *args, **kwargs))
        finally:
            _here.tap = tap

    return apply
