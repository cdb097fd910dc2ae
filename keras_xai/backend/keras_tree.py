"""Functions of `keras.tree` that the oldest supported Keras does not have."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import keras


def flatten_with_path(structure: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return the leaves of nested dicts, lists and tuples, each with its path, in the order of `keras.tree.flatten`.

    `keras.tree.flatten_with_path` exists from Keras 3.7 on.

    Example:
        >>> flatten_with_path({"b": [3, 4], "a": 1})
        [(('a',), 1), (('b', 0), 3), (('b', 1), 4)]
    """
    # Keras orders keys by rules of its own, and packs an OrderedDict in another order than 3.6 flattens it. So leaves are
    # identified by their id; the paths of one that occurs several times are used up in order.
    paths: defaultdict[int, deque[tuple[str | int, ...]]] = defaultdict(deque)
    for path, leaf in _walk(structure, ()):
        paths[id(leaf)].append(path)
    return [(paths[id(leaf)].popleft(), leaf) for leaf in keras.tree.flatten(structure)]


def _walk(structure: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(structure, Mapping):
        for key, value in structure.items():
            yield from _walk(value, (*path, key))
    elif isinstance(structure, (list, tuple)):
        for number, value in enumerate(structure):
            yield from _walk(value, (*path, number))
    else:
        yield path, structure
