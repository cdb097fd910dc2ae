"""The steps of a training that calls no hook of Keras, as they are heard in a watched loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras

from keras_xai import backend
from keras_xai.backend.apply_hook import HeldHook
from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.recorder import Tensor, TrainFunction
from keras_xai.callbacks.loops.hooks import LoopHooks
from keras_xai.callbacks.model_reading import ModelReading
from keras_xai.loop_params import LoopParams

T = TypeVar("T")


class StepHearing:
    """Hears the calls of a model's train function, and of the optimizers that train it, in the thread that began to listen.

    A step is a call of the train function (`train_on_batch`), or a call of `apply` of one optimizer: the one that the user names,
    that the model is compiled with, or else the first that is heard. Where another optimizer is called twice running, steps are
    counted by that one from then on.

    Args:
        model: in training.
        params: of the loop.
        hooks: of the loop: its epoch begins before the weights change.
        on_step: called with the logs of a step, after it; `run_on=True` where they are metrics over all batches so far.

    Attributes:
        obstacle: surrounded a call of the optimizer, so that it could not be taken for the end of a step; "" without one.
        is_traced: an optimizer was called while the Python code around it was traced.
    """

    def __init__(
        self,
        model: keras.Model,
        params: LoopParams,
        hooks: LoopHooks,
        *,
        on_step: Callable[..., None],
    ) -> None:
        self.obstacle = ""
        self.is_traced = False
        self._model = model
        self._params = params
        self._hooks = hooks
        self._on_step = on_step
        self._hook = HeldHook(self._hear_apply)
        self._train_function: HeardTrainFunction | None = None
        self._trace_state = backend.get_backend().trace_state()
        self._is_named = params.optimizer is not None  # a call of another one is no step
        self._other: keras.optimizers.Optimizer | None = None  # that was called last
        self._variables: set[int] = set()  # ids of the model's
        self._metrics_run_on: bool | None = None  # those of `train_on_batch`; None before its second call

    @staticmethod
    def hears(model: keras.Model) -> bool:
        """Return True for a model that is listened to."""
        return "make_train_function" in vars(model)

    def start(self) -> None:
        """Listen. Idempotent."""
        self._hook.place()
        # On the object, past what a framework does with attributes: a model that is compiled again makes another function.
        vars(self._model)["make_train_function"] = self._make_train_function
        self._listen_to_train_function()

    def _listen_to_train_function(self) -> None:
        plain = self._model.train_function
        if plain is not None and not isinstance(plain, HeardTrainFunction):
            self._train_function = HeardTrainFunction(plain, self._hear_train_function)
            self._model.train_function = self._train_function

    def stop(self) -> None:
        """Give the model its train function back, and the optimizers their methods. Idempotent."""
        self._hook.remove()
        vars(self._model).pop("make_train_function", None)
        stand_in, self._train_function = self._train_function, None
        if stand_in is not None and self._model.train_function is stand_in:
            self._model.train_function = stand_in.plain

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hear nothing inside the block: what callbacks do is no step, and they find the model as in `fit`."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def is_tracing(self) -> bool:
        """Return True while the Python code around is traced or compiled."""
        return backend.get_backend().trace_state() != self._trace_state

    def _make_train_function(self, force: bool = False) -> None:
        """Make a train function where the model has none, as the model itself does, and listen to it."""
        type(self._model).make_train_function(self._model, force)
        self._listen_to_train_function()

    def _hear_train_function(self, plain: TrainFunction, arguments: Sequence[Any]) -> Any:
        with self.paused():
            framework = backend.get_backend()
            framework.begin_train_call(self._model, arguments)
            self._hooks.begin_epoch()
            # Newer versions of Keras reset the metrics in each `train_on_batch`: then they are not those of the step before.
            if self._metrics_run_on is None and self._hooks.steps:
                self._metrics_run_on = ModelReading(self._model).rows() > 0
            # That of the callbacks, where one of them records.
            function = self._model.train_function or plain
            result = function(*arguments)
            logs = framework.finish_train_call(self._model, result)
            self._on_step(logs if isinstance(logs, Mapping) else {}, run_on=bool(self._metrics_run_on))
        return result

    def _hear_apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Tensor | None],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make a call of an optimizer, record it, and end the step: an `ApplyHook`."""
        if not self._trains_model(variables):
            return update()
        tap = self._params.tap
        if self.is_tracing():
            self.is_traced = True
            if tap is not None:
                tap.is_traced = True
            return update()
        with self.paused():
            self._hooks.begin_epoch()
        result = update() if tap is None else tap.record_call(optimizer, gradients, variables, update)
        if self._ends_step(optimizer):
            self.obstacle = self.obstacle or backend.get_backend().obstacle_to_passes()
            if not self.obstacle:
                with self.paused():
                    self._on_step({})
        return result

    def _trains_model(self, variables: Sequence[Variable]) -> bool:
        if not any(id(variable) in self._variables for variable in variables):
            self._variables = {id(variable) for variable in self._model.trainable_variables}
            # Raw variables of the framework may be given in place of Keras'.
            self._variables |= {id(variable.value) for variable in self._model.trainable_variables}
        return any(id(variable) in self._variables for variable in variables)

    def _ends_step(self, optimizer: keras.optimizers.Optimizer) -> bool:
        """Return True where a call of this optimizer is the end of a step."""
        ending = self._params.optimizer or getattr(self._model, "optimizer", None)
        if ending is None or (optimizer is self._other and not self._is_named):
            self._params.optimizer = ending = optimizer
        self._other = None if optimizer is ending else optimizer
        return optimizer is ending


class HeardTrainFunction:
    """A stand-in for a model's train function between two steps.

    Args:
        plain: the function that is in place without it.
        hear: called with it and the arguments.
    """

    def __init__(self, plain: TrainFunction, hear: Callable[[TrainFunction, Sequence[Any]], Any]) -> None:
        self.plain = plain
        self._hear = hear

    def __call__(self, *arguments: Any) -> Any:
        return self._hear(self.plain, arguments)
