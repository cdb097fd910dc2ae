"""The figures of a run as the page's script draws them: in both themes, and the gallery at several epochs, as differences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keras_xai.analysis.attributions import method_named
from keras_xai.analysis.epochs import film_epochs
from keras_xai.analysis.importance import alarm_epochs
from keras_xai.analysis.vocabulary import view_title
from keras_xai.figures import FIGURES, Figure, Look, Theme
from keras_xai.figures.grid import TITLE_LINE
from keras_xai.page.differences import applied, differences
from keras_xai.printed import printable
from keras_xai.recorded import moment
from keras_xai.run import Run
from keras_xai.summary.json_text import json_of
from keras_xai.updates import BEFORE

MAX_STOPS = 20  # of the gallery's slider
STOP_BYTES = 4_000_000  # of all sliders of a page together
ROOM_OF_TITLE = 32  # pixels that a grid keeps for a title of one line
DEFAULT_HEIGHT = 450  # pixels, plotly's own
PRINTED_SCALE = 0.6  # with which the width of a figure fits on a page of A4 or letter paper
PRINTED_HEIGHT = 880  # pixels of a figure on paper, at most


@dataclass(frozen=True)
class Drawing:
    """One figure of a run, or the reason why there is none."""

    node: str  # id of its element
    name: str
    title: str
    absent: str = ""  # why nothing of its kind was recorded, or what failed
    is_fault: bool = False
    height: int = DEFAULT_HEIGHT
    content: str = ""  # JSON for the page's script
    stops: tuple[str, ...] = ()  # the moments of the slider, the last one is drawn first
    legend: tuple[tuple[str, str], ...] = ()  # names of lines, and "solid", "dotted" or "dashed"

    @property
    def printed_scale(self) -> float:
        """The scale with which the figure fits on a page."""
        return round(min(PRINTED_SCALE, PRINTED_HEIGHT / max(1, self.height)), 3)


def drawings_of(run: Run, node: str, stop_bytes: int) -> Iterator[Drawing]:
    """Yield the figures of a run; of a training without an update the gallery of the untrained model alone.

    Args:
        run: read back from a log directory.
        node: begins the ids of their elements.
        stop_bytes: that the slider of the gallery may take.
    """
    names: Sequence[str] = tuple(FIGURES)
    if not run.updates:
        names = ("probe_attributions",) if run.methods_before else ()
    for name in names:
        title, figure_node = view_title(name), f"{node}-{name}"
        try:
            yield _drawing(run, name, title, figure_node, stop_bytes)
        except Exception as error:  # the other figures are shown
            yield Drawing(figure_node, name, title, f"{type(error).__name__}: {error}", is_fault=True)


def _drawing(run: Run, name: str, title: str, node: str, stop_bytes: int) -> Drawing:
    light = _plain(run, name, "light")
    absent = (light["layout"].get("meta") or {}).get("absent")
    if absent is not None:
        return Drawing(node, name, title, printable(absent))
    change_of_theme = differences(light, _plain(run, name, "dark"))
    content = {**light, "dark": change_of_theme, "stops": []}
    labels: list[str] = []
    if name == "probe_attributions":
        updates = _stops(run, stop_bytes // max(1, len(json.dumps(content))))
        if len(updates) > 1:
            content["stops"] = [_stop(run, name, light, change_of_theme, update) for update in updates]
            labels = [moment(run, update) for update in updates]
    return Drawing(
        node,
        name,
        title,
        height=int(light["layout"].get("height") or DEFAULT_HEIGHT),
        content=json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        stops=tuple(labels),
        legend=tuple(_legend(light)),
    )


def _plain(run: Run, name: str, theme: Theme, **options: Any) -> dict[str, Any]:
    """Return a figure as it is read from JSON; without the title where the page says above it what it says."""
    figure = FIGURES[name](run, Look(theme), **options)
    plain: dict[str, Any] = json.loads(json_of(figure))
    return _without_title(plain) if name in ("overview", "concepts") else plain


def _without_title(figure: Figure) -> Figure:
    layout = figure["layout"]
    title = layout.pop("title", None)
    if title and "height" in layout:
        room = ROOM_OF_TITLE + TITLE_LINE * title["text"].count("<br>")
        layout["height"] -= room
        layout["margin"]["t"] -= room
    return figure


def _stops(run: Run, most: int) -> list[int]:
    """Return the updates at which the gallery can be seen, those of alarms, the first and the last among them."""
    method = method_named(run, None)
    table = run.outputs(method) if method in run.methods else None
    recorded = [] if table is None else list(map(int, table.updates))
    before = [BEFORE] if method in run.methods_before else []
    most = min(MAX_STOPS, most) - len(before)
    if most < 2 or not recorded:
        return []
    return [*before, *film_epochs(recorded, alarm_epochs(run), most)]


def _stop(run: Run, name: str, light: dict[str, Any], change_of_theme: list[Any], update: int) -> dict[str, list[Any]]:
    """Return what changes in a figure at an update, and in the dark theme beyond that and what the theme changes."""
    light_there = _plain(run, name, "light", epoch=update)
    to_there = differences(light, light_there)
    expected = applied(applied(light, to_there), change_of_theme)
    return {"light": to_there, "dark": differences(expected, _plain(run, name, "dark", epoch=update))}


def _legend(figure: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names of the lines of panels in which lines differ in their dashes alone."""
    panels: dict[str, dict[str, str]] = {}
    for trace in figure["data"]:
        if trace.get("mode", "").startswith("lines") and trace.get("name"):
            dash = str(trace.get("line", {}).get("dash", "solid"))
            panels.setdefault(str(trace.get("xaxis")), {}).setdefault(trace["name"], _dash_word(dash))
    listed = set()
    for lines in panels.values():
        for name, word in lines.items():
            if len(set(lines.values())) > 1 and len(lines) <= len(("solid", "dotted", "dashed")) and name not in listed:
                listed.add(name)
                yield name.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), word


def _dash_word(dash: str) -> str:
    if dash == "solid":
        return dash
    drawn, _, gap = dash.replace("px", "").partition(",")
    is_dotted = dash == "dot" or (drawn.isdigit() and gap.isdigit() and int(drawn) < int(gap))
    return "dotted" if is_dotted else "dashed"
