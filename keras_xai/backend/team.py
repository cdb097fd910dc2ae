"""The processes that train one model together, and what they agree on.

A program on the devices of several processes runs once all of them have started it. So every process runs the same callbacks,
and whatever decides which programs run, or whether training goes on, is one decision: the chief's. For the same reason a fault in
one process has to become a fault of all before the next program: if it left the hook alone, the others would wait for it.

Every message is one exchange in which all processes take part, in the same order. It says whether its sender is well, so that a
process that has failed is heard by the others in whichever exchange comes next, and all leave the hook at this point.
"""

from __future__ import annotations

import base64
import contextlib
import contextvars
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from keras_xai.errors import FailedElsewhere, InvalidInput, RefusedElsewhere

# Sends bytes to all processes, and returns those of all in the order of their ranks; all are of one length.
Gather = Callable[[bytes], list[bytes]]
Facts = Callable[[Exception], Mapping[str, Any]]
V = TypeVar("V")

FRAME = 512  # bytes of an exchange; of a longer message the rest follows in a second one


class Failure(NamedTuple):
    """A fault, as the processes tell each other of it."""

    process: int  # rank
    kind: str  # name of the exception's class
    text: str
    is_refusal: bool  # an `InvalidInput`
    facts: Mapping[str, Any]  # of the process that failed, see `Team.together`

    def __str__(self) -> str:
        return f"process {self.process}: {self.kind}: {self.text}"


class _Leave(BaseException):
    """Leads out of a `together` block in which another process failed; no `Exception`, which code in it may catch."""


class Team:
    """The processes that train one model together.

    Args:
        rank: number of this process; 0 is the chief.
        size: number of processes.
        gather: None for a single process.

    Attributes:
        failure: the fault with which all have left a `together` block, None where the last one ended well.
    """

    def __init__(self, rank: int = 0, size: int = 1, gather: Gather | None = None) -> None:
        self.rank = rank
        self.size = size
        self.failure: Failure | None = None
        self._gather = gather
        self._is_leaving = False  # this block: an exchange in it said that a process has failed
        self._common: Exception | None = None  # the last one that was raised out of a block: all know of it
        self._broken = ""  # why nobody can be asked any more

    @property
    def is_chief(self) -> bool:
        """True for the one process that writes files, and whose warnings the user reads."""
        return self.rank == 0

    @property
    def is_broken(self) -> bool:
        """True where an exchange itself has failed: nobody can be asked any more."""
        return bool(self._broken)

    def agreed(self, value: V) -> V:
        """Return the chief's value on every process: numbers, text, arrays, or lists and dicts of them."""
        if self._gather is None:
            return value
        return self._values(value if self.is_chief else None)[0]

    def same(self, digest: str) -> bool:
        """Return True where all processes hold the same text."""
        return self._gather is None or len(set(self._values(digest))) == 1

    def meet(self) -> None:
        """Wait for the others; leads out of the `together` block where one of them has failed."""
        if self._gather is not None:
            self._values(None)

    def all(self, holds: bool) -> bool:
        """Return True where it holds in all processes; asked between the blocks. False where nobody can be asked any more."""
        if self._gather is None or self.is_broken:
            return holds and not self.is_broken
        try:
            return all(self._values(holds))
        except Exception:
            return False

    @contextlib.contextmanager
    def together(self, facts: Facts | None = None) -> Iterator[None]:
        """Let a fault of one process in this block be a fault of all: all leave it at the same exchange.

        Args:
            facts: returns what the others have to know of a fault of this process, as values of JSON.

        Raises:
            FailedElsewhere: it was another process's.
        """
        self.failure = None
        if self._gather is None:
            yield
            return
        fault: Exception | None = None
        try:
            yield
            self.meet()
        except _Leave:
            pass
        except Exception as error:
            fault = error
        if fault is not None and fault is self._common:  # raised out of a block in this one
            raise fault
        if fault is not None and not self._is_leaving and not self.is_broken:
            self._announce(fault, facts)
            self._is_leaving, self._common = False, fault
            raise fault
        is_leaving, self._is_leaving = self._is_leaving, False
        if self.is_broken:
            raise fault or FailedElsewhere(self._broken)
        if is_leaving and self.failure is not None:
            kind = RefusedElsewhere if self.failure.is_refusal else FailedElsewhere
            self._common = kind(str(self.failure))
            raise self._common

    def _announce(self, fault: Exception, facts: Facts | None) -> None:
        """Tell the others, who wait in their next exchange, of a fault of this process."""
        message = {
            "kind": type(fault).__name__,
            "text": str(fault),
            "is_refusal": isinstance(fault, InvalidInput),
            "facts": dict(facts(fault)) if facts else {},
        }
        with contextlib.suppress(_Leave, Exception):
            self._values(None, message)

    def _values(self, value: Any, fault: Mapping[str, Any] | None = None) -> list[Any]:
        """Exchange a value, or a fault in its place, and return the values of all; a fault leads out of the block."""
        if self._is_leaving or self.is_broken:
            raise _Leave
        message = json.dumps({"value": value, "fault": fault}, default=_as_json).encode()
        try:
            messages = self._exchange(message)
        except Exception as error:
            self._broken = f"the other processes cannot be reached: {type(error).__name__}: {error}"
            raise
        entries = [json.loads(message, object_hook=_from_json) for message in messages]
        failures = [Failure(rank, **entry["fault"]) for rank, entry in enumerate(entries) if entry["fault"]]
        if failures:
            self.failure, self._is_leaving = failures[0], True
            raise _Leave
        return [entry["value"] for entry in entries]

    def _exchange(self, message: bytes) -> list[bytes]:
        """Return the messages of all, which may differ in length."""
        assert self._gather is not None
        room = FRAME - 4
        frames = self._gather(struct.pack("<I", len(message)) + message[:room].ljust(room, b"\0"))
        lengths = [struct.unpack("<I", frame[:4])[0] for frame in frames]
        heads = [frame[4:] for frame in frames]
        longest = max(lengths) - room
        if longest > 0:
            size = 1 << (longest - 1).bit_length()  # few lengths: a framework may compile for each
            tails = self._gather(message[room:].ljust(size, b"\0"))
            heads = [head + tail for head, tail in zip(heads, tails, strict=True)]
        return [head[:length] for head, length in zip(heads, lengths, strict=True)]


ALONE = Team()
_present: contextvars.ContextVar[Team] = contextvars.ContextVar("_present", default=ALONE)


def present_team() -> Team:
    """Return the team of the callback that runs; outside of callbacks a team of one."""
    return _present.get()


@contextlib.contextmanager
def in_team(team: Team) -> Iterator[None]:
    """Let what runs inside belong to a team."""
    token = _present.set(team)
    try:
        yield
    finally:
        _present.reset(token)


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"dtype": value.dtype.str, "shape": value.shape, "array": data}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent to another process")


def _from_json(value: dict[str, Any]) -> Any:
    if set(value) != {"dtype", "shape", "array"}:
        return value
    return np.frombuffer(base64.b64decode(value["array"]), value["dtype"]).reshape(value["shape"]).copy()
