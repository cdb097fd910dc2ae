"""The result of a traced function: tensors, which each run computes, and facts, which are fixed when it is traced."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Fill = Callable[[Iterator[Any]], Any]  # takes the next tensors for its part of the result, and returns the part


class Template:
    """The structure of a result with its facts, and gaps for its tensors.

    Args:
        result: lists, tuples, named tuples and dicts of tensors and facts.
        is_tensor: returns True for a tensor.
    """

    def __init__(self, result: Any, is_tensor: Callable[[Any], bool]) -> None:
        self.tensors: list[Any] = []  # in the order in which they fill the gaps
        self._is_tensor = is_tensor
        self._fill = self._filling(result)

    def forget(self) -> list[Any]:
        """Return the traced tensors, and release them."""
        tensors, self.tensors = self.tensors, []
        return tensors

    def filled(self, tensors: Iterable[Any]) -> Any:
        """Return the result with these tensors."""
        return self._fill(iter(tensors))

    def facts(self) -> Any:
        """Return the result with None in the place of tensors."""
        return self._fill(itertools.repeat(None))

    def _filling(self, value: Any) -> Fill:
        """Return the function that fills one part of the result with tensors."""
        before = len(self.tensors)
        if self._is_tensor(value):
            self.tensors.append(value)
            return next
        if isinstance(value, Mapping):
            keys = list(value)
            fills = [self._filling(entry) for entry in value.values()]
            fill: Fill = lambda tensors: dict(zip(keys, [fill_entry(tensors) for fill_entry in fills], strict=True))  # noqa: E731
        elif isinstance(value, (list, tuple)):
            make = type(value)._make if hasattr(value, "_make") else type(value)  # of a named tuple, and of any other
            fills = [self._filling(entry) for entry in value]
            fill = lambda tensors: make([fill_entry(tensors) for fill_entry in fills])  # noqa: E731
        # A part without tensors is the same at each run.
        return fill if len(self.tensors) > before else lambda tensors: value
