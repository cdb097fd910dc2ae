"""`OutputSpec`: what `output=` takes beside a name, a number and a function."""

from __future__ import annotations

from typing import Any


class OutputSpec:
    """A description of what is explained of a model, equal to another one that says the same.

    Its text is the call that makes it: that is what a probe's hash, its record and `run.probe.output` hold.

    Attributes:
        output: the output of several that it reads, by name or number, whose labels and loss are its own; None for the only one.
    """

    output: str | int | None

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash((type(self), str(self)))


def output_name(output: Any) -> Any:
    """Return the name or number of the output that is read, of a description too; a function stays what it is."""
    return output.output if isinstance(output, OutputSpec) else output


def output_text(output: Any) -> Any:
    """Return what a record says of an output: the text of a description, the name of a function, else the name or number."""
    if isinstance(output, OutputSpec):
        return str(output)
    return getattr(output, "__name__", "callable") if callable(output) else output
