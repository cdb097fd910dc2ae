"""`step` and `finish`: a callback that a loop of the user's own drives by itself."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import keras

from keras_xai import backend
from keras_xai.callbacks.loop_hooks import LoopHooks
from keras_xai.callbacks.step_logs import checked_logs
from keras_xai.errors import InvalidInput, check_int
from keras_xai.running import LoopParams, is_running

# Callbacks that step with one model take part in one training: those of one log directory write one run.
_params_of: weakref.WeakKeyDictionary[keras.Model, LoopParams] = weakref.WeakKeyDictionary()


class Stepping(keras.callbacks.Callback):
    """A callback with `step` and `finish`; `kx.watch` does the same for several, and hears optimizers as well."""

    _loop: LoopHooks | None = None

    def step(self, model: keras.Model, logs: Mapping[str, Any] | None = None, epoch: int | None = None) -> None:
        """Say that a training step is done, in a loop of your own without `kx.watch`.

        The first call begins the training, a call with another `epoch` ends the one before, `finish` ends both. All records are
        on disk as soon as they are made: a loop that never calls `finish` lacks the end of its last epoch. Gradients are those
        of `train_on_batch`; `kx.watch` also hears optimizers.

        Args:
            model: in training; its variables are up to date.
            logs: numbers of this step, such as {"loss": loss}: floats, arrays or tensors. The epoch's logs are their means.
            epoch: in which the step was done, 0 or the next one by default: the same as in the call before.

        Raises:
            InvalidInput: inside `fit`, `kx.watch`, compiled code or a GradientTape; another model, an earlier epoch.

        Example:
            >>> watch = kx.ImportanceDrift("logs/run1", probe)
            >>> for epoch in range(2):
            ...     losses = model.train_on_batch(x_train, y_train)
            ...     watch.step(model, epoch=epoch)
            >>> watch.finish()
            >>> kx.load("logs")["run1"].epochs
            [0, 1]
        """
        logs = checked_logs(logs)
        if epoch is not None:
            check_int("epoch", epoch, minimum=0, expected="an integer, 0 or more")
        obstacle = backend.get_backend().obstacle_to_passes()
        if obstacle:
            raise InvalidInput(f"step() inside {obstacle}: call it after that has ended.")
        loop = self._present_loop(model)
        if loop is None:
            self._loop = loop = self._begun_loop(model, epoch or 0)
        elif epoch is not None:
            loop.go_to_epoch(epoch)
        loop.end_step(logs)

    def finish(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the epoch and the training that `step` began. Idempotent; `step` then begins another one.

        Args:
            logs: numbers of the last epoch, such as {"val_loss": 0.3}.
        """
        loop, self._loop = self._loop, None
        if loop is not None and loop.params is self.params:
            loop.add_logs(checked_logs(logs))
            loop.end()

    def _present_loop(self, model: keras.Model) -> LoopHooks | None:
        """Return the loop that `step` began; None where there is none, or where another training came after it.

        Raises:
            InvalidInput: a training of another kind is running, or of another model.
        """
        loop = self._loop
        if loop is not None and loop.params is self.params:
            if loop.model is not model:
                raise InvalidInput("step(): another model than in the call before; call finish() first.")
            return loop
        if self.params and is_running(self.params):
            raise InvalidInput("step() inside fit() or kx.watch(): these call the callback's hooks themselves.")
        return None

    def _begun_loop(self, model: keras.Model, epoch: int) -> LoopHooks:
        """Begin a training whose first step was done just now."""
        if not isinstance(model, keras.Model):
            raise InvalidInput(f"step(model): got a {type(model).__name__}, expected a keras.Model.")
        params = _params_of.get(model)
        if params is None:
            params = _params_of[model] = LoopParams(epochs=None, steps=None, verbose=0)
            params.began_late = True
        loop = LoopHooks(model, [self], params, initial_epoch=epoch)
        loop.begin()
        return loop
