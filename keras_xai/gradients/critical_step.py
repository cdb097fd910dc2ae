"""The multiple of an optimizer's step at which the loss of its own batch is back where it was: the search, by loss values alone.

Kalra et al. 2026, "A scalable measure of loss landscape curvature for analyzing the training dynamics of LLMs"
(arXiv 2601.16979), find it by doubling and bisection, with forward passes and no second derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from keras_xai.records import STEP_LIMITS

RESOLUTION = 2.0**0.25  # between the ends of the last interval: its middle is within 9 % of the truth
# A loss counts as risen where it exceeds its start by more than this share of it: what rounding does to a mean over a batch.
ROUNDING = 1e-6
ROUNDING_IN_HALF = 1e-3  # with float16 or bfloat16 in the forward pass


class CriticalStep(NamedTuple):
    """The critical multiple of one step."""

    multiple: float  # of the step; a limit of `records.STEP_LIMITS` stands for all that lies beyond it
    loss: float  # before the step
    passes: int  # forward passes that it took


def critical_step(
    loss_at: Callable[[float], float], start: float = 1.0, rounding: float = ROUNDING
) -> CriticalStep | None:
    """Find the multiple α of a step Δ at which L(w + αΔ) rises above L(w).

    From `start` α is doubled while the loss is not above its start, else halved until it is not; then the interval is bisected
    on a logarithmic scale. Of a loss that rises, falls and rises again it finds one of the places where it rises. A loss that
    is not finite counts as risen.

    For plain gradient descent with learning rate η on a quadratic loss it is 2 ‖g‖² / (η gᵀHg): 2 / (ηλ) where the gradient g is
    an eigenvector with eigenvalue λ of the Hessian H.

    Args:
        loss_at: returns the loss at w + αΔ.
        start: of the search, such as the multiple that was found last.
        rounding: the share of the loss that counts as no change.

    Returns:
        None where the loss before the step is not finite.
    """
    loss = loss_at(0.0)
    if not math.isfinite(loss):
        return None
    ceiling, passes = loss + rounding * abs(loss), 1

    def rises(multiple: float) -> bool:
        nonlocal passes
        passes += 1
        return not loss_at(multiple) <= ceiling

    low, high = _bracket(rises, start)
    while low > 0 and high < math.inf and high / low > RESOLUTION * (1 + 1e-9):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rises(middle) else (middle, high)
    if low == 0:
        return CriticalStep(STEP_LIMITS[0], loss, passes)
    return CriticalStep(STEP_LIMITS[1] if high == math.inf else math.sqrt(low * high), loss, passes)


def _bracket(rises: Callable[[float], bool], start: float) -> tuple[float, float]:
    """Return neighbouring powers of two between which the loss rises: (0, …) below the limits, (…, ∞) beyond them."""
    lowest, highest = STEP_LIMITS
    multiple = 2.0 ** round(math.log2(min(max(start, lowest), highest)))
    if rises(multiple):
        while multiple > lowest:
            multiple /= 2
            if not rises(multiple):
                return multiple, 2 * multiple
        return 0.0, multiple
    while multiple < highest:
        multiple *= 2
        if rises(multiple):
            return multiple / 2, multiple
    return multiple, math.inf
