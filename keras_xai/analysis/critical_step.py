"""The critical step in words."""

from __future__ import annotations

import math

from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import short
from keras_xai.recorded import Recorded
from keras_xai.records import STEP_LIMITS

EDGE = 2.0  # up to here a step is at the edge
USUAL = 8.0  # and up to here a learning rate is a usual one


def step_words(multiple: float) -> str:
    """Return what a critical step says.

    Example:
        >>> step_words(70.2), step_words(1.4)
        ('70 times this step could be taken', 'at the edge: 1.4 times this step')
    """
    lowest, highest = STEP_LIMITS
    if math.isnan(multiple):
        return "not measured"
    if multiple >= highest:
        return f"{short(highest)} times this step or more could be taken"
    if multiple <= lowest:
        return f"beyond the edge: even {short(lowest)} of this step raises the loss of its batch"
    digits = short(float(f"{multiple:.2g}"))
    if multiple < 1:
        return f"beyond the edge: {digits} of this step"
    if multiple <= EDGE:
        return f"at the edge: {digits} times this step"
    return f"{digits} times this step could be taken"


def step_sentence(run: Recorded, update: int | None = None) -> str:
    """Return a sentence on the critical step at an update, by default the last; "" where it was not asked for."""
    records = run.critical_step
    if not records:
        return ""
    record = records[position([r.update for r in records], update)]
    if record.missing:
        return f"The critical step is not measured: {record.missing}."
    value = record.critical
    words = step_words(value)
    if value < 1:
        advice = "the step raised the loss of its own batch, so that a smaller learning rate may be better"
    elif value <= EDGE:
        advice = "a larger one would raise the loss of its batch"
    elif value <= USUAL:
        advice = "a usual distance from the edge"
    else:
        advice = "if the loss falls slowly, try a larger learning rate"
    return f"{words[:1].upper()}{words[1:]}: {advice}."
