"""The progress of a call, for those who wait."""

from __future__ import annotations

import time

import keras

from keras_xai.errors import InvalidInput

SECONDS_BEFORE_BAR = 2.0  # before it shows by itself
clock = time.perf_counter


class Progress:
    """Counts the passes of a call, and shows them as a bar: from the start, never, or once it has taken two seconds.

    A call goes chunk by chunk, and a chunk in loops of passes inside one compiled program; the loops report as they go, about
    twenty times each, so that a single chunk with thousands of passes is seen to move too. (Under XLA nothing can be heard
    from inside a graph: there the bar moves with the chunks.)

    Args:
        verbose: True, False, or "auto".

    Raises:
        InvalidInput: anything else.
    """

    def __init__(self, verbose: bool | str) -> None:
        if verbose not in (True, False, "auto"):
            raise InvalidInput(f"verbose={verbose!r}: expected True, False or 'auto'.")
        self.silent = not verbose
        self._delay = SECONDS_BEFORE_BAR if verbose == "auto" else 0.0
        self._began = clock()
        self.begin(1)

    def begin(self, chunks: int, passes: int = 1) -> None:
        """Begin a call, or its second part.

        Args:
            chunks: of the call.
            passes: of each chunk.
        """
        self._chunks, self._passes = chunks, passes
        self._chunk, self._pass = 0, 0  # that are done
        self._bar: keras.utils.Progbar | None = None

    def report(self, passes: int) -> None:
        """Count so many passes more inside this chunk."""
        self._pass = min(self._pass + passes, self._passes - 1)  # the chunk is done when its values are on the host
        self._show()

    def chunk_done(self) -> None:
        """Count one chunk more."""
        self._chunk, self._pass = self._chunk + 1, 0
        self._show()

    def _show(self) -> None:
        if self.silent:
            return
        done, target = self._chunk * self._passes + self._pass, self._chunks * self._passes
        if self._bar is None:
            # A bar that is full when it first shows tells nobody anything.
            if clock() - self._began < self._delay or (self._delay and done == target):
                return
            self._bar = keras.utils.Progbar(target, unit_name="pass")
        self._bar.update(done)
