"""The files the browser may have: ours from a list fixed at start, and plotly from the installed package."""

from __future__ import annotations

import functools
import gzip
import importlib.util
from pathlib import Path

_TYPES = {".js": "text/javascript", ".css": "text/css"}


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    """Name → (content, content type) of everything in `static/`, read once."""
    folder = Path(__file__).parent / "static"
    return {p.name: (p.read_bytes(), _TYPES[p.suffix]) for p in sorted(folder.iterdir()) if p.suffix in _TYPES}


@functools.cache
def plotly() -> bytes:
    """plotly.js as its Python package ships it, gzipped once a process; plotly itself is not imported."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.origin:
        raise FileNotFoundError("the package plotly is not installed")
    return gzip.compress((Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes(), 6)
