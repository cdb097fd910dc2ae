"""Records the gradients of a compiled train step: TensorFlow's `backend.recorder.GradientRecorder`.

The model's own train function is traced first, which creates all variables that a first step creates. The recording function
is built from its graph, with sums of the gradients added (`train_step.rebuild`). Where that graph cannot be used (it was
traced before there was a recorder, on several replicas, inside a branch) the model's code is traced once more. Tracing runs
no step, so that a function which turns out not to be usable has changed nothing.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_xai.backend.apply_hook import loss_scale, update_counter, with_apply_hook
from keras_xai.backend.apply_recorder import AddCall, ApplyRecorder, RecordedPairs, Sums
from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.recorder import GradientRecorder, NotCaptured, StepTaken, TrainFunction
from keras_xai.backend.tensorflow.devices import num_replicas
from keras_xai.backend.tensorflow.gradient_sums import GradientSums, read_value, read_values
from keras_xai.backend.tensorflow.graphs import current_graph, in_nested_function, stateful_random_operations
from keras_xai.backend.tensorflow.program import Compiled
from keras_xai.backend.tensorflow.row_log import RowLog
from keras_xai.backend.tensorflow.step_batch import StepBatch
from keras_xai.backend.tensorflow.train_step import (
    NotRebuilt,
    StepTraces,
    compiled_part,
    has_strategy,
    part_for_a_batch,
    rebuild,
    runs_eagerly,
    trace,
    train_function,
)

T = TypeVar("T")
Part = Callable[[TrainFunction], Any]  # of a train function, one that is compiled
ITERATORS = tf.data.Iterator, tf.distribute.DistributedIterator
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
DISTRIBUTED = "the model is trained under a distribution strategy"
OWN_TRAIN_FUNCTION = "the model has a make_train_function of its own, of which it cannot be known what else it does"
NOT_TRACEABLE = "this version of Keras makes a train function that cannot be traced by itself"


class StepRecorder(ApplyRecorder):
    """Builds and keeps the recording function of a model.

    Args:
        model: a model that has its train function.
        plain: the model's own train function.
        announce: called with the number of variables before a recording function is compiled, which takes long.
    """

    failure = "the train step could not be built a second time"
    names_rows = True

    def __init__(self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> None:
        super().__init__(model, plain, announce)
        self._signature: Any = None  # of the data that the recording function is traced for
        self._traces = StepTraces()
        self._batch = StepBatch()  # of the step that is kept
        self._keeping_function: Any = None  # the recording function that keeps it
        self._uses_graph = True  # the graph of the model's own step is used, where there is one
        self._row_log: RowLog | None = None  # of the rows of each step that is recorded

    def log_rows(self, log: RowLog | None, traces_of: StepRecorder | None = None) -> None:
        """Log the rows of each step from the next recording function on.

        Args:
            log: to which they are added; None to end that.
            traces_of: another recorder of the same train function, whose traces of it are used.
        """
        self._row_log = log
        self._recording = None
        if traces_of is not None:
            self._traces = traces_of._traces

    # The recording function.

    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records, traced for these arguments; see `GradientRecorder`."""
        if type(self._model).make_train_function is not keras.Model.make_train_function:
            self.reason = OWN_TRAIN_FUNCTION
            return None
        (iterator,) = arguments
        recording: TrainFunction | None = self._run_on_arrays
        if runs_eagerly(self._model) or isinstance(iterator, ITERATORS):
            recording = self._built_for(getattr(iterator, "element_spec", None), arguments, compiled_part)
        if recording is None or not self._keeps_steps:
            return recording
        if self._keeping_function is None or self._keeping_function.args != (recording,):
            self._keeping_function = functools.partial(self._run_keeping, recording)
        function: TrainFunction = self._keeping_function
        return function

    def _run_keeping(self, recording: TrainFunction, iterator: Iterator[Any]) -> Any:
        """Run a step, and keep its batch and the values around it."""
        model, batch, self._step = self._model, self._batch, None
        if has_strategy(model):
            self.step_obstacle = DISTRIBUTED
            return recording(iterator)
        batch.value = None
        before, others = _values(model.trainable_variables), _values(model.non_trainable_variables)
        result = batch.take_out_of(recording(iterator))
        self.step_obstacle = batch.obstacle
        after = _values(model.trainable_variables)
        if len(before) == len(after) and batch.value is not None:  # the first step builds some models
            self._step = StepTaken(before, after, others, _values(model.metrics_variables), batch.value)
        batch.value = None
        return result

    def step_program(self, function: Callable[..., Any]) -> Compiled:
        """Make a program of a function that runs the model on given values of its variables."""
        return Compiled(function, self._model)

    def _run_on_arrays(self, iterator: Iterator[Any]) -> Any:
        """Run a step on a batch of arrays, as `train_on_batch` does: what is traced for it is known once the batch is."""
        batch = next(iterator)
        recording = None
        if not self.reason:
            tensors = [(array.dtype, tuple(array.shape)) for array in tf.nest.flatten(batch) if hasattr(array, "dtype")]
            signature = type(batch), tuple(tensors)
            recording = self._built_for(signature, [batch], part_for_a_batch)
        return (recording or self._plain)(itertools.chain([batch], iterator))

    def _built_for(self, signature: Any, arguments: Sequence[Any], part: Part) -> TrainFunction | None:
        """Return the recording function, traced for these arguments of a part of it; None where `reason` says why.

        Args:
            signature: of the data.
            arguments: of the part.
            part: returns the `tf.function` that is traced, of a train function.
        """
        if self._recording is not None and signature == self._signature:
            return self._recording
        has_graph = not runs_eagerly(self._model)
        if has_graph and not self._trace_plain(arguments, part):
            return None
        start = clock()
        try:
            recording = self._recording or self._make()
            self._recording = self._trace_recording(recording, arguments, part) if has_graph else recording
            self._signature = signature
        except Exception as fault:
            self._recording = None
            self._note(fault)
        self.seconds_built += clock() - start
        return self._recording

    def _trace_plain(self, arguments: Sequence[Any], part: Part) -> bool:
        """Trace the model's own function, which creates its variables, and note where its optimizers are called.

        An exception of the model's code is raised: it would be without recording, too.

        Returns:
            False where the trace shows that gradients cannot be recorded; `reason` says why.
        """
        function = part(self._plain)
        if function is None:
            self.reason = NOT_TRACEABLE
            return False
        if num_replicas(self._model) > 1:  # each replica of a step runs in a thread of its own
            trace(function, arguments)
            return True
        is_new_trace = with_apply_hook(self._traces, lambda: self._noting_rows(lambda: trace(function, arguments)))
        if is_new_trace and not len(self._traces) and not has_strategy(self._model):
            self.reason = NO_APPLY
        return not self.reason

    def _noting_rows(self, run: Callable[[], T]) -> T:
        return run() if self._row_log is None else self._row_log.noting(run)

    def _hearing_rows(self, run: Callable[[], T]) -> T:
        return run() if self._row_log is None else self._row_log.hearing(run)

    def _make(self) -> TrainFunction:
        """Make a train function that records, as Keras makes the model's own, and the sums to which it adds."""
        # The sums are variables, made here and not in the step: a function that makes variables is traced twice, and under a
        # distribution strategy they would be silently wrong.
        self._start_tables()
        return train_function(self._model, self._recording_step)

    def _trace_recording(self, recording: TrainFunction, arguments: Sequence[Any], part: Part) -> TrainFunction:
        """Trace the recording function without running it: from the plain function's graph, else from the model's code."""
        with python_state_kept(self._model):
            try:
                trace(part(recording), arguments)
            except NotRebuilt as fault:
                logger.debug("the train step's graph is not used: %s", fault)
                self._uses_graph = False
                recording = train_function(self._model, self._recording_step)
                trace(part(recording), arguments)
        return recording

    def _recording_step(self, data: Any) -> Any:
        """The train step of the recording function; called while it is traced, or at each step that runs eagerly."""
        graph = current_graph()
        result = self._recorded_result(data, graph)
        if not self._keeps_steps or has_strategy(self._model):
            return result
        return self._batch.put_into(result, data, in_graph=graph is not None)

    def _recorded_result(self, data: Any, graph: tf.Graph | None) -> Any:
        """Return the result of a step whose optimizer calls are recorded."""
        hook = functools.partial(self._record_in_graph, graph)
        if graph is None:
            return with_apply_hook(hook, lambda: self._hearing_rows(lambda: self._model.train_step(data)))
        self._apply_calls = 0
        plain_step = self._traces.find(data, graph) if self._uses_graph else None
        log = self._row_log
        if plain_step is not None and log is not None and not log.has_noted(plain_step.graph):
            plain_step = None  # it was traced before there was a log
        if plain_step is not None:
            _refuse_stateful_randomness(plain_step.graph)
            also = None if log is None else functools.partial(log.add_noted, plain_step.graph)
            result = rebuild(plain_step, data, hook, also)
            operations = len(plain_step.graph.get_operations())
            self.relative_size = max(1.0, len(graph.get_operations()) / max(1, operations))
        elif self._traces.deeper_than(graph):
            raise NotCaptured(IN_NESTED_FUNCTION)
        else:
            result = with_apply_hook(hook, lambda: self._hearing_rows(lambda: self._model.train_step(data)))
            _refuse_stateful_randomness(graph)
        if not self._apply_calls:
            raise NotCaptured(NO_APPLY)
        return result

    # The optimizers' calls.

    def _new_sums(self, variables: Sequence[Variable]) -> GradientSums:
        if self._tables and num_replicas(self._model) > 1:
            raise NotCaptured(
                "under a distribution strategy only variables in model.trainable_variables are recorded, and an"
                " optimizer was given others"
            )
        return GradientSums(variables, self._model)

    def _is_sparse(self, gradient: tf.Tensor | tf.IndexedSlices) -> bool:
        return isinstance(gradient, tf.IndexedSlices)

    def _is_traced(self) -> bool:
        return current_graph() is not None

    def _record_in_graph(
        self,
        graph: tf.Graph | None,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make one call of an optimizer and record it: an `ApplyHook`, but for `graph`, the train step's; None if eager."""
        with self._faults_noted():
            if not self.reason and graph is not None and in_nested_function(graph):
                raise NotCaptured(IN_NESTED_FUNCTION)
        return self._record_apply(optimizer, gradients, variables, update)

    def _read_before(self, sums: Sums, pairs: RecordedPairs, optimizer: keras.optimizers.Optimizer) -> AddCall:
        assert isinstance(sums, GradientSums)
        weights = read_values(pairs.variables)
        scale = loss_scale(optimizer, read_value)
        scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        is_applied = optimizer.check_finite(pairs.all_gradients) if scales_loss else True
        iterations = read_value(update_counter(optimizer))

        def add_call() -> None:
            # The counter stands still while gradients accumulate, and where the scale overflowed.
            changed = read_value(update_counter(optimizer)) > iterations
            sums.add(pairs.gradients, pairs.variables, weights, scale=scale, applied=is_applied, updated=changed)

        return add_call


def gradient_recorder(model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> GradientRecorder:
    """Return a recorder of the gradients that train `model`; see `protocol.Backend`."""
    return StepRecorder(model, plain, announce)


def _values(variables: Sequence[Variable]) -> list[tf.Tensor]:
    return [read_value(variable) for variable in variables]


def _refuse_stateful_randomness(graph: tf.Graph) -> None:
    """Raise `NotCaptured` for a graph that would draw other random numbers than the plain one does."""
    operations = stateful_random_operations(graph)
    if operations:
        raise NotCaptured(
            f"the model draws random numbers with {', '.join(operations)}, whose state belongs to one compiled function:"
            f" a second one would draw others and change the training. Use keras.random with a SeedGenerator, or"
            f" the stateless functions of the framework"
        )
