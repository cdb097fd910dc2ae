"""How far a call has come, for those who wait."""

from __future__ import annotations

import time

import keras

from keras_xai.errors import InvalidInput

PATIENCE = 2.0  # seconds before a bar shows by itself
clock = time.perf_counter


class Progress:
    """Counts the passes of a call, and shows them as a bar: from the start, never, or once it has taken two seconds.

    A call goes chunk by chunk, and a chunk in loops of passes inside one compiled graph; the loops report as they go, about
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
        self._patience = PATIENCE if verbose == "auto" else 0.0
        self._began = clock()
        self.passes = 1  # of one chunk; known once its graph is traced
        self.begin(1)

    def begin(self, chunks: int) -> None:
        """A call, or its second part, of so many chunks."""
        self._chunks, self._chunk, self._within = chunks, 0, 0
        self._bar: keras.utils.Progbar | None = None

    def heard(self, passes: int) -> None:
        """So many passes more inside this chunk."""
        self._within = min(self._within + passes, self.passes - 1)  # the chunk is done when its values are here
        self._show()

    def chunk_done(self) -> None:
        """One chunk more."""
        self._chunk, self._within = self._chunk + 1, 0
        self._show()

    def _show(self) -> None:
        if self.silent:
            return
        done, target = self._chunk * self.passes + self._within, self._chunks * self.passes
        if self._bar is None:
            # A bar that is full when it first shows tells nobody anything.
            if clock() - self._began < self._patience or (self._patience and done == target):
                return
            self._bar = keras.utils.Progbar(target, unit_name="pass")
        self._bar.update(done)
