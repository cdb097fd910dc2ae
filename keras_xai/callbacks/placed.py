"""Variables and layers by their place in the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Placed(NamedTuple):
    """The parts of a model in its order.

    A path alone does not tell whether a part is the one of before: Keras gives shorter ones to a model that is saved and
    loaded, and other numbers to layers without a name in a new session.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...] = ()  # how many entries each has; none where that is not known

    def continues(self, names: Sequence[str], sizes: Sequence[int] = ()) -> bool:
        """Whether parts that were recorded are these ones: the same paths, or at each place one of the same size and kind."""
        if self.names == tuple(names):
            return True
        if len(self.names) != len(names):
            return False
        if self.sizes and sizes and self.sizes != tuple(sizes):
            return False
        return all(_own(here) == _own(there) for here, there in zip(self.names, names, strict=True))


def _own(path: str) -> str:
    """The last part of a path, without the numbers that make names differ: "kernel" of "net/dense_2/kernel (2)"."""
    name = re.sub(r" \(\d+\)$", "", path).rpartition("/")[2]
    return re.sub(r"_\d+$", "", name)
