"""Long names side by side: cut where they agree, kept where they differ. `static/core/names.js` is the same for the tab."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

Name = list[list[str]]  # parts, in sections
Stretch = tuple[int, range]  # of parts of a section

CUT = "…"
MIN_CUT = 3  # letters; fewer are not worth a mark
_WORDS = re.compile(r"(?:[^/_\-.\s:,]|\.(?=\d))+|[/_\-.\s:,]")  # a number as 0.001 is one word


def distinct(names: Iterable[str], length: int) -> list[str]:
    """Return names cut to `length` letters, such that different names stay different.

    A name that fits stays whole. Of the others first the folders are left out that all of them share, then the words, then their
    middle. Where even that would make two of them alike, these stay longer.

    Args:
        names: of one list, legend or axis.
        length: letters that there is room for.

    Example:
        >>> distinct(["exp/2026-11-26_lr0.1_seed1", "exp/2026-11-26_lr0.01_seed1", "baseline"], 12)
        ['…/…lr0.1…', '…/…lr0.01…', 'baseline']
    """
    names = [str(name) for name in names]
    wholes = list(dict.fromkeys(names))
    cut = [name for name in wholes if len(name) > length]
    long = list(cut)
    for sections_of in (_by_folder, _by_word):
        if len(cut) > 1 and any(len(label) > length for label in cut):
            cut = _without_common(sections_of(cut), length)
    labels = {name: name for name in wholes}
    labels |= {name: clip(label, length) for name, label in zip(long, cut, strict=True)}
    _keep_apart(labels, dict(zip(long, cut, strict=True)), length)
    return [labels[name] for name in names]


def clip(name: str, length: int) -> str:
    """Return a name of at most `length` letters, cut in its middle."""
    if len(name) <= length:
        return name
    head = length // 2
    return f"{name[:head]}{CUT}{name[len(name) - (length - head - 1) :]}"


def _folders(name: str) -> list[str]:
    """Return the parts of a path, each with the slash behind it."""
    return re.findall(r"[^/]*/|[^/]+$", name)


def _by_folder(names: Sequence[str]) -> list[Name]:
    """Return names as one section of folders each."""
    return [[_folders(name)] for name in names]


def _by_word(names: Sequence[str]) -> list[Name]:
    """Return names as words: a section for each folder where all names have as many, else one."""
    folders = [_folders(name) for name in names]
    if len(set(map(len, folders))) > 1:
        return [[_WORDS.findall(name)] for name in names]
    return [list(map(_WORDS.findall, parts)) for parts in folders]


def _without_common(names: Sequence[Name], length: int) -> list[str]:
    """Return names without parts that all of them share in a section: at the same place, or at its start and end.

    The longest stretches of such parts are left out first, and no more than needed.
    """
    stretches: list[Stretch] = []
    for section in range(len(names[0])):
        sections = [name[section] for name in names]
        stretches += [(section, stretch) for stretch in _common_stretches(sections)]
    stretches.sort(key=lambda stretch: -_letters(names[0], stretch))
    labels = ["".join(itertools.chain.from_iterable(name)) for name in names]
    for count in range(1, len(stretches) + 1):
        if max(map(len, labels)) <= length:
            break
        labels = [_marked(name, stretches[:count]) for name in names]
    return labels


def _letters(name: Name, stretch: Stretch) -> int:
    """Return the number of letters in a stretch."""
    section, places = stretch
    return sum(len(name[section][k]) for k in places)


def _common_stretches(names: Sequence[Sequence[str]]) -> list[range]:
    """Return the stretches of parts that names share; those at their ends are counted from there."""
    shortest = min(map(len, names))
    is_common = [_agree(names, k) for k in range(shortest)]
    if all(len(parts) == shortest for parts in names):
        stretches, start = [], 0
        for k, common in enumerate([*is_common, False]):
            if not common:
                stretches.append(range(start, k))
                start = k + 1
        return stretches
    head = tail = 0
    while head < shortest - 1 and is_common[head]:
        head += 1
    while tail < shortest - head - 1 and _agree(names, -1 - tail):
        tail += 1
    return [range(head), range(-tail, 0)]


def _agree(names: Sequence[Sequence[str]], k: int) -> bool:
    """Return True where all names have the same part at a place."""
    return len({parts[k] for parts in names}) == 1


def _marked(name: Name, stretches: Sequence[Stretch]) -> str:
    """Return the parts of a name with a mark in place of each stretch that is long enough; slashes at its ends stay."""
    parts = list(itertools.chain.from_iterable(name))
    texts = list(parts)
    for section, stretch in stretches:
        first = sum(map(len, name[:section]))
        places = [first + k % len(name[section]) for k in stretch]
        whole = "".join(parts[k] for k in places)
        inner = whole.strip("/")
        if len(inner) < MIN_CUT:
            continue
        before = "/" if whole.startswith("/") and places[0] > 0 else ""
        after = "/" if whole.endswith("/") and places[-1] < len(parts) - 1 else ""
        for k in places:
            texts[k] = ""
        texts[places[0]] = f"{before}{CUT}{after}"
    return "".join(texts)


def _keep_apart(labels: dict[str, str], cut: Mapping[str, str], length: int) -> None:
    """Replace labels that are alike: by the part in which they differ, else by all that was cut from their names, or by these."""
    for names in _sharing_labels(labels):
        cut_names = [name for name in names if name in cut]
        labels |= dict(zip(cut_names, _windows([cut[name] for name in cut_names], length), strict=True))
    for longer in (cut, {name: name for name in labels}):
        for names in _sharing_labels(labels):
            labels |= {name: longer.get(name, name) for name in names}


def _sharing_labels(labels: Mapping[str, str]) -> list[list[str]]:
    """Return the names that share a label."""
    sharing: dict[str, list[str]] = {}
    for name, label in labels.items():
        sharing.setdefault(label, []).append(name)
    return [names for names in sharing.values() if len(names) > 1]


def _windows(names: Sequence[str], length: int) -> list[str]:
    """Return the part of each name around the first letter in which they differ."""
    shortest = min(map(len, names), default=0)
    at = next((k for k in range(shortest) if not _agree(names, k)), shortest)
    start = max(0, at - length // 4)
    windows = []
    for name in names:
        end = start + length - 2
        windows.append(f"{CUT if start else ''}{name[start:end]}{CUT if end < len(name) else ''}")
    return windows
