"""The critical step of the sampled steps of a fit, measured right behind each."""

from __future__ import annotations

import keras
import numpy as np

from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Program
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.recorder import GradientRecorder, StepTaken
from keras_xai.gradients import step_loss
from keras_xai.gradients.critical_step import ROUNDING, ROUNDING_IN_HALF, CriticalStep, critical_step


class StepSizer:
    """Measures how far the recorded steps of one model could have gone.

    Args:
        model: in training.
        recorder: of its gradients, which keeps the steps.
        is_alone: this process trains the model alone.
    """

    def __init__(self, model: keras.Model, recorder: GradientRecorder, *, is_alone: bool = True) -> None:
        self._model, self._recorder = model, recorder
        self._reason = step_loss.obstacle(model) if is_alone else step_loss.IN_PROCESSES
        recorder.keeps_steps = not self._reason
        self._program: Program | None = None
        self._rounding = ROUNDING
        self._last = 1.0
        self._measured: list[CriticalStep] = []
        self._skipped = ""  # why the last step that was not measured was not

    def measure(self) -> None:
        """Measure the step that was just recorded; a fault is the reason why there is no figure, and ends the measuring."""
        step = self._recorder.take_step()  # also where it is not measured: it holds copies of the weights
        if self._reason:
            return
        try:
            self._measure(step)
        except Exception as fault:
            first_line = (str(fault).strip().splitlines() or [""])[0]
            self._reason = f"the loss of a batch could not be evaluated: {type(fault).__name__}: {first_line}"

    def _measure(self, step: StepTaken | None) -> None:
        if step is None:
            self._reason = self._recorder.step_obstacle
            return
        if not any(_differ(old, new) for old, new in zip(step.before, step.after, strict=True)):
            self._skipped = step_loss.UNMOVED
            return
        if self._program is None:
            self._program = self._recorder.step_program(step_loss.loss_of(self._model))
            self._rounding = ROUNDING_IN_HALF if step_loss.computes_in_half(self._model) else ROUNDING
        program, numpy = self._program, get_backend().numpy

        def loss_at(multiple: float) -> float:
            return float(numpy(program(step_loss.scalar(multiple), step)))

        with python_state_kept(self._model):
            measured = critical_step(loss_at, self._last, self._rounding)
        if program.lasting_effects:
            self._reason = f"the forward pass {program.lasting_effects}"
        elif measured is None:
            self._skipped = step_loss.NOT_FINITE
        else:
            self._measured.append(measured)
            self._last = measured.multiple

    def take(self) -> tuple[list[CriticalStep], str]:
        """Return what was measured since the last call, and why nothing was, "" where something was."""
        measured, self._measured = self._measured, []
        reason = "" if measured else self._reason or self._recorder.reason or self._skipped or step_loss.NO_STEPS
        self._skipped = ""
        return measured, reason


def _differ(old: object, new: object) -> bool:
    numpy = get_backend().numpy
    return bool(np.any(numpy(keras.ops.any(keras.ops.not_equal(old, new)))))
