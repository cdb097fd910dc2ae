"""The protocol of watching the rows of a training: the part of the framework seam that `training_rows` uses.

Each backend has its own way. TensorFlow builds the train step's graph a second time, with a log of the rows added: the step's own
outputs. PyTorch runs the plain step, whose loss is heard. A compiled step of JAX is left alone: a second program repeats its
forward pass, from the same weights, seeds and batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.recorder import NotCaptured, Tensor, TrainFunction

# (y, y_pred) of a batch -> (n, 4) float32: label, prediction, loss and probability of the label, of each row.
RowFunction = Callable[[Any, Any], Tensor]

DIGEST, FIGURES = 2, 4  # columns of the log
COLUMNS = DIGEST + FIGURES
NO_LOSS = "the train step does not call compute_loss(), where its outputs could be read"
SEVERAL_LOSSES = "the train step calls compute_loss() more than once, and nothing says which outputs are the rows' own"
DISTRIBUTED = "the model trains on several devices, each of which has rows of its own"
NOT_NUMBERS = "the inputs hold text, or tensors that are sparse or ragged, of which there is no digest"


class LoggedRows(NamedTuple):
    """The rows of some steps, in the order in which they were trained on."""

    digests: NDArray[np.int32]  # (n, 2)
    figures: NDArray[np.float32]  # (n, 4), as a `RowFunction` has them
    lost: int = 0  # rows that the log had no room for

    @classmethod
    def of(cls, table: NDArray[np.float32], lost: int = 0) -> LoggedRows:
        """Return a log (n, 6), whose first columns hold the bits of the digests."""
        table = np.ascontiguousarray(table, np.float32).reshape(-1, COLUMNS)
        return cls(np.ascontiguousarray(table[:, :DIGEST]).view(np.int32), table[:, DIGEST:], lost)

    @classmethod
    def joined(cls, parts: Sequence[LoggedRows]) -> LoggedRows:
        """Return the rows of consecutive logs as one."""
        empty = cls.of(np.zeros((0, COLUMNS), np.float32))
        digests, figures, lost = zip(empty, *parts, strict=True)
        return cls(np.concatenate(digests), np.concatenate(figures), sum(lost))


class RowWatch(Protocol):
    """Logs the rows of each step that it runs; the training is the same with and without it, bit for bit.

    A fault never stops a step: `reason` says what it was, and the training goes on with the plain function.
    """

    @property
    def reason(self) -> str:
        """The reason why rows cannot be logged, for the user; "" while they can."""

    @property
    def seconds_built(self) -> float:
        """Seconds spent so far on building functions."""

    def run(self, function: TrainFunction, arguments: Sequence[Any], *, is_plain: bool) -> Any:
        """Return the result of a call of the train function, whose rows are logged.

        Args:
            function: the model's own, or the one that records gradients.
            arguments: of the call.
            is_plain: it is the model's own.
        """

    def read(self) -> LoggedRows:
        """Return the rows since the last call."""

    def close(self) -> None:
        """End the watch: what it added to other functions is taken away before their next call."""


def fault_words(fault: Exception) -> str:
    """Return an exception as a reason; one that says why in words for the user says it alone."""
    if isinstance(fault, NotCaptured):
        return str(fault)
    first_line = (str(fault).strip().splitlines() or [""])[0]
    return f"the figures of rows could not be computed: {type(fault).__name__}: {first_line}"
