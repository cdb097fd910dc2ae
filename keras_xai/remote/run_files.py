"""Names of runs and event files in a remote directory."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any

from keras_xai.summary.plugin_name import PLUGIN_NAME

_RUN = re.compile(rf"{PLUGIN_NAME}(?:-([1-9]\d*))?", re.ASCII)


def ordinal(name: str) -> int | None:
    """Return the number of a run directory from its name, 1 for the first; None for another name."""
    match = _RUN.fullmatch(name)
    return int(match.group(1) or 1) if match else None


def named(number: int) -> str:
    """Return the name of the run directory of a number."""
    return PLUGIN_NAME if number == 1 else f"{PLUGIN_NAME}-{number}"


def runs_among(names: Iterable[str]) -> list[str]:
    """Return those of some names that are of run directories, the oldest first."""
    numbers = {name: ordinal(name) for name in names}
    return sorted((name for name, number in numbers.items() if number is not None), key=lambda name: numbers[name] or 0)


def event_files(root: str, listing: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the event files of runs as (path below `root`, what the store says of it).

    Paths that would lead out of the directory are left out: they name files of whoever reads them.

    Args:
        root: the directory's path in the store.
        listing: of `find(root, detail=True)`.
    """
    base = posixpath.basename(root)
    for path, facts in listing.items():
        relative = path[len(root) :].removeprefix("/") if path.startswith(root) else path
        parts = relative.split("/")
        folder = parts[-2] if len(parts) > 1 else base
        if ordinal(folder) is None or "tfevents" not in parts[-1]:
            continue
        if all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in parts):
            yield relative, facts
