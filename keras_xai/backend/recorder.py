"""The protocol of recording the gradients of a training: the part of the framework seam that `gradients` uses.

Each backend has its own way. TensorFlow builds the train step's graph a second time, with sums of the gradients added. JAX's
compiler would fuse the training's operations differently if sums were added, so that a second program computes the sums alone.
PyTorch calls the plain function while the optimizers' `apply` is hooked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras

from keras_xai.backend.gradient_table import GradientTable, Variable

if TYPE_CHECKING:
    from keras_xai.backend.protocol import Program

Tensor = Any  # of the framework
# As Keras makes them: on TensorFlow and torch it takes an iterator of batches, on JAX the state and the iterator.
TrainFunction = Callable[..., Any]


class NotCaptured(Exception):
    """A train step whose gradients cannot be recorded without changing the training. Says why, in words for the user."""


class StepTaken(NamedTuple):
    """A recorded step: the batch, and the values of the model's variables around it."""

    before: list[Tensor]  # of the trainable variables
    after: list[Tensor]
    others: list[Tensor]  # of the variables that are not trained, before the step: seeds among them
    metrics: list[Tensor]  # of the metrics' variables, after the step: its first one may make some
    batch: Any  # nested tensors, as the train step took them


class GradientRecorder(Protocol):
    """Makes a train function that trains as the model's own does, bit for bit, and also adds up the gradients.

    It belongs to one train function of the model's own. Gradients are those that the optimizers' `apply` gets: without the
    factor of loss scaling, summed over replicas, before clipping.

    A fault of the recorder never stops a step: `reason` says what it was, and the training goes on with the plain function.
    """

    @property
    def reason(self) -> str:
        """The reason why gradients cannot be recorded, for the user; "" while they can."""

    @property
    def seconds_built(self) -> float:
        """Seconds spent so far on building recording functions, without those that a plain fit spends as well."""

    @property
    def repeats_steps(self) -> bool:
        """True where the gradients of a recorded step are computed a second time, which takes as long as the step itself."""

    @property
    def relative_size(self) -> float:
        """Operations of the recording function for each of the plain one's, at least 1.

        It is 1 where the first call of the recording function compiles no more than that of the plain one, or where that is
        among `seconds_built`.
        """

    @property
    def keeps_steps(self) -> bool:
        """True where the last recorded step is kept, for `take_step`; set before a recording function is asked for."""

    @keeps_steps.setter
    def keeps_steps(self, value: bool) -> None: ...

    @property
    def step_obstacle(self) -> str:
        """The reason why a recorded step cannot be kept, for the user; "" where it can."""

    def take_step(self) -> StepTaken | None:
        """Return the last recorded step, and forget it; None where none was kept."""

    def step_program(self, function: Callable[..., Any]) -> Program:
        """Make a program of a function of tensors that runs the model on given values of its variables."""

    def select(self, is_selected: Callable[[Variable], bool]) -> None:
        """Record these variables from the next recording function on; the sums so far are lost."""

    def recording_function(self, arguments: Sequence[Any]) -> TrainFunction | None:
        """Return the train function that records, built for these arguments; building it runs no step.

        Where a batch has to be known for that, it is built when it is called.

        Args:
            arguments: those that Keras calls the train function with.

        Returns:
            The function, to be called in place of the plain one; None where `reason` says why there is none.

        Raises:
            Exception: of the model's own code, as without a recorder.
        """

    def record_call(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Tensor | None],
        variables: Sequence[Variable],
        update: Callable[[], Any],
    ) -> Any:
        """Return `update()`, a call of an optimizer that runs eagerly, outside of a train function; record it: an `ApplyHook`."""

    def read(self) -> GradientTable:
        """Return the sums of all calls of recording functions since the last `reset`."""

    def reset(self) -> None:
        """Start again from zero."""
