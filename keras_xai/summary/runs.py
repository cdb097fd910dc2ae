"""The run directories below a log directory, and their names, which differ and can be printed."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_xai.printed import escaped
from keras_xai.summary.plugin_name import PLUGIN_NAME

_RUN = re.compile(rf"{PLUGIN_NAME}(-\d+)?", re.ASCII)


def directories(root: Path) -> list[tuple[str, Path]]:
    """Return (name, directory) of every run below `root`, and of `root` where it is one; in the order of their paths."""
    paths = {os.path.relpath(path, root): path for path in _run_directories(root)}
    names = display_names(paths)
    return [(names[run], path) for run, path in sorted(paths.items(), key=lambda item: item[1])]


def _run_directories(root: Path) -> Iterator[Path]:
    """Yield the directories named as runs that hold event files or cannot be read; does not look inside linked ones."""
    stack = [root]
    while stack:
        directory = stack.pop()
        below = _entries(directory)
        if _RUN.fullmatch(directory.name) and (below is None or any("tfevents" in entry.name for entry in below)):
            yield directory
        if directory == root or not directory.is_symlink():
            stack += [directory / entry.name for entry in below or () if _leads_on(entry)]


def _entries(directory: Path) -> list[os.DirEntry[str]] | None:
    """Return the entries of a directory, None where it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return None


def _leads_on(entry: os.DirEntry[str]) -> bool:
    """Return True where an entry is a directory to look into."""
    try:
        return entry.is_dir() and (not entry.is_symlink() or _RUN.fullmatch(entry.name) is not None)
    except OSError:
        return False


def display_names(runs: Iterable[str], root_name: str = "") -> dict[str, str]:
    r"""Return the user's name of each run directory, by its path relative to the log directory.

    "run1/keras_xai" is "run1", "keras_xai" is ".", later runs keep their own: "run1/keras_xai-2". Names differ: where two
    runs would have one, both go by their whole paths, and where those are alike once escaped, with each `\` doubled.

    Args:
        runs: paths, with either slash, that differ.
        root_name: the name of the log directory's own run in place of ".", unless another one has that name.

    Example:
        >>> display_names(["a/keras_xai", "keras_xai-2", "keras_xai-2/keras_xai"])
        {'a/keras_xai': 'a', 'keras_xai-2': 'keras_xai-2', 'keras_xai-2/keras_xai': 'keras_xai-2/keras_xai'}
    """
    forms = {run: _forms(run) for run in runs}
    level = dict.fromkeys(forms, 0)  # which of its forms a run goes by
    while True:
        names = {run: forms[run][k] for run, k in level.items()}
        clashing = [run for run in _clashing(names) if level[run] < 2]
        if not clashing:
            break
        for run in clashing:
            level[run] += 1
    if root_name and escaped(root_name) not in names.values():
        names = {run: escaped(root_name) if name == "." else name for run, name in names.items()}
    return names


def _forms(run: str) -> tuple[str, str, str]:
    """Return the three names that a run may have, the shortest first; the last one is unique."""
    parts = [part for part in re.split(r"[/\\]", run) if part not in ("", ".")]
    if parts and parts[-1] == PLUGIN_NAME:
        parts = parts[:-1]
    return escaped("/".join(parts) or "."), escaped(run), escaped(run.replace("\\", "\\\\"))


def _clashing(names: dict[str, str]) -> list[str]:
    """Return the runs that share a name with another one."""
    owners: dict[str, list[str]] = {}
    for run, name in names.items():
        owners.setdefault(name, []).append(run)
    return list(itertools.chain.from_iterable(runs for runs in owners.values() if len(runs) > 1))
