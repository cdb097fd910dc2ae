"""Watches the rows of a training: TensorFlow's `backend.row_watch.RowWatch`.

The train step's graph is built a second time with a log of its rows added, as `gradient_recorder` adds sums of its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_xai.backend.recorder import GradientRecorder, TrainFunction
from keras_xai.backend.row_watch import DISTRIBUTED, LoggedRows, RowFunction, RowWatch
from keras_xai.backend.tensorflow.gradient_recorder import StepRecorder
from keras_xai.backend.tensorflow.row_log import CAPACITY, RowLog
from keras_xai.backend.tensorflow.train_step import has_strategy


class RowRecorder:
    """Runs a train step with a log of its rows.

    Args:
        model: in training.
        plain: its train function.
        recorder: of its gradients, whose steps have their rows logged, too.
        figures: of rows.
    """

    def __init__(
        self, model: keras.Model, plain: TrainFunction, recorder: GradientRecorder, figures: RowFunction
    ) -> None:
        assert isinstance(recorder, StepRecorder)
        self._recorder = recorder
        self._log = RowLog(model, figures)
        self._steps = StepRecorder(model, plain, lambda variables: None)  # of which no variable is selected
        if has_strategy(model):
            self._log.reason = DISTRIBUTED
        else:
            recorder.log_rows(self._log)
            self._steps.log_rows(self._log, traces_of=recorder)
        self._parts: list[LoggedRows] = []
        self._calls, self._limit = 0, 1  # of the train function since the log was read, and how many it has room for

    @property
    def reason(self) -> str:
        """The reason why rows cannot be logged, "" while they can."""
        return self._log.reason or self._steps.reason

    @property
    def seconds_built(self) -> float:
        """Seconds spent so far on building functions."""
        return self._steps.seconds_built

    def run(self, function: TrainFunction, arguments: Sequence[Any], *, is_plain: bool) -> Any:
        """Return the result of a call; see `RowWatch`."""
        if is_plain and not self.reason:
            recording = self._steps.recording_function(arguments)
            if recording is not None and not self.reason:
                function = recording
        result = function(*arguments)
        self._calls += 1
        if self._calls >= self._limit and not self.reason:
            self._take()
        return result

    def _take(self) -> None:
        """Read the log, and estimate after how many calls it is half full again."""
        rows = self._log.read()
        if len(rows.digests):
            self._limit = max(1, int(CAPACITY / 2 * self._calls / (len(rows.digests) + rows.lost)))
            self._parts.append(rows)
        self._calls = 0

    def read(self) -> LoggedRows:
        """Return the rows since the last call."""
        self._take()
        parts, self._parts = self._parts, []
        return LoggedRows.joined(parts)

    def close(self) -> None:
        """End the watch: the next recording function of the gradients is built without a log."""
        self._recorder.log_rows(None)


def row_watch(model: keras.Model, plain: TrainFunction, recorder: GradientRecorder, figures: RowFunction) -> RowWatch:
    """Return a watch on the rows that train `model`; see `protocol.Backend`."""
    return RowRecorder(model, plain, recorder, figures)
