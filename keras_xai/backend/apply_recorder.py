"""The common part of recorders that hook the optimizers' `apply`, whatever the framework.

A subclass says how a call is read before it is made and added to the sums after it, and what its recording function is.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.embedding_tables import embedding_tables
from keras_xai.backend.gradient_table import GradientTable, Variable, merge_sums
from keras_xai.backend.protocol import Program
from keras_xai.backend.recorder import NotCaptured, StepTaken, Tensor, TrainFunction

T = TypeVar("T")


class Sums(Protocol):
    """Running sums over recorded optimizer calls of some variables, on the device."""

    variables: list[Variable]
    counts_exponents: bool  # False where the device cannot count them

    def read(self) -> NDArray[np.float64]:
        """Return the sums (V + 1, WIDTH); the last row has those of the calls themselves."""

    def reset(self) -> None:
        """Start again from zero."""


class RecordedPairs(NamedTuple):
    """The arguments of one call of an optimizer's `apply`, for the variables that are recorded."""

    variables: list[Variable]  # those that have a gradient
    gradients: list[Tensor]  # one for each of them
    all_gradients: list[Tensor | None]  # of the whole call


# Adds a call to the sums; called after it.
AddCall = Callable[[], None]


class ApplyRecorder(abc.ABC):
    """Records the calls of the optimizers that a recording function makes.

    Args:
        model: a model that has its train function.
        plain: the model's own train function.
        announce: called with the number of variables before a recording function is compiled, which takes long.
    """

    failure = "the gradients of a step could not be read"  # begins the reason of an unexpected exception
    # The gradient of an embedding names the rows that a batch used: its tables need not be looked for.
    names_rows = False

    def __init__(self, model: keras.Model, plain: TrainFunction, announce: Callable[[int], None]) -> None:
        self.reason = ""
        self.seconds_built = 0.0
        self.relative_size = 1.0
        self.repeats_steps = False
        self._model = model
        self._plain = plain
        self._announce = announce
        self._is_selected: Callable[[Variable], bool] = lambda variable: False
        self._recording: TrainFunction | None = None
        self._apply_calls = 0  # heard so far
        self._records_calls = False  # the sums for `record_call` are there
        self._tables: list[Sums] = []
        self._sparse: set[int] = set()
        self.step_obstacle = ""
        self._keeps_steps = False
        self._step: StepTaken | None = None

    @property
    def keeps_steps(self) -> bool:
        """True where the last recorded step is kept."""
        return self._keeps_steps

    @keeps_steps.setter
    def keeps_steps(self, value: bool) -> None:
        if value != self._keeps_steps:
            self._keeps_steps, self._step = value, None
            self._recording = None

    def take_step(self) -> StepTaken | None:
        """Return the last recorded step, and forget it; None where none was kept."""
        step, self._step = self._step, None
        return step

    def select(self, is_selected: Callable[[Variable], bool]) -> None:
        """Record these variables from the next recording function on; the sums so far are lost."""
        self._is_selected = is_selected
        self._recording = None
        self._records_calls = False

    def read(self) -> GradientTable:
        """Return the sums of all calls of recording functions since the last `reset`."""
        tables = [(table.variables, table.read()) for table in self._tables]
        has_octaves = all(table.counts_exponents for table in self._tables)
        return merge_sums(tables, frozenset(self._sparse), has_octaves)

    def reset(self) -> None:
        """Start again from zero."""
        for table in self._tables:
            table.reset()

    def record_call(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make and record a call of an optimizer that runs outside of a train function, eagerly: an `ApplyHook`."""
        if not self._records_calls and not self.reason:
            self._records_calls = True
            with self._faults_noted():
                self._start_tables()
        return self._record_eager_call(optimizer, gradients, variables, update)

    def _record_eager_call(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Do what `record_call` says, once the sums are there."""
        return self._record_apply(optimizer, gradients, variables, update)

    # The framework's part.

    @abc.abstractmethod
    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records; see `GradientRecorder`."""

    @abc.abstractmethod
    def step_program(self, function: Callable[..., Any]) -> Program:
        """Make a program of a function of tensors that runs the model on given values of its variables."""

    @abc.abstractmethod
    def _new_sums(self, variables: Sequence[Variable]) -> Sums:
        """Return sums for these variables, all zero."""

    @abc.abstractmethod
    def _read_before(self, sums: Sums, pairs: RecordedPairs, optimizer: keras.optimizers.Optimizer) -> AddCall:
        """Read what a call may change, before it is made."""

    @abc.abstractmethod
    def _is_sparse(self, gradient: Tensor) -> bool:
        """Return True for a gradient that names the rows of a variable that it is of."""

    def _is_traced(self) -> bool:
        """Return True while a step is traced: it can be given up, for nothing has run yet."""
        return False

    # The optimizers' calls.

    def _start_tables(self) -> None:
        """Make the sums of the model's variables: before a step, where some frameworks make no variables."""
        self._tables = []
        self._sparse = set() if self.names_rows else {id(table) for table in embedding_tables(self._model)}
        variables = [variable for variable in self._model.trainable_variables if self._is_selected(variable)]
        if variables:
            self._tables.append(self._new_sums(variables))
        self._announce(len(variables))

    def _record_apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Make one call of an optimizer and record it: an `ApplyHook`."""
        add_call: AddCall | None = None
        with self._faults_noted():
            add_call = self._begin_call(optimizer, gradients, variables)
        result = update()
        with self._faults_noted():
            if add_call is not None:
                add_call()
        return result

    def _begin_call(
        self, optimizer: keras.optimizers.Optimizer, gradients: list[Any], variables: Sequence[Variable]
    ) -> AddCall | None:
        """Read the state before a call; None where no variable of it is recorded."""
        if self.reason:
            return None
        self._apply_calls += 1
        selected = [variable for variable in variables if self._is_selected(variable)]
        if not selected:
            return None
        sums = self._sums_of(selected)
        return self._read_before(sums, self._pairs(variables, gradients), optimizer)

    def _pairs(self, variables: Sequence[Variable], gradients: list[Tensor | None]) -> RecordedPairs:
        """Return the recorded variables that have a gradient, and note which gradients are sparse."""
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None and self._is_selected(variable)
        ]
        self._sparse |= {id(variable) for gradient, variable in pairs if self._is_sparse(gradient)}
        return RecordedPairs([variable for _, variable in pairs], [gradient for gradient, _ in pairs], gradients)

    def _sums_of(self, variables: Sequence[Variable]) -> Sums:
        """Return a table of sums that has a row for all these variables; a new one where there is none."""
        keys = {id(variable) for variable in variables}
        for table in self._tables:
            if keys <= {id(variable) for variable in table.variables}:
                return table
        self._tables.append(self._new_sums(variables))
        return self._tables[-1]

    @contextlib.contextmanager
    def _faults_noted(self) -> Iterator[None]:
        """Make an exception inside the reason that ends the recording: a trace is given up, a running step goes on."""
        try:
            yield
        except Exception as fault:
            self._note(fault)
            if self._is_traced():
                raise NotCaptured(self.reason) from fault

    def _note(self, fault: Exception) -> None:
        """Set `reason` by the first exception."""
        if self.reason:
            return
        if isinstance(fault, NotCaptured):
            self.reason = str(fault)
            return
        first_line = (str(fault).strip().splitlines() or [""])[0]
        self.reason = f"{self.failure}: {type(fault).__name__}: {first_line}"
