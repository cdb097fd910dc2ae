"""Variables and layers by their order in the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class ModelParts(NamedTuple):
    """The variables or layers of a model, in its order, to be compared with those of a recorded run.

    Paths alone do not identify them: Keras gives shorter ones to a model that is saved and loaded, and other numbers to
    layers without a name in a new session.
    """

    names: tuple[str, ...]  # paths
    sizes: tuple[int, ...] = ()  # number of entries of each; empty where that is not known

    def continues(self, names: Sequence[str], sizes: Sequence[int] = ()) -> bool:
        """Return True where recorded parts are these: they have the same paths, or each has the same size and kind."""
        if self.names == tuple(names):
            return True
        if len(self.names) != len(names):
            return False
        if self.sizes and sizes and self.sizes != tuple(sizes):
            return False
        return all(_kind(path) == _kind(recorded) for path, recorded in zip(self.names, names, strict=True))


def _kind(path: str) -> str:
    """Return the last part of a path, without the numbers that make names differ: "kernel" of "net/dense_2/kernel (2)"."""
    name = re.sub(r" \(\d+\)$", "", path).rpartition("/")[2]
    return re.sub(r"_\d+$", "", name)
