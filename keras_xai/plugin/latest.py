"""A cache of limited size, which drops the least recently used values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Latest(Generic[V]):
    """A least-recently-used cache, safe for threads; the last value is kept even if it is larger than the cache.

    Args:
        room: the sum of the sizes of all values, at most.
    """

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()  # requests come in threads

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        """Return the value of a key, None where the cache does not hold it; it becomes the most recently used."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: V, size: int = 1) -> V:
        """Store a value and return it; drop the least recently used ones until there is room.

        Args:
            key: whose earlier value is replaced.
            value: to store.
            size: in the unit of `room`.
        """
        with self._lock:
            self.taken += size - self._values.pop(key, (value, 0))[1]
            self._values[key] = value, size
            while self.taken > self.room and len(self._values) > 1:
                self.taken -= self._values.popitem(last=False)[1][1]
        return value
