"""`step`, `end_epoch` and `finish`: a callback that a loop of the user's own drives by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_xai import backend
from keras_xai.callbacks.loops.hooks import LoopHooks
from keras_xai.callbacks.loops.step_logs import checked_logs
from keras_xai.errors import InvalidInput, check_int
from keras_xai.loop_params import LoopParams
from keras_xai.running import is_running


class Stepping(keras.callbacks.Callback):
    """A callback with `step`, `end_epoch` and `finish`; `kx.watch` does the same for several, and hears optimizers as well."""

    _loop: LoopHooks | None = None

    @property
    def reads_step_logs(self) -> bool:
        """True where the logs of a step are read at its end, as a subclass may: a loop then waits for them."""
        return not getattr(self, "async_safe", False)

    def step(self, model: keras.Model, logs: Mapping[str, Any] | None = None, epoch: int | None = None) -> None:
        """Say that a training step is done, in a loop of your own without `kx.watch`.

        The first call begins the training, `end_epoch` ends an epoch, `finish` ends both. All records are on disk as soon as they
        are made: a loop that never calls `finish` lacks the end of its last epoch. Gradients are those of `train_on_batch`, from
        the second step on; `kx.watch` also hears optimizers.

        A call with another `epoch` ends the one before as well, if `end_epoch` has not: one step late, for the callback sees the
        model when the first step of the next epoch is done.

        Args:
            model: in training; its variables are up to date.
            logs: numbers of this step, such as {"loss": loss}: floats, arrays or tensors. The epoch's logs are their means.
            epoch: in which the step was done; by default the same as in the call before, or after `end_epoch` the next.

        Raises:
            InvalidInput: inside `fit`, `kx.watch`, compiled code or a GradientTape; another model, an earlier epoch.

        Example:
            >>> watch = kx.ImportanceDrift("logs/run1", probe)
            >>> for epoch in range(2):
            ...     losses = model.train_on_batch(x_train, y_train)
            ...     watch.step(model)
            ...     watch.end_epoch()
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

    def end_epoch(self, logs: Mapping[str, Any] | None = None) -> None:
        """End an epoch of the training that `step` began: the callback looks at the model.

        Args:
            logs: numbers of this epoch, such as {"val_loss": 0.3}, beside the means of its steps' logs.

        Raises:
            InvalidInput: no step came before it.
        """
        logs = checked_logs(logs)
        loop = self._loop
        if loop is None or loop.params is not self.params or not loop.batch:
            raise InvalidInput("end_epoch() before a step(): an epoch begins with its first step.")
        loop.end_epoch(logs)
        loop.begin_epoch()  # so that the gradients of its first step can be recorded

    def finish(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the epoch and the training that `step` began. Idempotent; `step` then begins another one.

        Args:
            logs: numbers of the last epoch, such as {"val_loss": 0.3}.

        Raises:
            InvalidInput: logs where no epoch with steps is open.
        """
        logs = checked_logs(logs)
        loop = self._loop
        is_present = loop is not None and loop.params is self.params
        if logs and not (loop is not None and is_present and loop.batch):
            raise InvalidInput(
                f"finish({dict(logs)!r}): no epoch with steps is open; give its logs to the end_epoch() before."
            )
        self._loop = None
        if loop is not None and is_present:
            if loop.batch:
                loop.end_epoch(logs)
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
            self._refuse_where_taken_over()
            return loop
        if self.params and is_running(self.params):
            raise InvalidInput("step() inside fit() or kx.watch(): these call the callback's hooks themselves.")
        return None

    def _refuse_where_taken_over(self) -> None:
        """Raise where a training that began later has closed the run of this one, as it does with what an exception has left."""
        for callback in getattr(self, "callbacks", [self]):
            session = getattr(callback, "_session", None)
            if session is not None and session.is_over:
                raise InvalidInput(
                    f"step(): another training has begun to write in {callback.log_dir}. Two callbacks on one log directory go "
                    f"into one block of kx.watch(model, [...]), or are one kx.Explain."
                )

    def _begun_loop(self, model: keras.Model, epoch: int) -> LoopHooks:
        """Begin a training whose first step was done just now."""
        if not isinstance(model, keras.Model):
            raise InvalidInput(f"step(model): got a {type(model).__name__}, expected a keras.Model.")
        params = LoopParams(epochs=None, steps=None, verbose=0)
        params.began_late = True
        loop = LoopHooks(model, [self], params, initial_epoch=epoch)
        loop.begin()
        return loop
