"""Records the gradients of a train step: PyTorch's `backend.recorder.GradientRecorder`.

A step that runs eagerly is the model's own train function, called while the optimizers' `apply` is hooked: the step itself is
not touched, and runs once. A step that `torch.compile` compiled is not hooked, since its guards look at the optimizer's class:
it would be compiled again. What it reads is copied before it, and the gradients that it leaves in `.grad` are read after it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import torch

from keras_xai.backend import apply_hook
from keras_xai.backend.apply_hook import loss_scale, update_counter, with_apply_hook
from keras_xai.backend.apply_recorder import AddCall, ApplyRecorder, RecordedPairs, Sums
from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.recorder import GradientRecorder, StepTaken, TrainFunction
from keras_xai.backend.torch.gradient_sums import GradientSums, Value, copy_value, read_values, summarize
from keras_xai.backend.torch.program import EagerProgram
from keras_xai.backend.torch.state import generator_states, set_generator_states

apply_hook.is_compiling = torch.compiler.is_compiling

# So many recorded steps in which no call of an optimizer was heard end the recording. Some train steps of users' own call their
# optimizer at every n-th step only.
SILENT_STEPS = 10
NO_APPLY = (
    "the train step calls no optimizer's apply() that can be heard: it updates the weights by itself, by an optimizer of"
    " torch.optim, or in a function of its own that torch.compile compiled"
)
COMPILED_STEP = (
    "the train step was compiled by torch.compile, and is not Keras' own: its gradients can be read only while it runs eagerly,"
    " with compile(jit_compile=False)"
)
COMPILED_OPTIMIZER = (
    "the train step was compiled by torch.compile, and its optimizer {name} is not one of Keras' own: it may change gradients"
    " before they can be read; they can be while the step runs eagerly, with compile(jit_compile=False)"
)

WITH_TORCH_MODULES = "the model wraps modules of PyTorch, whose weights are not those of Keras' variables"
TORCH_MODULES = (keras.layers.TorchModuleWrapper,)


class StepRecorder(ApplyRecorder):
    """Runs a model's train function and records the gradients that its optimizers get.

    Args:
        model: a model that has its train function.
        plain: the model's own train function.
        announce: called with the number of variables that are recorded.
    """

    def __init__(self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> None:
        super().__init__(model, plain, announce)
        self._is_compiled = is_compiled(plain)
        self._steps = 0  # recorded
        self._generators: list[torch.Tensor] = []  # their states before the step that is kept

    # The recording function.

    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records; see `GradientRecorder`."""
        if self._recording is None:
            self.reason = self._refusal()
            if not self.reason:
                self._start_tables()
                run = self._run_compiled if self._is_compiled else self._run_eagerly
                self._recording = functools.partial(self._run_keeping, run) if self._keeps_steps else run
        return None if self.reason else self._recording

    def _refusal(self) -> str:
        """Return the reason why gradients cannot be recorded, "" where they can."""
        if not self._is_compiled:
            return ""
        if not _has_keras_train_step(self._model):
            return COMPILED_STEP
        for optimizer in _nested_optimizers(self._model.optimizer):
            if not type(optimizer).__module__.startswith("keras."):
                return COMPILED_OPTIMIZER.format(name=type(optimizer).__name__)
        return ""

    def _run_keeping(self, run: TrainFunction, *arguments: Any) -> Any:
        """Run a step, and keep its batch and the values around it."""
        model, self._step = self._model, None
        if any(isinstance(layer, TORCH_MODULES) for layer in model._flatten_layers()):
            self.step_obstacle = WITH_TORCH_MODULES
            return run(*arguments)
        before, others = map(_copies, (model.trainable_variables, model.non_trainable_variables))
        self._generators = generator_states()
        result = run(*arguments)
        after, metrics = map(_copies, (model.trainable_variables, model.metrics_variables))
        if len(before) == len(after):  # the first step builds some models
            self._step = StepTaken(before, after, others, metrics, arguments[0][0])
        return result

    def step_program(self, function: Callable[..., Any]) -> EagerProgram:
        """Make a program of a function that runs the model on given values of its variables, with the numbers that the step drew.

        A dropout without a seed draws them from torch's own generators, which the program restores.
        """

        def drawing_again(*args: Any) -> Any:
            set_generator_states(self._generators)
            return function(*args)

        return EagerProgram(drawing_again, self._model)

    def _run_eagerly(self, *arguments: Any) -> Any:
        result = with_apply_hook(self._record_apply, lambda: self._plain(*arguments))
        self._count_step()
        return result

    def _run_compiled(self, *arguments: Any) -> Any:
        """Run a compiled step as it is, between what has to be read before and after it."""
        add_step: Callable[[], None] | None = None
        with self._faults_noted():
            add_step = self._begin_compiled_step()
        result = self._plain(*arguments)
        with self._faults_noted():
            if add_step is not None:
                add_step()
        return result

    def _begin_compiled_step(self) -> Callable[[], None] | None:
        """Copy what Keras' own train step will change; None where no variable is recorded."""
        optimizer, variables = self._model.optimizer, list(self._model.trainable_weights)
        selected = [variable for variable in variables if self._is_selected(variable)]
        if self.reason or not selected:
            return None
        sums, before = self._sums_of(selected), StateBefore.of(optimizer, selected)

        def add_step() -> None:
            pairs = self._pairs(variables, [read_gradient(variable) for variable in variables])
            add_call = _call(sums, pairs, optimizer, before)
            add_call()

        return add_step

    # The optimizers' calls.

    def _count_step(self) -> None:
        self._steps += 1
        if not self._apply_calls and self._steps >= SILENT_STEPS and not self.reason:
            self.reason = NO_APPLY

    def _new_sums(self, variables: Sequence[Variable]) -> GradientSums:
        return GradientSums(variables, self._model)

    def _is_sparse(self, gradient: torch.Tensor) -> bool:
        return bool(gradient.layout != torch.strided)

    def _read_before(self, sums: Sums, pairs: RecordedPairs, optimizer: keras.optimizers.Optimizer) -> AddCall:
        return _call(sums, pairs, optimizer, StateBefore.of(optimizer, pairs.variables))


class StateBefore(NamedTuple):
    """Copies of the state that a call of an optimizer changes, read before it."""

    weights: dict[int, torch.Tensor]  # float32, by the ids of the variables
    scale: torch.Tensor | float | None  # factor of loss scaling in the gradients
    updates: torch.Tensor  # the optimizer's count of them

    @classmethod
    def of(cls, optimizer: keras.optimizers.Optimizer, variables: Sequence[Variable]) -> StateBefore:
        """Read the state now."""
        return cls(
            dict(zip(map(id, variables), read_values(variables), strict=True)),
            loss_scale(optimizer, copy_value),
            copy_value(update_counter(optimizer)),
        )


def _call(sums: Sums, pairs: RecordedPairs, optimizer: keras.optimizers.Optimizer, before: StateBefore) -> AddCall:
    """Summarise the gradients of a call, and return the function that adds it to the sums once it was made."""
    assert isinstance(sums, GradientSums)
    summaries = [summarize(gradient, before.scale) for gradient in pairs.gradients]
    weights = [before.weights[id(variable)] for variable in pairs.variables]
    scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    is_applied = optimizer.check_finite(pairs.all_gradients) if scales_loss else True

    def add_call() -> None:
        # The counter stands still while gradients accumulate, and where the scale overflowed.
        updated = copy_value(update_counter(optimizer)) > before.updates
        sums.add(summaries, pairs.variables, weights, applied=is_applied, updated=updated)

    return add_call


def read_gradient(variable: Value) -> torch.Tensor | None:
    """Return the gradient that a backward pass left at a variable."""
    value: torch.Tensor = variable.value if isinstance(variable, keras.Variable) else variable
    return value.grad


def _copies(variables: Sequence[Value]) -> list[torch.Tensor]:
    return [copy_value(variable) for variable in variables]


def is_compiled(function: TrainFunction) -> bool:
    """Return True for a function that `torch.compile` returned."""
    return hasattr(function, "_torchdynamo_orig_callable")


def gradient_recorder(model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> GradientRecorder:
    """Return a recorder of the gradients that train `model`; see `protocol.Backend`."""
    return StepRecorder(model, plain, announce)


def _has_keras_train_step(model: keras.Model) -> bool:
    """Return True for a model whose train step is the one that Keras wrote."""
    changed = {"train_step", "make_train_function"} & {*vars(model)}
    names = ("train_step", "make_train_function")
    return not changed and all(getattr(type(model), name) is getattr(keras.Model, name) for name in names)


def _nested_optimizers(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Return an optimizer and those inside it."""
    nested = [optimizer]
    while (inner := getattr(nested[-1], "inner_optimizer", None)) is not None:
        nested.append(inner)
    return nested
