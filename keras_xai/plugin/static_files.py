"""The static files of the tab: ours, from a list that is made once, and plotly.js from the installed package."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from pathlib import Path

from keras_xai.plugin.workarounds.plotly_subset import subset

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


def plotly_source() -> str:
    """Return plotly.js as its Python package ships it; plotly itself is not imported.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.origin:
        raise FileNotFoundError("the package plotly is not installed")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@functools.cache
def plotly() -> bytes:
    """Return the whole of plotly.js, gzipped once a process."""
    return gzip.compress(plotly_source().encode(), 6)


@functools.cache
def plotly_partial() -> bytes:
    """Return the part of plotly.js that our charts need, gzipped once a process; all of it where it cannot be cut."""
    return gzip.compress(subset(plotly_source()).encode(), 6)
