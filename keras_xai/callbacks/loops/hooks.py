"""Keras' hooks of a training, called in their order by a loop of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_xai import backend
from keras_xai.callbacks.loops.step_logs import StepLogs, single_numbers
from keras_xai.errors import InvalidInput
from keras_xai.loop_params import LoopParams

Sync = Callable[[], object]  # writes the state of a loop into its model


class LoopHooks:
    """Calls the hooks of callbacks as `fit` does, from a loop that says when a step and when an epoch ends.

    The first epoch begins with the training, any other with its first step: none is begun after the last one.

    Args:
        model: in training.
        callbacks: of Keras.
        params: of the loop.
        initial_epoch: the number of the first epoch.
        sync: called before a callback looks at the model.

    Attributes:
        epoch: that runs; between two epochs the next one's number.
        batch: steps done in this epoch.
        steps: done in all.
        ended_epochs: how many have ended.
        logs: of the last epoch that ended, with all that callbacks have added.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        params: LoopParams,
        *,
        initial_epoch: int = 0,
        sync: Sync | None = None,
    ) -> None:
        self.model = model
        self.callbacks = list(callbacks)
        self.params = params
        self.epoch = initial_epoch
        self.batch = 0
        self.steps = 0
        self.ended_epochs = 0
        self.logs: dict[str, Any] = {}
        params.sync, params.means = sync, self._means
        self._epoch_is_open = False
        self._step_logs = StepLogs()
        self._step_listeners = [callback for callback in self.callbacks if _listens_to_steps(callback)]
        # To read the logs of a step waits for the device.
        self._reads_step_logs = any(getattr(callback, "reads_step_logs", True) for callback in self._step_listeners)

    def begin(self) -> None:
        """Begin the training, and its first epoch."""
        self.params.is_late = self.params.began_late
        self.model.stop_training = False
        with backend.get_backend().free_for_passes():
            for callback in self.callbacks:
                callback.set_model(self.model)
                callback.set_params(self.params)
            for callback in self.callbacks:
                callback.on_train_begin({})
            self.begin_epoch()
        self.params.is_late = False

    def begin_epoch(self) -> None:
        """Begin the next epoch, unless one is open."""
        if self._epoch_is_open:
            return
        if self.steps:
            self._write_state_back()
        self._epoch_is_open, self.batch, self._step_logs = True, 0, StepLogs()
        self.params.steps_of_epoch = 0
        with backend.get_backend().free_for_passes():
            for callback in self.callbacks:
                callback.on_epoch_begin(self.epoch, {})
            self._begin_batch()

    def end_step(self, logs: Mapping[str, Any], *, run_on: bool = False) -> None:
        """End a step, and begin the next one, in which callbacks may look at the model; or end the epoch, if it was the last.

        Args:
            logs: numbers of the step.
            run_on: they are metrics over all batches since they were reset.
        """
        if not self._epoch_is_open:
            self.params.is_late = True
            self.begin_epoch()
            self.params.is_late = False
        (self._step_logs.replace if run_on else self._step_logs.add)(logs)
        self.batch += 1
        self.params.steps_of_epoch = self.batch
        self.steps += 1
        if self.params.tap is not None:
            self.params.tap.end_step()
        numbers = single_numbers(logs) if self._reads_step_logs else {}
        for callback in self._step_listeners:
            callback.on_train_batch_end(self.batch - 1, dict(numbers))
        if self.batch == self.params["steps"]:
            self.end_epoch()
            return
        with backend.get_backend().free_for_passes():
            self._begin_batch()

    def replace_logs(self, logs: Mapping[str, Any]) -> None:
        """Take the logs that a user gives for those of the first step of an epoch, which has ended."""
        self._step_logs.replace(logs)

    def end_epoch(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the open epoch, with these logs beside the means of its steps' ones."""
        self.begin_epoch()
        logs = logs or {}
        self.logs = {**self._step_logs.means(), **logs, **single_numbers(logs)}
        self._write_state_back()
        self._epoch_is_open = False
        epoch, self.epoch = self.epoch, self.epoch + 1
        self.batch = 0
        self.ended_epochs += 1
        with backend.get_backend().free_for_passes():
            for callback in self.callbacks:
                callback.on_epoch_end(epoch, self.logs)

    def go_to_epoch(self, epoch: int) -> None:
        """End the open epoch where the step is of another one.

        Raises:
            InvalidInput: of an earlier one.
        """
        if epoch == self.epoch:
            return
        if epoch < self.epoch:
            last = self.epoch if self.batch else self.epoch - 1
            raise InvalidInput(
                f"epoch={epoch} after epoch {last}: epochs go up; finish() ends the training before another."
            )
        if self._epoch_is_open and self.batch:
            self.end_epoch()
        self.epoch, self._epoch_is_open = epoch, False

    def end(self) -> None:
        """End an epoch that has steps, and the training."""
        if self._epoch_is_open and self.batch:
            self.end_epoch()
        else:
            self._write_state_back()
        with backend.get_backend().free_for_passes():
            for callback in self.callbacks:
                callback.on_train_end(dict(self.logs))

    def _means(self) -> dict[str, float]:
        return self._step_logs.means()

    def _write_state_back(self) -> None:
        """Bring the model's variables up to date."""
        backend.get_backend().sync_model(self.model)
        if self.params.sync is not None:
            self.params.sync()

    def _begin_batch(self) -> None:
        if self.steps == 1:
            self._write_state_back()  # callbacks may look at a model that was not built before
        for callback in self.callbacks:
            callback.on_train_batch_begin(self.batch, {})


def _listens_to_steps(callback: keras.callbacks.Callback) -> bool:
    """Return True for a callback that does something at the end of a step."""
    base = keras.callbacks.Callback
    methods = callback.on_train_batch_end, callback.on_batch_end
    return any(
        getattr(method, "__func__", None) is not plain
        for method, plain in zip(methods, (base.on_train_batch_end, base.on_batch_end), strict=True)
    )
