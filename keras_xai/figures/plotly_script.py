"""The script that draws the figures in a browser: a part of plotly.js, from the installed package.

Workaround: the Python package plotly ships plotly.js whole, 4.8 MB with maps, WebGL and three dimensions.

Upstream: partial bundles exist on npm (`plotly.js-cartesian-dist-min`, plotly/plotly.js issue 684), not in the Python
package, and neither the tab nor a report may fetch anything from elsewhere. Our own copy of a bundle would be megabytes in
the repository that age beside the installed plotly.

Here: the kinds of traces that no figure draws are cut out of the installed script as text. A script that does not look as
expected is taken whole: then the tab is slower and a report larger, never broken.

Measured: the script of plotly 7.1 shrinks from 4.8 MB to 1.2 MB, and reading it is most of what the first charts wait for
(docs/viewer.md). `tests/plugin/test_routes.py` cuts the installed plotly and finds every kind of trace that the figures
draw with.

Delete `subset` when the Python package ships a partial bundle with scatter, bar and heatmap, or when the installed script
can no longer be cut: `plotly_partial` in `plugin/static_files.py` and the report then take that bundle, or the whole.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

TRACES = ("scatter", "bar", "heatmap")  # what the figures draw with; a test holds them to it
# Asks the browser to compile all functions while it is still loading, off the main thread, and not each one at its first call.
COMPILE_HINT = "//# allFunctionsCalledOnLoad\n"
# The last module: it registers the kinds of traces one by one, in a list of calls.
_REGISTRATION = re.compile(
    r"var [\w$]+=[\w$]+\(\([\w$,]*\)=>\{var ([\w$]+)=[\w$]+\(\);\1\.register\(\[((?:[\w$]+\(\),?)+)\]\);"
)
_MODULE_END = "});"


def plotly_source() -> str:
    """Return plotly.js as its Python package ships it; plotly itself is not imported.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.origin:
        raise FileNotFoundError("the package plotly is not installed")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def subset(script: str) -> str:
    """Return plotly.js without the kinds of traces that no figure of ours draws; the whole where they cannot be told apart.

    The modules of the script stand in the order of their dependencies, and the last one registers the kinds of traces. So
    everything between the last kind that is drawn with and that list can go.
    """
    registration = _REGISTRATION.search(script)
    drawn_with = [script.find(f'name:"{trace}"') for trace in TRACES]
    if registration is None or min(drawn_with) < 0:
        return COMPILE_HINT + script
    calls = registration.group(2).split(",")
    begins = [script.find(f"var {call[:-2]}=") for call in calls]  # of the modules, by the name that "name()" calls
    in_order = begins[0] >= 0 and begins == sorted(begins)
    count = 1 + sum(begin < max(drawn_with) for begin in begins)
    if not in_order or count > len(begins):
        return COMPILE_HINT + script
    end = script.index(_MODULE_END, begins[count - 1]) + len(_MODULE_END)
    registers = script[registration.start() :].replace(registration.group(2), ",".join(calls[:count]), 1)
    return COMPILE_HINT + script[:end] + registers
