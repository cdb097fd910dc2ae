"""Records the gradients of a train step: JAX's `backend.recorder.GradientRecorder`.

A compiled step is left alone. If it had sums of the gradients among its results, XLA would fuse its operations in another way,
and the weights would differ in their last bits. So the gradients are computed again: before each recorded step a second
program gets the same state and the same batch, and returns the sums alone. The state that it computes is not returned, so
that XLA leaves out what only that needs.

A step that runs eagerly is the model's own train function, called while the optimizers are hooked: nothing is computed twice.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import keras
import numpy as np

from keras_xai.backend.apply_hook import loss_scale, update_counter, with_apply_hook
from keras_xai.backend.apply_recorder import AddCall, ApplyRecorder, RecordedPairs, Sums
from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.jax.gradient_sums import GradientSums, StepSums, read_value
from keras_xai.backend.jax.program import Compiled
from keras_xai.backend.jax.step_effects import step_effects
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.recorder import GradientRecorder, NotCaptured, StepTaken, TrainFunction

clock = time.perf_counter

IN_JIT = (
    "the optimizer is called inside a jitted function, a loop or a branch of the train step's own, out of which no gradient can"
    " be taken: Keras compiles the train step already"
)
NO_APPLY = (
    "the train step calls no optimizer's apply() or stateless_apply() that can be heard: it updates the weights by itself, or in"
    " a jitted function of its own that was traced before"
)
OWN_TRAIN_FUNCTION = "the model has a make_train_function of its own, of which it cannot be known what else it does"
DISTRIBUTED = "the model is trained on several devices"
WITH_NNX = "Keras runs with Flax NNX, whose train step is not a function of its arguments alone"


class StepRecorder(ApplyRecorder):
    """Runs a model's train function, and records the gradients that its optimizers get.

    Args:
        model: a model that has its train function.
        plain: the model's own train function, which takes the state and an iterator of batches.
        announce: called with the number of variables before a recording function is compiled, which takes long.
    """

    failure = "the train step could not be traced a second time"

    def __init__(self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> None:
        super().__init__(model, plain, announce)
        self.repeats_steps = not runs_eagerly(model)
        # A jitted function of the state and a batch, which returns what a step adds to each table.
        self._program: Any = None
        self._signatures: set[Any] = set()  # of the batches that it was compiled for
        self._is_tracing = False
        self._trace_state: Any = None  # which trace the step is of

    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records; see `GradientRecorder`. It is compiled when it has its first batch."""
        if self._recording is None:
            self.reason = self._refusal()
            if not self.reason:
                self._start_tables()
                self._program, self._signatures = None, set()
                run = self._run_eagerly if runs_eagerly(self._model) else self._run_compiled
                self._recording = functools.partial(self._run_keeping, run) if self._keeps_steps else run
        return None if self.reason else self._recording

    def _refusal(self) -> str:
        """Return the reason why gradients cannot be recorded, "" where they can."""
        if type(self._model).make_train_function is not keras.Model.make_train_function:
            return OWN_TRAIN_FUNCTION
        return WITH_NNX if keras.config.is_nnx_enabled() else ""

    # Steps that are kept.

    def _run_keeping(self, run: TrainFunction, state: Any, iterator: Iterator[Any]) -> Any:
        """Run a step, and keep its batch and the values around it: the step gives its own state away."""
        self._step = None
        if keras.distribution.distribution() is not None:
            self.step_obstacle = DISTRIBUTED
            return run(state, iterator)
        batch = next(iterator)
        before, others = jax.tree.map(jnp.copy, (list(state[0]), list(state[1])))
        logs, state = run(state, iter([batch]))
        self._step = StepTaken(before, list(state[0]), others, list(state[3]), batch)  # taken before the next step
        return logs, state

    def step_program(self, function: Callable[..., Any]) -> Compiled:
        """Make a program of a function that gives all variables their values: inside a fit they have none."""
        return Compiled(function, self._model, variables=())

    # Steps that run eagerly.

    def _run_eagerly(self, state: Any, iterator: Iterator[Any]) -> Any:
        self._trace_state = jex.get_opaque_trace_state()
        result = with_apply_hook(self._record_apply, lambda: self._plain(state, iterator))
        with self._faults_noted():
            self._absorb([table.take() for table in self._sums_tables()])
        return result

    def _record_eager_call(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], Any],
    ) -> Any:
        self._trace_state = jex.get_opaque_trace_state()
        result = self._record_apply(optimizer, gradients, variables, update)
        with self._faults_noted():
            self._absorb([table.take() for table in self._sums_tables()])
        return result

    # Steps that are compiled.

    def _run_compiled(self, state: Any, iterator: Iterator[Any]) -> Any:
        """Run the steps of one call one by one: the plain function ends where its one batch does."""
        logs = None
        for step in range(self._model.steps_per_execution):
            try:
                batch = next(iterator)
            except StopIteration:
                if step == 0:
                    raise
                break
            if not self.reason:
                with self._faults_noted():
                    self._record_step(state, batch)
            logs, state = self._plain(state, iter([batch]))
        return logs, state

    def _record_step(self, state: Any, batch: Any) -> None:
        """Compute the gradients of a step that is about to run. The state is read, and not given away."""
        signature = signature_of(batch)
        if signature not in self._signatures:
            start = clock()
            try:
                self._compile(state, batch)
            finally:
                self.seconds_built += clock() - start
            self._signatures.add(signature)
        self._absorb(self._program(state, batch))

    def _compile(self, state: Any, batch: Any) -> None:
        """Compile the program for such a batch; no step is run.

        Raises:
            NotCaptured: the step would do twice what it may do once.
        """
        if self._program is None:
            # A new function: JAX would take one that it has traced before, in which nobody listened, as it is.
            self._program = jax.jit(self._sums_of_step, out_shardings=_replicated(state))
        with python_state_kept(self._model), losses_kept(self._model):
            traced = self._program.trace(state, batch)
        if not self._apply_calls:
            raise NotCaptured(NO_APPLY)
        effects = step_effects(traced.jaxpr)
        if effects:
            raise NotCaptured(f"the train step {effects}, which a second program would do once more")
        traced.lower().compile()  # `jit` finds it again

    def _sums_of_step(self, state: Any, batch: Any) -> list[StepSums | None]:
        """Run the train step while it is traced, and return what it adds to each table."""
        for table in self._sums_tables():
            table.take()  # of a trace that was given up
        self._is_tracing, self._trace_state = True, jex.get_opaque_trace_state()
        try:
            with_apply_hook(self._record_apply, lambda: self._model.train_step(state, batch))
        finally:
            self._is_tracing = False
        return [table.take() for table in self._sums_tables()]

    # The optimizers' calls.

    def _begin_call(
        self, optimizer: keras.optimizers.Optimizer, gradients: list[Any], variables: Sequence[Variable]
    ) -> AddCall | None:
        if not self.reason and jex.get_opaque_trace_state() != self._trace_state:
            raise NotCaptured(IN_JIT)
        return super()._begin_call(optimizer, gradients, variables)

    def _read_before(self, sums: Sums, pairs: RecordedPairs, optimizer: keras.optimizers.Optimizer) -> AddCall:
        assert isinstance(sums, GradientSums)
        weights = [read_value(variable) for variable in pairs.variables]
        scale = loss_scale(optimizer, read_value)
        scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        is_applied = optimizer.check_finite(pairs.all_gradients) if scales_loss else True
        iterations = read_value(update_counter(optimizer))

        def add_call() -> None:
            # The counter stands still while gradients accumulate, and where the scale overflowed.
            updated = read_value(update_counter(optimizer)) > iterations
            sums.add(pairs.gradients, pairs.variables, weights, scale=scale, applied=is_applied, updated=updated)

        return add_call

    def _new_sums(self, variables: Sequence[Variable]) -> GradientSums:
        return GradientSums(variables)

    def _sums_tables(self) -> list[GradientSums]:
        return [table for table in self._tables if isinstance(table, GradientSums)]

    def _absorb(self, of_step: Sequence[StepSums | None]) -> None:
        for table, sums in zip(self._sums_tables(), of_step, strict=False):  # a later trace may have made another table
            table.absorb(sums)

    def _is_sparse(self, gradient: jax.Array) -> bool:
        return False

    def _is_traced(self) -> bool:
        return self._is_tracing


def gradient_recorder(model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> GradientRecorder:
    """Return a recorder of the gradients that train `model`; see `protocol.Backend`."""
    return StepRecorder(model, plain, announce)


def runs_eagerly(model: keras.Model) -> bool:
    """Return True where the train step runs operation by operation."""
    return bool(model.run_eagerly or not model.jit_compile or jax.config.jax_disable_jit)


@contextlib.contextmanager
def losses_kept(model: keras.Model) -> Iterator[None]:
    """Restore, after the block, the losses that a forward pass left for the model: a trace that fails leaves its own."""
    before = vars(model).get("_losses_override")
    values = list(before or [])
    try:
        yield
    finally:
        if before is not None:
            before[:] = values
            vars(model)["_losses_override"] = before


def _replicated(state: Any) -> jax.sharding.NamedSharding | None:
    """Return the sharding of a result that each device of the state has whole; None where the state is on one device."""
    for value in jax.tree.leaves(state):
        sharding = getattr(value, "sharding", None)
        if isinstance(sharding, jax.sharding.NamedSharding):
            return jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    return None


def signature_of(batch: Any) -> Any:
    """Return the structure, shapes and dtypes of a batch."""
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)
