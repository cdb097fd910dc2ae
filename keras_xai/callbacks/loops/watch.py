"""`watch`: the callbacks around a training loop of the user's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import keras

from keras_xai import backend
from keras_xai.callbacks.loops.hearing import StepHearing
from keras_xai.callbacks.loops.hooks import LoopHooks, Sync
from keras_xai.callbacks.loops.step_logs import checked_logs
from keras_xai.errors import InvalidInput, check_int
from keras_xai.loop_params import LoopParams


class Loop:
    """A training loop of the user's own while it is watched; made by `watch`, which says what its arguments are.

    Attributes:
        model: in training.
        callbacks: that watch it, a tuple.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        params: LoopParams,
        *,
        loss: Any = None,
        initial_epoch: int = 0,
        sync: Sync | None = None,
    ) -> None:
        self.model = model
        self.callbacks = tuple(callbacks)
        self._params = params
        self._loss = loss
        self._hooks = LoopHooks(model, callbacks, params, initial_epoch=initial_epoch, sync=sync)
        self._hearing: StepHearing | None = None
        self._has_ended = False
        self._counts_calls = False  # of `step`: from its first call on, what is heard is no step
        self._steps_heard = 0
        self._lends_loss = False  # the model has the loss for the time of the loop

    # What a user reads.

    @property
    def epoch(self) -> int:
        """The number of the epoch that runs; between two epochs the next one's."""
        return self._hooks.epoch

    @property
    def steps(self) -> int:
        """The training steps done so far, over all epochs."""
        return self._hooks.steps

    @property
    def logs(self) -> dict[str, Any]:
        """The logs of the last epoch that ended: its numbers, and the `xai_*` figures of the callbacks; {} before."""
        return dict(self._hooks.logs)

    @property
    def stopped(self) -> bool:
        """True once a callback has asked to stop the training, as `on_drift="stop"` and `EarlyStopping` do: leave the loop."""
        return bool(self.model.stop_training)

    # What a user calls.

    def step(self, logs: Mapping[str, Any] | None = None) -> None:
        """Mark the end of a training step.

        From the first call on these calls alone are the steps; optimizers are only heard for their gradients.

        Args:
            logs: numbers of this step, such as {"loss": loss}: floats, arrays or tensors. The epoch's logs are their means.

        Raises:
            InvalidInput: outside of the block, inside compiled code or a GradientTape, or after several steps that were heard.
        """
        logs = checked_logs(logs)
        hearing = self._checked_hearing("loop.step()")
        is_first_call = not self._counts_calls
        if is_first_call and self._steps_heard > 1:
            raise InvalidInput(
                f"loop.step() came after {self._steps_heard} steps that were heard without it: call it after every step, from "
                f"the first on. If a step of yours calls several optimizers, or one of them several times, name the one whose "
                f"call ends a step, as in kx.watch(model, callbacks, optimizer=...)."
            )
        self._counts_calls = True
        if is_first_call and self._steps_heard == 1:  # the very step
            self._hooks.replace_logs(logs)
            return
        with hearing.paused():
            self._hooks.end_step(logs)

    def end_epoch(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the epoch: the callbacks look at the model. The next one begins with its first step.

        Args:
            logs: numbers of this epoch, such as {"val_loss": 0.3}, beside the means of its steps' logs. Of
                `train_on_batch` these are Keras' metrics: in versions that do not reset them at each call, as they run on.

        Raises:
            InvalidInput: outside of the block, inside compiled code or a GradientTape, or where `steps_per_epoch` has ended it.
        """
        logs = checked_logs(logs)
        hearing = self._checked_hearing("loop.end_epoch()")
        if self._params["steps"] and not self._hooks.batch and self._hooks.ended_epochs:
            raise InvalidInput(
                f"loop.end_epoch() right after an epoch that steps_per_epoch={self._params['steps']} has ended: leave "
                f"steps_per_epoch out where the loop ends its epochs by itself."
            )
        with hearing.paused():
            self._hooks.end_epoch(logs)

    # The block.

    def __enter__(self) -> Loop:
        if self._has_ended or self._hearing is not None:
            raise InvalidInput("This loop was watched before: a second `with` block needs a kx.watch() of its own.")
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end()
        else:
            self._release()

    def _begin(self) -> None:
        """Begin the training, and listen."""
        model = self.model
        if StepHearing.hears(model):
            raise InvalidInput(
                f"The model {model.name!r} is watched by a block around this one: give all callbacks to one kx.watch()."
            )
        self._lends_loss = self._loss is not None and getattr(model, "loss", None) is None
        if self._lends_loss:
            vars(model)["loss"] = self._loss  # where callbacks look for it; no attribute that a framework would track
        if model.compiled and model.train_function is None:
            model.make_train_function()  # as `fit` does before it calls callbacks
        self._hearing = StepHearing(model, self._params, self._hooks, on_step=self._hear_step)
        self._params.is_open = True
        try:
            self._hooks.begin()
        except BaseException:
            self._release()
            raise
        self._hearing.start()

    def _end(self) -> None:
        """End the training as `fit` does."""
        hearing = self._hearing
        if hearing is None or self._has_ended:
            return
        hearing.stop()
        try:
            self._hooks.end()
        finally:
            self._release()
        self._warn_of_silence(hearing)

    def _release(self) -> None:
        """Leave the model as it was. After an exception this is all, as at the end of such a `fit`: callbacks hear nothing."""
        self._has_ended, self._params.is_open = True, False
        if self._hearing is not None:
            self._hearing.stop()
        if self._params.tap is not None:
            self._params.tap.detach()
        if self._lends_loss and vars(self.model).get("loss") is self._loss:
            vars(self.model)["loss"] = None

    def _hear_step(self, logs: Mapping[str, Any], *, run_on: bool = False) -> None:
        if self._counts_calls:
            return
        self._steps_heard += 1
        self._hooks.end_step(logs, run_on=run_on)

    def _checked_hearing(self, call: str) -> StepHearing:
        """Return what hears the steps, where a call of the user may run hooks.

        Raises:
            InvalidInput: it may not.
        """
        hearing = self._hearing
        if hearing is None or self._has_ended:
            raise InvalidInput(f"{call} outside of its block: call it inside `with kx.watch(...) as loop:`.")
        if hearing.is_tracing():
            raise InvalidInput(
                f"{call} inside a function that is compiled, whose Python code runs only while it is traced: call it after that "
                f"function has returned."
            )
        obstacle = backend.get_backend().obstacle_to_passes()
        if obstacle:
            raise InvalidInput(f"{call} inside {obstacle}: call it after that has ended.")
        return hearing

    def _warn_of_silence(self, hearing: StepHearing) -> None:
        """Warn where no step was heard and none was marked."""
        if self._hooks.steps:
            return
        reason = "no call of train_on_batch or of an optimizer's apply() was heard"
        if hearing.obstacle:
            reason = f"the optimizer was called inside {hearing.obstacle}"
        elif hearing.is_traced:
            reason = "the optimizer was called inside a compiled function"
        written = "Only the ends of epochs are recorded." if self._hooks.ended_epochs else "No epoch is recorded."
        warnings.warn(
            f"kx.watch counted no training step: {reason}. {written} Call loop.step() after each step, outside of such blocks.",
            stacklevel=4,
        )


def watch(
    model: keras.Model,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback],
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: Any = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    initial_epoch: int = 0,
    sync: Callable[[], object] | None = None,
    verbose: int = 0,
) -> Loop:
    """Watch a training loop of your own, as `fit` lets callbacks watch: a context manager around the loop.

    Inside the block steps are heard by themselves: calls of `model.train_on_batch`, and on TensorFlow and PyTorch calls of an
    optimizer's `apply` or `apply_gradients` in a loop that runs eagerly. What cannot be heard (an optimizer inside a
    `tf.function` of your own or inside the block of a GradientTape, `stateless_apply`, an optimizer of `torch.optim`) needs
    `loop.step()` after each step. A loop in which neither comes gets one warning at its end.

    Every callback of Keras gets its hooks in the order of `fit`: the training and the first epoch begin with the block, an epoch
    ends with `loop.end_epoch()` or after `steps_per_epoch`, the next one begins with its first step. The end of the block ends an
    epoch that has steps, and the training. An exception ends it as it ends a `fit`: what was written can be read. The training
    itself stays the same, bit for bit.

    Gradients are recorded where the optimizer's `apply` can be heard: in eager loops on TensorFlow and PyTorch, and with
    `train_on_batch` on all frameworks. Elsewhere the record says why they are missing.

    Args:
        model: in training, compiled or not; all its variables are watched.
        callbacks: a callback, of this package or any other of Keras, or a list of them.
        optimizer: whose call of `apply` ends a step, and whose learning rate is recorded. By default the one that the model is
            compiled with, else the first that is heard: name it where a step calls several, as that of a GAN.
        loss: that the loop trains with, where the model is not compiled with one: a name, a loss of Keras or a function. It says
            whether outputs are logits, probabilities or numbers; the loss itself is never computed.
        epochs: the number at which the loop ends, so that the last epoch is looked at whatever `every` says. None: it is looked
            at when the block ends.
        steps_per_epoch: ends an epoch after so many steps; the samples of gradients are then spread over the first epoch, too.
            With `every="auto"` it decides the interval, together with `epochs`.
        initial_epoch: the number of the first epoch: above 0 for a run that is continued.
        sync: called before callbacks look at the model; writes the state of a loop that holds it outside of the model, as those
            of JAX do, into the model's variables.
        verbose: 1 prints the cost at the end, and other callbacks may print, too.

    Returns:
        The `Loop`: `step(logs)`, `end_epoch(logs)`, `logs`, `stopped`, `epoch`, `steps`.

    Raises:
        InvalidInput: an argument that cannot work; at the begin of the block what callbacks say at train begin.

    Example:
        >>> watch = kx.ImportanceDrift("logs/run1", probe)
        >>> with kx.watch(model, watch) as loop:
        ...     for epoch in range(2):
        ...         for start in range(0, 256, 64):
        ...             losses = model.train_on_batch(x_train[start : start + 64], y_train[start : start + 64])
        ...         loop.end_epoch()
        >>> kx.load("logs")["run1"].epochs
        [0, 1]
    """
    if not isinstance(model, keras.Model):
        raise InvalidInput(f"watch(model, ...): got a {type(model).__name__}, expected a keras.Model.")
    for name, value in {"epochs": epochs, "steps_per_epoch": steps_per_epoch}.items():
        if value is not None:
            check_int(name, value, expected="a positive integer or None")
    check_int("initial_epoch", initial_epoch, minimum=0, expected="an integer, 0 or more")
    if optimizer is not None and not isinstance(optimizer, keras.optimizers.Optimizer):
        raise InvalidInput(
            f"optimizer: got a {type(optimizer).__name__}, expected one of Keras; leave it out for another, and call loop.step()."
        )
    if sync is not None and not callable(sync):
        raise InvalidInput(
            f"sync={sync!r}: expected a function without arguments that writes the state into the model."
        )
    params = LoopParams(epochs=epochs, steps=steps_per_epoch, verbose=verbose)
    params.optimizer = optimizer
    return Loop(model, _checked_callbacks(callbacks), params, loss=loss, initial_epoch=initial_epoch, sync=sync)


def _checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Return callbacks as a flat list.

    Raises:
        InvalidInput: something else is among them, or nothing.
    """
    flat = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    for callback in flat:
        if not isinstance(callback, keras.callbacks.Callback):
            raise InvalidInput(
                f"watch(model, callbacks): got a {type(callback).__name__} among the callbacks, expected callbacks of Keras."
            )
    if not flat:
        raise InvalidInput("watch(model, callbacks): got no callback; give one, or a list of them.")
    return flat
