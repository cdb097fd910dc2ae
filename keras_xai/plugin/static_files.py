"""The static files of the tab: ours, from a list that is made once, and plotly.js from the installed package."""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path

from keras_xai.figures.plotly_script import plotly_source, subset

_TYPES = {".js": "text/javascript", ".css": "text/css"}


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    """Read the scripts and stylesheets below `static/` once: "core/api.js" → (content, content type)."""
    folder = Path(__file__).parent / "static"
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES]
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), _TYPES[path.suffix]) for path in paths}


@functools.cache
def version() -> str:
    """Return a hash of the contents of `static/`, for URLs that browsers may cache."""
    return hashlib.sha256(b"".join(content for content, _ in files().values())).hexdigest()[:12]


@functools.cache
def plotly() -> bytes:
    """Return the whole of plotly.js, gzipped once a process."""
    return gzip.compress(plotly_source().encode(), 6)


@functools.cache
def plotly_partial() -> bytes:
    """Return the part of plotly.js that our charts need, gzipped once a process; all of it where it cannot be cut."""
    return gzip.compress(subset(plotly_source()).encode(), 6)
