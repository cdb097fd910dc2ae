"""The files the browser may have: ours from a list fixed at start, and plotly from the installed package."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import re
from pathlib import Path

_TYPES = {".js": "text/javascript", ".css": "text/css"}
TRACES = ("scatter", "bar", "heatmap")  # what the figures draw with; a test holds them to it


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    """Name → (content, content type) of everything in `static/`, read once."""
    folder = Path(__file__).parent / "static"
    return {p.name: (p.read_bytes(), _TYPES[p.suffix]) for p in sorted(folder.iterdir()) if p.suffix in _TYPES}


@functools.cache
def version() -> str:
    """A name for the contents of `static/`, which changes with any of them."""
    return hashlib.sha256(b"".join(content for content, _ in files().values())).hexdigest()[:12]


def source() -> str:
    """plotly.js as its Python package ships it; plotly itself is not imported.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.origin:
        raise FileNotFoundError("the package plotly is not installed")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@functools.cache
def plotly() -> bytes:
    """The whole of plotly.js, gzipped once a process."""
    return gzip.compress(source().encode(), 6)


@functools.cache
def plotly_partial() -> bytes:
    """What of plotly.js our charts need, gzipped once a process; the whole where that cannot be told apart."""
    return gzip.compress(partial(source()).encode(), 6)


def partial(script: str) -> str:
    """plotly.js without the kinds of traces that no figure of ours draws: a quarter of its size.

    Its modules stand in the order of their dependencies, and the last one registers the kinds of traces one by one. So
    everything between the last kind that is wanted and that list can go, and with it maps, WebGL and three dimensions.
    A script that looks otherwise stays whole. The first line asks the browser to compile all functions while it is
    still loading, off the main thread, and not each one at its first call.
    """
    hint = "//# allFunctionsCalledOnLoad\n"
    last = re.search(
        r"var [\w$]+=[\w$]+\(\([\w$,]*\)=>\{var ([\w$]+)=[\w$]+\(\);\1\.register\(\[((?:[\w$]+\(\),?)+)\]\);", script
    )
    wanted = [script.find(f'name:"{trace}"') for trace in TRACES]
    if last is None or min(wanted) < 0:
        return hint + script
    registered = last.group(2).split(",")
    begins = [script.find(f"var {call[:-2]}=") for call in registered]
    count = 1 + sum(begin < max(wanted) for begin in begins)
    if begins[0] < 0 or begins != sorted(begins) or count > len(begins):
        return hint + script
    end = script.index("});", begins[count - 1]) + len("});")
    return hint + script[:end] + script[last.start() :].replace(last.group(2), ",".join(registered[:count]), 1)
