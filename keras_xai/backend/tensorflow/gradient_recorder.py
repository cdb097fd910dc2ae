"""Records the gradients of a compiled train step: TensorFlow's `backend.recorder.GradientRecorder`.

The model's own train function is traced first, which creates all variables that a first step creates. The recording function
is built from its graph, with sums of the gradients added (`train_step.rebuild`). Where that graph cannot be used (it was
traced before there was a recorder, on several replicas, inside a branch) the model's code is traced once more. Tracing runs
no step, so that a function which turns out not to be usable has changed nothing.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import keras
import tensorflow as tf

from keras_xai.backend.apply_hook import loss_scale, update_counter, with_apply_hook
from keras_xai.backend.gradient_table import GradientTable, Variable, merge_sums
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.recorder import GradientRecorder, NotCaptured, TrainFunction
from keras_xai.backend.tensorflow.devices import num_replicas
from keras_xai.backend.tensorflow.gradient_sums import GradientSums, read_value, read_values
from keras_xai.backend.tensorflow.graphs import current_graph, in_nested_function, stateful_random_operations
from keras_xai.backend.tensorflow.train_step import (
    NotRebuilt,
    StepTraces,
    compiled_part,
    has_strategy,
    rebuild,
    runs_eagerly,
    trace,
    train_function,
)

T = TypeVar("T")
logger = logging.getLogger("keras_xai")
clock = time.perf_counter

IN_NESTED_FUNCTION = (
    "the optimizer is called inside a tf.function of the train step's own, which would keep our operations: Keras compiles"
    " the train step already, so take the decorator off"
)
NO_APPLY = (
    "the train step calls no optimizer's apply() that can be heard: it updates the weights by itself, or in a tf.function"
    " of its own that was compiled before"
)
OWN_TRAIN_FUNCTION = "the model has a make_train_function of its own, of which it cannot be known what else it does"
NOT_TRACEABLE = "this version of Keras makes a train function that cannot be traced by itself"


class ApplyCall(NamedTuple):
    """The arguments and state of one call of an optimizer's `apply`, read before the call, for the variables recorded."""

    sums: GradientSums
    gradients: list[tf.Tensor | tf.IndexedSlices]
    variables: list[Variable]
    weights: list[tf.Tensor]  # the variables' values before the call
    scale: tf.Tensor | float | None  # factor of loss scaling in the gradients
    is_applied: tf.Tensor | bool  # False where loss scaling overflowed
    iterations: tf.Tensor  # the optimizer's count of updates before the call

    def add(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Add the call to the sums; to be run after it."""
        # The counter stands still while gradients accumulate, and where the scale overflowed.
        changed = read_value(update_counter(optimizer)) > self.iterations
        self.sums.add(
            self.gradients,
            self.variables,
            self.weights,
            scale=self.scale,
            applied=self.is_applied,
            updated=changed,
        )


class StepRecorder:
    """Builds and keeps the recording function of a model.

    Args:
        model: a model that has its train function.
        plain: the model's own train function.
        announce: called with the number of variables before a recording function is compiled, which takes long.
    """

    def __init__(self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> None:
        self.reason = ""
        self.seconds_built = 0.0
        self.relative_size = 1.0
        self._model = model
        self._plain = plain
        self._announce = announce
        self._is_selected: Callable[[Variable], bool] = lambda variable: False
        self._recording: TrainFunction | None = None
        self._signature: Any = None  # of the data that the recording function is traced for
        self._traces = StepTraces()
        self._uses_graph = True  # the graph of the model's own step is used, where there is one
        self._apply_calls = 0  # while the recording function was traced
        self._tables: list[GradientSums] = []
        self._sparse: set[int] = set()

    def select(self, is_selected: Callable[[Variable], bool]) -> None:
        """Record these variables from the next recording function on; the sums so far are lost."""
        self._is_selected = is_selected
        self._recording = None

    def read(self) -> GradientTable:
        """Return the sums of all calls of recording functions since the last `reset`."""
        tables = [(table.variables, table.read()) for table in self._tables]
        has_octaves = all(table.counts_exponents for table in self._tables)
        return merge_sums(tables, frozenset(self._sparse), has_octaves)

    def reset(self) -> None:
        """Start again from zero."""
        for table in self._tables:
            table.reset()

    # The recording function.

    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records, traced for these arguments; see `GradientRecorder`."""
        signature = getattr(arguments[0], "element_spec", None)
        if self._recording is not None and signature == self._signature:
            return self._recording
        if type(self._model).make_train_function is not keras.Model.make_train_function:
            self.reason = OWN_TRAIN_FUNCTION
            return None
        has_graph = not runs_eagerly(self._model)
        if has_graph and not self._trace_plain(arguments):
            return None
        start = clock()
        try:
            recording = self._recording or self._make()
            self._recording = self._trace_recording(recording, arguments) if has_graph else recording
            self._signature = signature
        except Exception as fault:
            self._recording = None
            self._note(fault)
        self.seconds_built += clock() - start
        return self._recording

    def _trace_plain(self, arguments: Sequence[Any]) -> bool:
        """Trace the model's own function, which creates its variables, and note where its optimizers are called.

        An exception of the model's code is raised: it would be without recording, too.

        Returns:
            False where the trace shows that gradients cannot be recorded; `reason` says why.
        """
        function = compiled_part(self._plain)
        if function is None:
            self.reason = NOT_TRACEABLE
            return False
        if num_replicas(self._model) > 1:  # each replica of a step runs in a thread of its own
            trace(function, arguments)
            return True
        is_new_trace = with_apply_hook(self._traces, lambda: trace(function, arguments))
        if is_new_trace and not len(self._traces) and not has_strategy(self._model):
            self.reason = NO_APPLY
        return not self.reason

    def _make(self) -> TrainFunction:
        """Make a train function that records, as Keras makes the model's own, and the sums to which it adds."""
        self._tables, self._sparse = [], set()
        # The sums are variables, made here and not in the step: a function that makes variables is traced twice, and under a
        # distribution strategy they would be silently wrong.
        variables = [variable for variable in self._model.trainable_variables if self._is_selected(variable)]
        if variables:
            self._tables.append(GradientSums(variables, self._model))
        self._announce(len(variables))
        return train_function(self._model, self._recording_step)

    def _trace_recording(self, recording: TrainFunction, arguments: Sequence[Any]) -> TrainFunction:
        """Trace the recording function without running it: from the plain function's graph, else from the model's code."""
        with python_state_kept(self._model):
            try:
                trace(compiled_part(recording), arguments)
            except NotRebuilt as fault:
                logger.debug("the train step's graph is not used: %s", fault)
                self._uses_graph = False
                recording = train_function(self._model, self._recording_step)
                trace(compiled_part(recording), arguments)
        return recording

    def _recording_step(self, data: Any) -> Any:
        """The train step of the recording function; called while it is traced, or at each step that runs eagerly."""
        graph = current_graph()
        hook = functools.partial(self._record_apply, graph)
        if graph is None:
            return with_apply_hook(hook, lambda: self._model.train_step(data))
        self._apply_calls = 0
        plain_step = self._traces.find(data, graph) if self._uses_graph else None
        if plain_step is not None:
            _refuse_stateful_randomness(plain_step.graph)
            result = rebuild(plain_step, data, hook)
            operations = len(plain_step.graph.get_operations())
            self.relative_size = max(1.0, len(graph.get_operations()) / max(1, operations))
        elif self._traces.deeper_than(graph):
            raise NotCaptured(IN_NESTED_FUNCTION)
        else:
            result = with_apply_hook(hook, lambda: self._model.train_step(data))
            _refuse_stateful_randomness(graph)
        if not self._apply_calls:
            raise NotCaptured(NO_APPLY)
        return result

    # The optimizers' calls.

    def _record_apply(
        self,
        graph: tf.Graph | None,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make one call of an optimizer and record it: an `ApplyHook`, but for `graph`, the train step's; None if eager."""
        call: ApplyCall | None = None
        with self._faults_noted():
            call = self._read_before(graph, optimizer, gradients, variables)
        result = update()
        with self._faults_noted():
            if call is not None:
                call.add(optimizer)
        return result

    def _read_before(
        self,
        graph: tf.Graph | None,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
    ) -> ApplyCall | None:
        """Read the state before a call; None where no variable of it is recorded."""
        if self.reason:
            return None
        if graph is not None and in_nested_function(graph):
            raise NotCaptured(IN_NESTED_FUNCTION)
        self._apply_calls += 1
        selected = [variable for variable in variables if self._is_selected(variable)]
        if not selected:
            return None
        sums = self._sums_of(selected)
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None and self._is_selected(variable)
        ]
        self._sparse |= {id(variable) for gradient, variable in pairs if isinstance(gradient, tf.IndexedSlices)}
        scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        with_gradient = [variable for _, variable in pairs]
        return ApplyCall(
            sums,
            [gradient for gradient, _ in pairs],
            with_gradient,
            read_values(with_gradient),
            scale=loss_scale(optimizer, read_value),
            is_applied=optimizer.check_finite(gradients) if scales_loss else True,
            iterations=read_value(update_counter(optimizer)),
        )

    def _sums_of(self, variables: Sequence[Variable]) -> GradientSums:
        """Return a table of sums that has a row for all these variables; a new one where there is none."""
        keys = {id(variable) for variable in variables}
        for table in self._tables:
            if keys <= {id(variable) for variable in table.variables}:
                return table
        if num_replicas(self._model) > 1:
            raise NotCaptured(
                "under a distribution strategy only variables in model.trainable_variables are recorded, and an"
                " optimizer was given others"
            )
        self._tables.append(GradientSums(variables, self._model))
        return self._tables[-1]

    @contextlib.contextmanager
    def _faults_noted(self) -> Iterator[None]:
        """Make an exception inside the reason that ends the recording: a trace is given up, an eager step goes on."""
        try:
            yield
        except Exception as fault:
            self._note(fault)
            if current_graph() is not None:
                raise NotCaptured(self.reason) from fault

    def _note(self, fault: Exception) -> None:
        """Set `reason` by the first exception."""
        if self.reason:
            return
        if isinstance(fault, NotCaptured):
            self.reason = str(fault)
            return
        first_line = (str(fault).strip().splitlines() or [""])[0]
        self.reason = f"the train step could not be built a second time: {type(fault).__name__}: {first_line}"


def gradient_recorder(model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> GradientRecorder:
    """Return a recorder of the gradients that train `model`; see `protocol.Backend`."""
    return StepRecorder(model, plain, announce)


def _refuse_stateful_randomness(graph: tf.Graph) -> None:
    """Raise `NotCaptured` for a graph that would draw other random numbers than the plain one does."""
    operations = stateful_random_operations(graph)
    if operations:
        raise NotCaptured(
            f"the model draws random numbers with {', '.join(operations)}, whose state belongs to one compiled function:"
            f" a second one would draw others and change the training. Use keras.random with a SeedGenerator, or"
            f" the stateless functions of the framework"
        )
