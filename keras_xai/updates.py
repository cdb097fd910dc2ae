"""Updates: the moments of a training at which the callbacks look at the model, and how they are counted.

A run counts in epochs, or in steps where a callback looks more often than once an epoch. The *number* of an update is its
epoch in the one, and in the other the number of training steps done so far.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["epoch", "step"]

UPDATES: dict[Unit, str] = {"epoch": "epochs", "step": "updates"}  # several of them, in the words of their run

BEFORE = -1  # the number of the update before the first training step


def number_of(epoch: int | None, step: int | None) -> int:
    """Return the number of an update: its step, or its epoch where it has none; `BEFORE` where it has neither."""
    if step is not None:
        return int(step)
    return BEFORE if epoch is None else int(epoch)


def moment_of(epoch: int | None, step: int | None = None) -> str:
    """Return the moment of an update as text, in the unit of its run; one that belongs to no epoch was before training.

    Example:
        >>> moment_of(3), moment_of(0, 400), moment_of(None)
        ('epoch 3', 'step 400 of epoch 0', 'before training')
    """
    if epoch is None or BEFORE in (epoch, step):
        return "before training"
    return f"epoch {epoch}" if step is None else f"step {step} of epoch {epoch}"


def named(unit: Unit, number: int) -> str:
    """Return the number of an update as text, in the unit of its run.

    Example:
        >>> named("epoch", 3), named("step", 400)
        ('epoch 3', 'step 400')
    """
    return "before training" if number == BEFORE else f"{unit} {number}"


class AtUpdate:
    """A record of one update: `epoch` as Keras counts, and `step`, the training steps done, in a run that counts in steps.

    One of the untrained model has neither.
    """

    epoch: Any
    step: Any

    @property
    def update(self) -> int:
        """The number of the update: the step, or the epoch where the run counts in epochs."""
        return number_of(self.epoch, self.step)

    @property
    def moment(self) -> str:
        """The moment of the update in words: "epoch 3", or "step 400 of epoch 0"."""
        return moment_of(self.epoch, self.step)


class OverUpdates:
    """Figures over the updates of a run (E): `epochs`, and `steps`, which is None in a run that counts in epochs."""

    epochs: Any
    steps: Any

    @property
    def unit(self) -> Unit:
        """The unit in which the run counts."""
        return "epoch" if self.steps is None else "step"

    def moment(self, index: int) -> str:
        """Return the moment of the update at an index in words: "epoch 3", or "step 400 of epoch 0"."""
        return moment_of(int(self.epochs[index]), None if self.steps is None else int(self.steps[index]))

    @property
    def updates(self) -> NDArray[np.int64]:
        """The numbers of the updates (E): the steps, or the epochs where the run counts in epochs."""
        numbers: NDArray[np.int64] = self.epochs if self.steps is None else self.steps
        return numbers
