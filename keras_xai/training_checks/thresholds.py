"""The thresholds of the rules of `TrainingChecks`: the table, and the check of what a user gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from keras_xai.errors import InvalidInput, unknown
from keras_xai.training_records import RULES


class Threshold(NamedTuple):
    """One number of a rule."""

    value: float  # the default
    low: float  # the smallest number that it may be
    high: float  # the largest
    is_whole: bool
    meaning: str


# The number under the name of a rule decides it; `thresholds={rule: None}` switches the rule off.
TABLE: Mapping[str, Threshold] = {
    "loss not decreasing": Threshold(
        0.001, 0, 1, False, "part of the loss by which its lowest must fall within `loss updates`"
    ),
    "loss updates": Threshold(10, 2, 10**6, True, "updates over which the loss is looked at"),
    "loss rise": Threshold(0.05, 0, math.inf, False, "part of what the loss had fallen by that it may lose again"),
    "overfit": Threshold(0.10, 0, math.inf, False, "rise of val_loss above its lowest, as a part of that"),
    "overfit updates": Threshold(
        5, 1, 10**6, True, "validations since the lowest val_loss, all of them above the threshold"
    ),
    "unscaled input": Threshold(10, 0, math.inf, False, "root mean square of pixels, voxels or steps"),
    "unscaled column": Threshold(100, 0, math.inf, False, "root mean square of a column of a table"),
    "column ratio": Threshold(1000, 1, math.inf, False, "of the largest to the smallest root mean square of a column"),
    "class imbalance": Threshold(10, 1, math.inf, False, "rows of the commonest class to those of the rarest"),
    "neglected class": Threshold(0.7, 0, 1, False, "part of the rows of a class that are predicted wrongly"),
    "neglected updates": Threshold(5, 1, 10**6, True, "updates running"),
    "saturated activation": Threshold(
        0.9, 0, 1, False, "part of a layer's activations within 0.01 of a bound of its sigmoid or tanh"
    ),
    "dead units": Threshold(0.9, 0, 1, False, "part of a ReLU layer's units that are zero for every row"),
    "activation updates": Threshold(3, 1, 10**6, True, "updates running, of saturated activation and dead units"),
    "poor initialisation": Threshold(
        5, 1, math.inf, False, "loss of the untrained model to that of guessing, on the probe"
    ),
    "initial signal": Threshold(
        1e-3, 0, 1, False, "of the smallest to the largest standard deviation of a layer in the untrained model"
    ),
}

Thresholds = Mapping[str, float]
THRESHOLDS: Thresholds = {name: threshold.value for name, threshold in TABLE.items()}


def checked(thresholds: object) -> tuple[dict[str, float], frozenset[str]]:
    """Return all thresholds, and the rules that are switched off.

    Args:
        thresholds: other numbers by name, None to switch a rule off; None for the defaults.

    Raises:
        InvalidInput: no dict, an unknown name, a number out of its range.

    Example:
        >>> limits, off = checked({"overfit": 0.2, "class imbalance": None})
        >>> limits["overfit"], off
        (0.2, frozenset({'class imbalance'}))
    """
    if thresholds is None:
        return dict(THRESHOLDS), frozenset()
    if not isinstance(thresholds, Mapping):
        raise InvalidInput(f"thresholds={thresholds!r}: expected a dict like {{'overfit': 0.2}}.")
    limits, off = dict(THRESHOLDS), set()
    for name, value in thresholds.items():
        if name not in TABLE:
            raise unknown("threshold", name, TABLE)
        if value is None and name in RULES:
            off.add(name)
            continue
        limits[name] = _checked(name, value)
    return limits, frozenset(off)


def _checked(name: str, value: object) -> float:
    threshold = TABLE[name]
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    if not (math.isfinite(number) and threshold.low <= number <= threshold.high) or (
        threshold.is_whole and number != int(number)
    ):
        kind = "a whole number" if threshold.is_whole else "a number"
        to = f" to {threshold.high:g}" if math.isfinite(threshold.high) else ""
        raise InvalidInput(
            f"thresholds: {name!r} is {value!r}, expected {kind} from {threshold.low:g}{to}: {threshold.meaning}."
        )
    return number
