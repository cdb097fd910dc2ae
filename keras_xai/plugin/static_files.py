"""The static files of the tab: ours, from a list that is made once, and plotly.js from the installed package."""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path

from keras_xai.figures.plotly_script import plotly_source, subset
from keras_xai.plugin.script_bundle import bundle

# The stylesheets in the order in which they apply. They are served as one, for each request takes
# milliseconds of the server's.
STYLESHEETS = (
    "style.css",
    "styles/bar.css",
    "styles/rail.css",
    "styles/find.css",
    "styles/runs_table.css",
    "styles/panels.css",
    "styles/popups.css",
    "styles/attributions.css",
    "styles/mappings.css",
    "styles/predictions.css",
    "styles/alerts.css",
    "styles/overview.css",
    "styles/states.css",
    "styles/transport.css",
    "styles/narrow.css",
    "styles/motion.css",
)


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    """Read the modules below `static/` as one script and the stylesheets as one, once: name → (gzipped content, type)."""
    folder = Path(__file__).parent / "static"
    modules = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.js"))}
    styles = "\n".join((folder / name).read_text("utf-8") for name in STYLESHEETS)
    return {
        "index.js": (_gzipped(bundle(modules, "index.js")), "text/javascript"),
        "styles.css": (_gzipped(styles), "text/css"),
    }


@functools.cache
def version() -> str:
    """Return a hash of the contents of `static/`, for URLs that browsers may cache."""
    return hashlib.sha256(b"".join(content for content, _ in files().values())).hexdigest()[:12]


@functools.cache
def plotly() -> bytes:
    """Return the whole of plotly.js, gzipped once a process."""
    return _gzipped(plotly_source())


@functools.cache
def plotly_partial() -> bytes:
    """Return the part of plotly.js that our charts need, gzipped once a process; all of it where it cannot be cut."""
    return _gzipped(subset(plotly_source()))


def _gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), 6, mtime=0)
