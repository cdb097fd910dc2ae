"""Exceptions for users, and the words in them; any other fault is the package's own and never reaches `fit`."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_xai.records import Alert, Gradients, Mappings
    from keras_xai.training_records import TrainingFlags


class InvalidInput(ValueError):
    """An argument that cannot work: says what came, what is expected and what to do."""


class FailedElsewhere(RuntimeError):
    """Raised in the other processes of a training when one of them fails; says which and why."""


class RefusedElsewhere(FailedElsewhere, InvalidInput):
    """The same where it fails with an `InvalidInput`."""


class Alarm(RuntimeError):
    """Raised out of `fit` because the user asked for it."""


class DriftAlarm(Alarm):
    """Raised out of `fit` by `on_drift="raise"`; `.alert` is the `records.Alert`."""

    def __init__(self, message: str, alert: Alert) -> None:
        super().__init__(message)
        self.alert = alert


class GradientAlarm(Alarm):
    """Raised out of `fit` by `on_flag="raise"`; `.record` is the `records.Gradients`."""

    def __init__(self, message: str, record: Gradients) -> None:
        super().__init__(message)
        self.record = record


class MappingAlarm(Alarm):
    """Raised out of `fit` by `ProbeMappings(on_flag="raise")`; `.record` is the `records.Mappings`."""

    def __init__(self, message: str, record: Mappings) -> None:
        super().__init__(message)
        self.record = record


class TrainingAlarm(Alarm):
    """Raised out of `fit` by `TrainingChecks(on_flag="raise")`; `.record` is the `training_records.TrainingFlags`."""

    def __init__(self, message: str, record: TrainingFlags) -> None:
        super().__init__(message)
        self.record = record


def named_fault(fault: BaseException | None) -> str:
    """Return the kind and the text of an exception, and in which process it was raised if that was another one."""
    return str(fault) if isinstance(fault, FailedElsewhere) else f"{type(fault).__name__}: {fault}"


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names for an error message, quoted, cut after `most`.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    names = [repr(str(name)) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def unknown(what: str, name: object, names: Iterable[str]) -> InvalidInput:
    """Return the error for a name that does not exist: close matches first, then the list.

    Args:
        what: the name is of, as "threshold".
        name: as the user gave it.
        names: all there are.

    Example:
        >>> unknown("kind", "tabel", ["table", "image"])
        InvalidInput("There is no kind 'tabel'. Did you mean 'table'? Known: 'table', 'image'.")
    """
    names = list(names)
    matches = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
    return InvalidInput(f"There is no {what} {name!r}.{hint} Known: {listed(names)}.")


def check_int(name: str, value: object, minimum: int = 1, expected: str = "") -> int:
    """Return a whole number that the user gave as an `int`; Python's and NumPy's integers are taken, truth values are not.

    Args:
        name: of the argument, for the error message.
        minimum: the smallest number that is accepted.
        expected: the end of the error message, by default "a positive integer" or "an integer, 2 or more".

    Raises:
        InvalidInput: not an integer, or smaller than `minimum`.

    Example:
        >>> check_int("n_samples", np.int64(8))
        8
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < minimum:
        default = "a positive integer" if minimum == 1 else f"an integer, {minimum} or more"
        raise InvalidInput(f"{name}={value!r}: expected {expected or default}.")
    return number


def cause(error: Exception) -> str:
    """Return the line of an error that says what went wrong.

    Keras sets it in bold below a line that names the layer; TensorFlow puts it behind the position in the graph.
    """
    lines = [line for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    if lines and lines[0].startswith("Graph execution error"):
        lines = [line for line in lines[1:] if not line.startswith(("Detected at", "<stack", " ", "\t"))]
    if not lines:
        return type(error).__name__
    of_a_layer = len(lines) > 1 and lines[0].startswith("Exception encountered")
    return " ".join(lines[: 2 if of_a_layer else 1])
