"""A stand-in for the train function of a running `fit`, through which sampled steps are recorded.

In a loop of the user's own it records the calls of the optimizers that the loop makes, too.

At each call it chooses between two functions: for a sampled step the one that records (`backend.recorder`), for all others
the model's own, so that these cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.building_time import seconds_built
from keras_xai.backend.gradient_table import WIDTH, Variable, merge_tables
from keras_xai.backend.recorder import GradientRecorder, Tensor, TrainFunction
from keras_xai.backend.row_watch import LoggedRows, RowFunction, RowWatch
from keras_xai.backend.team import ALONE, Team
from keras_xai.gradients.cost import CallTimes, RecordingCost
from keras_xai.gradients.critical_step import CriticalStep
from keras_xai.gradients.selection import Selection
from keras_xai.gradients.step_loss import NO_STEPS, OWN_LOOP
from keras_xai.gradients.step_sizes import StepSizer
from keras_xai.gradients.variables import is_recordable, variable_path
from keras_xai.loop_params import LoopParams
from keras_xai.running import is_running

T = TypeVar("T")
clock = time.perf_counter
ANNOUNCED_VARIABLES = 100  # with so many or more the compilation takes seconds, and is announced

# Reasons why nothing is recorded in a loop of the user's own.
UNHEARD = (
    "the loop calls no optimizer's apply() that can be heard: it updates the weights in a compiled function, by stateless_apply()"
    " or by an optimizer that is not of Keras"
)
IN_TRACE = "the loop calls its optimizer inside a compiled function, which runs the Python code around it only once"
WITHOUT_WATCH = (
    "step() of a callback hears train_on_batch() alone, and no optimizer: put the loop into a block of"
    " kx.watch(model, callback), which hears what trains the model"
)


@dataclass
class RecordedGradients:
    """The sums of some steps: `sums[v]` are the columns of `variables[v]`, see `backend.gradient_table.COLUMNS`."""

    update: int
    variables: Sequence[Variable] = ()
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, WIDTH)))
    sparse: frozenset[int] = frozenset()  # ids of the variables whose gradient names rows, as that of an embedding does
    executions: int = 0  # calls of the train function
    steps: int = 0  # optimizer calls
    skipped: int = 0  # calls that the optimizer skipped, because loss scaling had overflowed
    has_octaves: bool = True  # False where the device cannot count them
    reason: str = ""  # why gradients cannot be recorded, "" where they can
    critical_steps: Sequence[CriticalStep] = ()  # of the recorded steps, where they were measured
    unmeasured: str = ""  # why no critical step was measured


def joined(parts: Sequence[RecordedGradients]) -> RecordedGradients:
    """Return the sums of consecutive parts of a window as one; of a single part as they are."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    table = merge_tables(parts)
    return RecordedGradients(
        last.update,
        executions=sum(part.executions for part in parts),
        reason=last.reason,
        critical_steps=[step for part in parts for step in part.critical_steps],
        unmeasured=last.unmeasured,
        **table._asdict(),
    )


class TrainFunctionTap:
    """Stands in for the train function of `model` during a fit; one tap serves all callbacks that record.

    Before each step (`on_train_batch_begin`) every subscriber calls `expect_step`, and says whether the step is to be
    recorded. A call that no subscriber expected belongs to another fit, into which an aborted one left the tap behind: it
    runs the model's own function and detaches the tap.

    Args:
        model: a model that has its train function.
        fit: Keras' `params`, one object a fit.

    Attributes:
        plain: the model's own train function.
        calls: of the train function, in fits that are recorded. The last one of an epoch may find no more data.
        is_traced: a loop's optimizer was called while its Python code was traced.
        announce: prints a sentence before something that takes long; None for silence.
        team: the processes that train the model together: all record a step, or none does.
    """

    def __init__(self, model: keras.Model, fit: object = None) -> None:
        self.model = model
        self.fit = fit
        self.plain: TrainFunction = getattr(model.train_function, "plain", model.train_function)
        self.calls = 0
        self.is_traced = False
        self.announce: Callable[[str], None] | None = None
        self.team: Team = ALONE
        self._selections: dict[Hashable, Selection] = {}  # by subscriber
        self._measurers: set[Hashable] = set()  # subscribers that want to know how far a step could have gone
        self._expected: dict[Hashable, bool] = {}  # by subscriber: True where the next step is to be recorded
        self._executions = 0
        self._collected: RecordedGradients | None = None
        # In a loop of the user's own:
        self._ran_in_step = False  # the train function
        self._recorded_in_step = False  # a call of an optimizer
        self._was_called = False  # in this epoch, an optimizer that can be heard or the train function
        self._pending: dict[Hashable, list[RecordedGradients]] = {}  # by subscriber, since its window began
        self._times = CallTimes()
        self._row_function: RowFunction | None = None  # of the subscriber that watches the rows of all steps
        self._row_watcher: Hashable = None
        self._rows: RowWatch | None = None
        self._recorder = self._new_recorder()

    def _new_recorder(self) -> GradientRecorder:
        self._recorded_for: frozenset[Selection] = frozenset()
        self._is_given_up = False  # another process of the team cannot record
        self._sizer: StepSizer | None = None
        recorder = get_backend().gradient_recorder(self.model, self.plain, self._announce_compilation)
        if self._row_function is not None:
            self._rows = get_backend().row_watch(self.model, self.plain, recorder, self._row_function)
        return recorder

    @classmethod
    def of(cls, model: keras.Model, previous: TrainFunctionTap | None = None, fit: object = None) -> TrainFunctionTap:
        """Return the tap of a model: the one in place, that of an earlier fit, whose function is traced already, or a new one.

        A fit inside a running one of the same model gets a tap of its own: their sums are not to be mixed.

        Args:
            model: a model that has its train function.
            previous: the tap of the callback's earlier fit.
            fit: Keras' `params`.
        """
        present = model.train_function
        if isinstance(present, TrainFunctionTap) and (present.fit is fit or not is_running(present.fit)):
            present.fit = fit
            return present
        plain = getattr(present, "plain", present)
        if previous is not None and previous is not present and previous.model is model and previous.plain is plain:
            previous.fit = fit
            return previous
        return cls(model, fit)

    # For the callbacks.

    def subscribe(self, subscriber: Hashable, selection: Selection, *, measures_steps: bool = False) -> None:
        """Record a selection of the variables in the fit that begins; all sums start from zero.

        Args:
            subscriber: to be named in further calls.
            selection: of the variables.
            measures_steps: measure, too, how far each recorded step could have gone.
        """
        self._selections[subscriber] = selection
        if measures_steps:
            self._measurers.add(subscriber)
        if self._sizer is not None:
            self._sizer.take()
        self._expected.clear()
        self._recorder.reset()
        self._collected, self._executions = None, 0
        self._ran_in_step = self._recorded_in_step = self._was_called = self.is_traced = False
        self._times.start_fit()
        self.attach()

    def unsubscribe(self, subscriber: Hashable) -> None:
        """End a subscriber's part; after the last one the tap is detached. Idempotent."""
        self._selections.pop(subscriber, None)
        self._expected.pop(subscriber, None)
        self._pending.pop(subscriber, None)
        self._measurers.discard(subscriber)
        if subscriber is self._row_watcher and self._rows is not None:
            self._rows.close()
            self._rows = self._row_function = self._row_watcher = None
        if not self._selections:
            self.detach()

    def attach(self) -> None:
        """Replace the model's train function by the tap, also where Keras has made another one in the middle of a fit."""
        present = self.model.train_function
        if present is self or present is None:
            return
        plain = getattr(present, "plain", present)
        if plain is not self.plain:
            self.plain = plain
            self._times.forget_functions()
            self._recorder = self._new_recorder()
        self.model.train_function = self

    def detach(self) -> None:
        """Give the model its own train function back; done between epochs, so that a fit that ends there leaves no tap."""
        if self.model.train_function is self:
            self.model.train_function = self.plain

    def expect_step(self, subscriber: Hashable, record: bool) -> None:
        """Announce that the next call of the train function belongs to the subscriber's fit, to be recorded or not."""
        self._expected[subscriber] = record
        if self.model.train_function is self.plain:  # another callback's train_on_batch has detached the tap
            self.model.train_function = self

    def begin_window(self, subscriber: Hashable) -> None:
        """Begin the steps that the subscriber's next sums are of."""
        self._pending[subscriber] = []

    def collect(self, update: int, subscriber: Hashable) -> RecordedGradients:
        """Return the sums of the subscriber's window, whoever else has collected inside it; at one update read once for all."""
        if self._collected is None or self._collected.update != update:
            table = self._recorder.read()
            self._recorder.reset()
            steps, unmeasured = self._take_steps()
            collected = RecordedGradients(
                update,
                executions=self._executions,
                reason=self._reason,
                critical_steps=steps,
                unmeasured=unmeasured,
                **table._asdict(),
            )
            self._collected, self._executions, self._was_called = collected, 0, False
            for parts in self._pending.values():
                parts.append(collected)
        return joined(self._pending.pop(subscriber, []) or [self._collected])

    def _take_steps(self) -> tuple[Sequence[CriticalStep], str]:
        """Return the critical steps that were measured, and why none was."""
        if self._sizer is None:
            return (), OWN_LOOP if isinstance(self.fit, LoopParams) else self._reason or NO_STEPS
        return self._sizer.take()

    @property
    def repeats_steps(self) -> bool:
        """True where a recorded step costs as much again."""
        return self._recorder.repeats_steps

    def take_cost(self) -> RecordingCost:
        """Return the seconds since the last call that a plain fit would not have spent."""
        return self._times.take(self._recorder.relative_size)

    # For the rows of all steps.

    def watch_rows(self, subscriber: Hashable, figures: RowFunction) -> None:
        """Log the rows of each step of the fit, until the subscriber unsubscribes.

        Args:
            subscriber: to be named in further calls; one a fit.
            figures: of the rows of a batch.
        """
        if self._rows is not None:
            self._rows.close()
        self._row_watcher, self._row_function = subscriber, figures
        self._rows = get_backend().row_watch(self.model, self.plain, self._recorder, figures)

    def take_rows(self) -> tuple[LoggedRows | None, str]:
        """Return the rows of the steps since the last call, None where nobody watches; and why none are logged, or ""."""
        return (None, "") if self._rows is None else (self._rows.read(), self._rows.reason)

    # For a loop of the user's own.

    def record_call(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Tensor | None],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make a call of an optimizer, and record it where its step is to be recorded: an `ApplyHook`."""
        self._was_called = True
        if not any(self._expected.values()) or self._reason:
            return update()
        self._select()
        self._recorded_in_step = True
        seconds_of_update = 0.0

        def timed_update() -> T:
            nonlocal seconds_of_update
            start = clock()
            result = update()
            seconds_of_update = clock() - start
            return result

        start = clock()
        result: T = self._recorder.record_call(optimizer, gradients, variables, timed_update)
        self._times.add_beside(clock() - start - seconds_of_update)
        return result

    def end_step(self) -> None:
        """Count a step of the loop, however it was made."""
        if not self._ran_in_step:
            self.calls += 1
            self._executions += self._recorded_in_step
        self._ran_in_step = self._recorded_in_step = False

    # For Keras.

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._run(arguments)
        except BaseException:  # the end of the data, which the next epoch begins after, or of the fit
            self.detach()
            raise

    def _run(self, arguments: Sequence[Any]) -> Any:
        expected, self._expected = self._expected, {}
        if not expected:
            self.detach()
            return self.plain(*arguments)
        if len(expected) < len(self._selections):  # some are left over from an aborted fit
            self._selections = {key: value for key, value in self._selections.items() if key in expected}
        built_before = self._seconds_built
        recording = self._recording_function(arguments) if any(expected.values()) else None
        start, built = clock(), self._seconds_built
        function = recording or self.plain
        if self._rows is None:
            result = function(*arguments)
        else:
            result = self._rows.run(function, arguments, is_plain=recording is None)
        seconds_built_in_call = self._seconds_built - built
        self._times.add_call(clock() - start - seconds_built_in_call, recording)
        self._times.add_build(self._seconds_built - built_before)
        if recording is not None and self._measurers:
            self._measure_step()
        self.calls += 1
        self._executions += recording is not None
        self._ran_in_step = self._was_called = True
        return result

    @property
    def _seconds_built(self) -> float:
        return self._recorder.seconds_built + (0.0 if self._rows is None else self._rows.seconds_built)

    def _measure_step(self) -> None:
        """Measure how far the step that was just recorded could have gone."""
        if self._sizer is None:
            return
        start, built = clock(), seconds_built()
        self._sizer.measure()
        seconds_on_programs = seconds_built() - built
        self._times.add_build(seconds_on_programs)
        self._times.add_beside(clock() - start - seconds_on_programs)

    def _recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the function that records, for these arguments; None where gradients cannot be recorded in all processes."""
        if self._is_given_up:
            return None
        recording = None if self._recorder.reason else self._own_recording_function(arguments)
        if not self.team.all(recording is not None):
            self._is_given_up = True
            return None
        return recording

    @property
    def _reason(self) -> str:
        """The reason why gradients cannot be recorded, "" while they can."""
        if self._recorder.reason:
            return self._recorder.reason
        if self._is_given_up:
            return "another process of the training cannot record them"
        if not isinstance(self.fit, LoopParams) or self._was_called:
            return ""
        if self.is_traced:
            return IN_TRACE
        return WITHOUT_WATCH if self.fit.began_late else UNHEARD

    def _own_recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the function that records in this process, for these arguments; None where gradients cannot be recorded."""
        if self._measurers and self._sizer is None:
            self._sizer = StepSizer(self.model, self._recorder, is_alone=self.team.size == 1)
        self._select()
        return self._recorder.recording_function(arguments)

    def _select(self) -> None:
        """Let the recorder know which variables are recorded, where that has changed."""
        selections = frozenset(self._selections.values())
        if not selections <= self._recorded_for:  # the union is recorded; each subscriber takes its own rows out of it
            self._recorded_for = selections
            self._recorder.select(self._is_selected)

    def _is_selected(self, variable: Variable) -> bool:
        path = variable_path(variable)
        return is_recordable(variable) and any(path in selection for selection in self._recorded_for)

    def _announce_compilation(self, variables: int) -> None:
        if self.announce is not None and variables >= ANNOUNCED_VARIABLES:
            self.announce(f"keras_xai: compiling the recording step ({variables} variables) …")
