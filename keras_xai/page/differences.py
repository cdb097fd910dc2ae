"""Differences between two JSON documents of one kind: the same figure in the other theme, or at another epoch.

A difference is `[path, value]`, to be set there; `[path]` alone is an entry to delete. The page's script applies them in the
same way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

Difference = list[Any]  # [path, value] or [path]; a path is a list of keys and indices


def differences(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> list[Difference]:
    """Return what to set in `before` so that it is `after`.

    Example:
        >>> differences({"a": [1, 2], "b": 3}, {"a": [1, 5]})
        [[['b']], [['a', 1], 5]]
    """
    if isinstance(before, dict) and isinstance(after, dict):
        out: list[Difference] = [[[*path, key]] for key in before if key not in after]
        for key, value in after.items():
            if key in before:
                out += differences(before[key], value, (*path, key))
            else:
                out.append([[*path, key], value])
        return out
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        out = []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            out += differences(old, new, (*path, index))
        return out
    return [] if before == after and type(before) is type(after) else [[list(path), after]]


def applied(document: Any, changes: Iterable[Difference]) -> Any:
    """Return a copy of a document with differences applied; those of a place that it does not have are passed over.

    Example:
        >>> applied({"a": [1, 2], "b": 3}, [[["b"]], [["a", 1], 5], [["c", "d"], 6]])
        {'a': [1, 5]}
    """
    out = copy.deepcopy(document)
    for (*way, last), *value in changes:
        place = out
        for key in way:
            place = place[key] if _has(place, key) else None
        if value and (isinstance(place, dict) or _has(place, last)):
            place[last] = copy.deepcopy(value[0])
        elif isinstance(place, dict):
            place.pop(last, None)
    return out


def _has(place: Any, key: str | int) -> bool:
    if isinstance(place, dict):
        return key in place
    return isinstance(place, list) and isinstance(key, int) and key < len(place)
