"""The inputs of a model as users hold them: one array, a list of arrays, or a dict of arrays by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Tree = Any  # an array (or frame, or any other single value), a list of such, or a mapping from name to such


def leaves(x: Tree) -> list[Any]:
    """List the arrays of a structure in order, whatever holds them.

    Args:
        x: a mapping or a list; anything else, a tuple and a frame too, is itself the only leaf.

    Example:
        >>> leaves({"age": 1, "dose": 2}), leaves([1, 2]), leaves(1)
        ([1, 2], [1, 2], [1])
    """
    if isinstance(x, Mapping):
        return list(x.values())
    return list(x) if isinstance(x, list) else [x]


def like(x: Tree, new_leaves: Sequence[Any]) -> Tree:
    """Put leaves into the structure of `x`: a dict with its keys, a list, or the only leaf by itself.

    Raises:
        ValueError: there are more leaves or fewer than `x` has.

    Example:
        >>> like({"age": 1, "dose": 2}, [10, 20])
        {'age': 10, 'dose': 20}
    """
    if isinstance(x, Mapping):
        return dict(zip(x, new_leaves, strict=True))
    if isinstance(x, list):
        return [new for _, new in zip(x, new_leaves, strict=True)]
    (only,) = new_leaves
    return only


def map_leaves(f: Callable[[Any], Any], x: Tree) -> Tree:
    """Apply a function to each leaf and keep the structure.

    Example:
        >>> map_leaves(lambda leaf: leaf + 1, [1, 2])
        [2, 3]
    """
    return like(x, [f(leaf) for leaf in leaves(x)])
