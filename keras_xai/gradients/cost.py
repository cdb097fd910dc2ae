"""The cost of recording gradients, estimated from the times that calls of the train function take."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from keras_xai.backend import get_backend
from keras_xai.backend.recorder import TrainFunction


class RecordingCost(NamedTuple):
    """Seconds on the host that a plain fit would not have spent."""

    built: float  # the recording function, as a graph
    compiled: float  # and in its first run
    extra: float | None  # of sampled calls, over the median of the plain ones; None without any of these


class CallTimes:
    """Times the calls of one model's train function, plain and recording."""

    def __init__(self) -> None:
        self.forget_functions()
        self.start_fit()

    def forget_functions(self) -> None:
        """Forget the times of the functions so far: the model has another train function."""
        self.first_plain: float | None = None  # seconds of its first run, which compiles it
        self.follows_plain = False  # the plain function had run before the recording one did
        self._plain_has_run = False
        self._plain: deque[float] = deque(maxlen=101)
        self._recording: TrainFunction | None = None  # the last one that ran

    def start_fit(self) -> None:
        """Forget the costs of the fit before."""
        self.first_recording = 0.0  # seconds of the recording function's first run, 0 where it is accounted for
        self._built = 0.0
        self._sampled: list[float] = []
        self._beside: float | None = None  # seconds beside calls, None without any

    def add_beside(self, seconds: float) -> None:
        """Count time beside a call: around an optimizer in a loop of the user's own, or on measuring the step just taken."""
        self._beside = (self._beside or 0.0) + seconds

    def add_build(self, seconds: float) -> None:
        """Count time spent on building a recording function."""
        self._built += seconds

    def add_call(self, seconds: float, recording: TrainFunction | None) -> None:
        """Count a call of `recording`, or of the plain function where that is None."""
        if recording is None:
            if self._plain_has_run:
                self._plain.append(seconds)
            else:
                self.first_plain, self._plain_has_run = seconds, True
        elif recording is self._recording:
            self._sampled.append(seconds)
        else:
            self.first_recording, self.follows_plain = seconds, self._plain_has_run
            self._recording = recording

    def take(self, relative_size: float) -> RecordingCost:
        """Return the cost since the last time.

        Args:
            relative_size: operations of the recording function for each of the plain one's.
        """
        usual = float(np.median(self._plain)) if self._plain else None
        extra = None if usual is None else sum(max(0.0, seconds - usual) for seconds in self._sampled)
        if self._beside is not None:
            extra = (extra or 0.0) + self._beside
        compiled = self.compilation(usual or 0.0, relative_size)
        cost = RecordingCost(self._built, compiled or 0.0, extra)
        self._built, self._sampled, self._beside = 0.0, [], None
        if compiled is not None:
            self.first_recording = 0.0
        return cost

    def compilation(self, usual: float, relative_size: float) -> float | None:
        """Return the seconds that compiling the recording function added to the fit; None while that is not known.

        The first run of a function compiles it. If the plain function has run before, compiling took the first run of the
        recording one less a usual step. If not, that run also contains what any first step takes (starting the data pipeline,
        loading kernels), which a plain fit would have spent as well: the compilation is then estimated from the first run of
        the plain function, in proportion to their numbers of operations.

        Args:
            usual: seconds of a plain step.
            relative_size: see `take`.
        """
        if not self.first_recording or not get_backend().compiles():
            return 0.0
        if self.follows_plain:
            return max(0.0, self.first_recording - usual)
        if self.first_plain is None:
            return None  # every step was recorded so far
        return min(self.first_recording, relative_size * max(0.0, self.first_plain - usual))
