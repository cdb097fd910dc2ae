"""Flags from conditions: since which epoch a condition holds, and in enough records running to be a flag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keras_xai.records import Flag

Key = tuple[str, str]  # what the flag is about (a variable, a layer, "model"), and its kind


class _Run(NamedTuple):
    since: int  # epoch of the first record
    records: int  # so far


class FlagTracker:
    """Follows conditions from record to record.

    Args:
        running: how many records running a condition must hold until it is a flag, by kind; 1 for the others.

    Example:
        >>> tracker = FlagTracker({"dead": 2})
        >>> tracker.update(0, {("dense/kernel", "dead"): True})
        []
        >>> tracker.update(5, {("dense/kernel", "dead"): True})
        [Flag(name='dense/kernel', kind='dead', since=0)]
    """

    def __init__(self, running: Mapping[str, int]) -> None:
        self._running = running
        self._runs: dict[Key, _Run] = {}

    def update(self, epoch: int, conditions: Mapping[Key, bool]) -> list[Flag]:
        """Return the flags that stand after this record, in the order of the conditions.

        Args:
            epoch: of the record.
            conditions: by key, True where the condition holds. One that is missing is no flag of this record, and its records
                running are as before.
        """
        flags: list[Flag] = []
        for key, holds in conditions.items():
            if not holds:
                self._runs.pop(key, None)
                continue
            since, records = self._runs.get(key, _Run(epoch, 0))
            self._runs[key] = _Run(since, records + 1)
            if self._is_flag(key):
                flags.append(Flag(*key, since))
        return flags

    def continue_from(self, flags: Iterable[Flag]) -> None:
        """Replace the flags that stand by those of a record; conditions that are no flags yet are kept."""
        self._runs = {key: run for key, run in self._runs.items() if not self._is_flag(key)}
        for name, kind, since in flags:
            self._runs[name, kind] = _Run(since, self._running.get(kind, 1))

    def _is_flag(self, key: Key) -> bool:
        return self._runs[key].records >= self._running.get(key[1], 1)
