"""Functions of `keras.tree` that the oldest supported Keras does not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras


def flatten_with_path(structure: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    """Return the leaves of nested dicts, lists and tuples, each with its path, in the order of `keras.tree.flatten`.

    `keras.tree.flatten_with_path` is there from Keras 3.7 on.

    Example:
        >>> flatten_with_path({"b": [3, 4], "a": 1})
        [(('a',), 1), (('b', 0), 3), (('b', 1), 4)]
    """
    leaves = keras.tree.flatten(structure)
    # Keras orders keys by rules of its own: it is given numbers to put in the leaves' places.
    numbers = keras.tree.pack_sequence_as(structure, list(range(len(leaves))))
    paths = {number: path for path, number in _walk(numbers, ())}
    return [(paths[number], leaf) for number, leaf in enumerate(leaves)]


def _walk(structure: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(structure, Mapping):
        for key, value in structure.items():
            yield from _walk(value, (*path, key))
    elif isinstance(structure, (list, tuple)):
        for number, value in enumerate(structure):
            yield from _walk(value, (*path, number))
    else:
        yield path, structure
