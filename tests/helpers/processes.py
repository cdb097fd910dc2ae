"""Processes of one training, played by threads: each trains a model of its own, and all exchange messages as a team does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from keras_xai.backend.team import Team

TIMEOUT = 240  # seconds, after which a process that waits for another one is a failed test


class Processes:
    """`size` threads that take part in the same exchanges.

    Attributes:
        exchanges: number of exchanges so far.
    """

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self.exchanges = 0
        self._barrier = threading.Barrier(size, timeout=TIMEOUT)
        self._messages: list[bytes] = [b""] * size
        self._rank = threading.local()

    @property
    def rank(self) -> int:
        """Of the thread that asks."""
        return int(self._rank.value)

    def team(self, model: Any = None) -> Team:
        """The team as the thread that asks sees it; stands in for a backend's `team`."""
        rank = self.rank

        def gather(message: bytes) -> list[bytes]:
            self._messages[rank] = message
            self._barrier.wait()
            messages = list(self._messages)
            assert len({len(message) for message in messages}) == 1
            if self._barrier.wait() == 0:
                self.exchanges += 1
            return messages

        return Team(rank, self.size, gather)

    def run(self, function: Callable[[int], Any]) -> list[Any]:
        """Call a function of the rank in every process, and return what each returns, or raises."""
        outcomes: list[Any] = [None] * self.size

        def process(rank: int) -> None:
            self._rank.value = rank
            try:
                outcomes[rank] = function(rank)
            except BaseException as error:
                outcomes[rank] = error

        threads = [threading.Thread(target=process, args=(rank,), daemon=True) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * TIMEOUT)
        assert not any(thread.is_alive() for thread in threads), "a process hangs"
        return outcomes
