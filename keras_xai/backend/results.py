"""The result of a traced function: tensors, which a program returns at each run, and facts, which stay those of the trace."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Fill = Callable[[Iterator[Any]], Any]  # takes the tensors of its part of the result, and returns that part


class Template:
    """The structure of a result with its facts, and gaps for its tensors.

    Args:
        result: lists, tuples, named tuples and dicts of tensors and facts.
        is_tensor: tells the two apart.
    """

    def __init__(self, result: Any, is_tensor: Callable[[Any], bool]) -> None:
        self.tensors: list[Any] = []  # in the order in which they fill the gaps
        self._is_tensor = is_tensor
        self._fill = self._filling(result)

    def forget(self) -> list[Any]:
        """Return the traced tensors, and hold them no longer."""
        tensors, self.tensors = self.tensors, []
        return tensors

    def filled(self, tensors: Iterable[Any]) -> Any:
        """Return the result with these tensors."""
        return self._fill(iter(tensors))

    def facts(self) -> Any:
        """Return the result with None in the place of tensors."""
        return self._fill(itertools.repeat(None))

    def _filling(self, value: Any) -> Fill:
        """Make the function that fills one part of the result."""
        before = len(self.tensors)
        if self._is_tensor(value):
            self.tensors.append(value)
            return next
        if isinstance(value, Mapping):
            keys = list(value)
            parts = [self._filling(part) for part in value.values()]
            fill: Fill = lambda tensors: dict(zip(keys, [part(tensors) for part in parts], strict=True))  # noqa: E731
        elif isinstance(value, (list, tuple)):
            make = type(value)._make if hasattr(value, "_make") else type(value)  # of a named tuple, and of any other
            parts = [self._filling(part) for part in value]
            fill = lambda tensors: make([part(tensors) for part in parts])  # noqa: E731
        # A part without tensors is the same at each run.
        return fill if len(self.tensors) > before else lambda tensors: value
