"""Long names side by side: cut where they agree, kept where they differ. `static/core/names.js` is the same for the tab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

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
        ['…lr0.1…', '…lr0.01…', 'baseline']
    """
    names = [str(name) for name in names]
    wholes = list(dict.fromkeys(names))
    cut = [name for name in wholes if len(name) > length]
    long = list(cut)
    for parts_of in (_folders, _words):
        if len(cut) > 1 and any(len(label) > length for label in cut):
            cut = _without_common([parts_of(label) for label in cut], length)
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


def _words(name: str) -> list[str]:
    return _WORDS.findall(name)


def _without_common(names: Sequence[Sequence[str]], length: int) -> list[str]:
    """Return names, as lists of parts, without parts that all of them share: at the same place, or at start and end.

    The longest stretches of such parts are left out first, and no more than needed.
    """
    shortest = min(map(len, names))
    head = next((k for k in range(shortest) if len({parts[k] for parts in names}) > 1), shortest - 1)
    tail = next((k for k in range(shortest - head) if len({parts[-1 - k] for parts in names}) > 1), shortest - head - 1)
    stretches = [range(head), range(-tail, 0)]
    if all(len(parts) == shortest for parts in names):
        is_common = [len({parts[k] for parts in names}) == 1 for k in range(shortest)]
        stretches = _stretches(is_common)
    stretches.sort(key=lambda stretch: -sum(len(names[0][k]) for k in stretch))
    labels = ["".join(parts) for parts in names]
    for count in range(1, len(stretches) + 1):
        if max(map(len, labels)) <= length:
            break
        labels = [_marked(parts, stretches[:count]) for parts in names]
    return labels


def _stretches(is_common: Sequence[bool]) -> list[range]:
    """Return the unbroken stretches of parts that are common."""
    stretches, start = [], 0
    for k, common in enumerate([*is_common, False]):
        if common:
            continue
        if k > start:
            stretches.append(range(start, k))
        start = k + 1
    return stretches


def _marked(parts: Sequence[str], stretches: Sequence[range]) -> str:
    """Return the parts of a name with a mark in place of each stretch that is long enough; slashes at its ends stay."""
    texts = list(parts)
    for stretch in stretches:
        places = [k % len(parts) for k in stretch]
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
    for names in _alike(labels):
        cut_names = [name for name in names if name in cut]
        labels |= dict(zip(cut_names, _windows([cut[name] for name in cut_names], length), strict=True))
    for longer in (cut, {name: name for name in labels}):
        for names in _alike(labels):
            labels |= {name: longer.get(name, name) for name in names}


def _alike(labels: Mapping[str, str]) -> list[list[str]]:
    """Return the names that share a label."""
    sharing: dict[str, list[str]] = {}
    for name, label in labels.items():
        sharing.setdefault(label, []).append(name)
    return [names for names in sharing.values() if len(names) > 1]


def _windows(names: Sequence[str], length: int) -> list[str]:
    """Return the part of each name around the first letter in which they differ."""
    shortest = min(map(len, names), default=0)
    at = next((k for k in range(shortest) if len({name[k] for name in names}) > 1), shortest)
    start = max(0, at - length // 4)
    windows = []
    for name in names:
        end = start + length - 2
        windows.append(f"{CUT if start else ''}{name[start:end]}{CUT if end < len(name) else ''}")
    return windows
