"""A cache of what was made for a browser and may be asked for again, as far as there is room for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Latest(Generic[V]):
    """The values that were asked for last; one that needs all of the room for itself is kept alone.

    Args:
        room: for the sizes of all values together.
    """

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()  # requests come in threads

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        """Return the value, which is the last one to go from now on; None where the cache does not hold it."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: V, size: int = 1) -> V:
        """Keep a value, in the place of the one that had the key; those not asked for the longest go."""
        with self._lock:
            self.taken += size - self._values.pop(key, (value, 0))[1]
            self._values[key] = value, size
            while self.taken > self.room and len(self._values) > 1:
                self.taken -= self._values.popitem(last=False)[1][1]
        return value
