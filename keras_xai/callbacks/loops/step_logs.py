"""The logs of an epoch of a user's own loop: means over its steps, or what Keras' own metrics say at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_xai.errors import InvalidInput

# So many steps' logs are read at a time: to read those of the last step waits for the device.
READ_AT_ONCE = 64


class StepLogs:
    """The means of the numbers that the steps of an epoch report; of metrics that are means already, the last ones."""

    def __init__(self) -> None:
        self._unread: list[Mapping[str, Any]] = []
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, logs: Mapping[str, Any]) -> None:
        """Add the logs of a step; tensors may still be in the making."""
        if not logs:
            return
        self._unread.append(logs)
        if len(self._unread) >= READ_AT_ONCE:
            self._read()

    def replace(self, logs: Mapping[str, Any]) -> None:
        """Take these logs in place of those so far."""
        self._unread, self._sums, self._counts = [logs], {}, {}

    def means(self) -> dict[str, float]:
        """Return the mean of each number over the steps that reported it."""
        self._read()
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def _read(self) -> None:
        for logs in self._unread:
            for name, number in single_numbers(logs).items():
                self._sums[name] = self._sums.get(name, 0.0) + number
                self._counts[name] = self._counts.get(name, 0) + 1
        self._unread = []


def single_numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries that are single numbers: Python's, NumPy's, or tensors of any framework."""
    numbers = {}
    for name, value in logs.items():
        array = np.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else np.asarray(value)
        if array.size == 1 and (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            numbers[str(name)] = float(array.reshape(()))
    return numbers


def checked_logs(logs: Any) -> Mapping[str, Any]:
    """Return logs that a user gave; {} for None.

    Raises:
        InvalidInput: no dict, or an entry that is no single number.
    """
    if logs is None:
        return {}
    if not isinstance(logs, Mapping):
        raise InvalidInput(
            f"logs: got a {type(logs).__name__}, expected a dict of numbers by name, like {{'loss': loss}}."
        )
    for name, value in logs.items():
        shape = getattr(value, "shape", None)
        is_single = isinstance(value, (int, float)) if shape is None else math.prod(shape) == 1
        if not is_single:
            received = type(value).__name__ if shape is None else f"the shape {tuple(shape)}"
            raise InvalidInput(
                f"logs: {name!r} has {received}, expected a single number: a float, or an array of one entry."
            )
    return logs
