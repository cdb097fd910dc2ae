"""Several panels as one plotly figure, for the notebook and the report."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Sequence
from typing import Any

from keras_xai.figures.theme import Figure, Look, chart

PANEL_TITLE_LINE = 18  # pixels of each further line of a panel's title
TITLE_LINE = 24  # and of the figure's title
DEFAULT_LEFT, DEFAULT_RIGHT, DEFAULT_BOTTOM = 44, 10, 22  # margins of a panel without long labels, in pixels
LETTERS = 72  # of a line above a panel that shares its row with another, at most
WIDE_LETTERS = 108  # above one that has the row for itself
TITLE_LETTERS = 84  # of a line of the figure's title
_AXIS_OF = {"xref": "x", "yref": "y"}


def grid(
    look: Look, panels: Sequence[tuple[str, Figure]], *, columns: int = 2, title: str = "", row_height: int = 280
) -> Figure:
    """Return one figure of several panels, from left to right and top to bottom, each under its title.

    Marks of a panel that refer to "paper" stay inside the panel.

    Args:
        look: of the figure.
        panels: titles and figures.
        columns: panels in a row.
        title: of the figure.
        row_height: in pixels.
    """
    rows = -(-len(panels) // columns)
    # What titles of several lines need, and names of columns between them and the panel.
    heads = [PANEL_TITLE_LINE * (panel["layout"].get("xaxis", {}).get("side") == "top") for _, panel in panels]
    lines = [PANEL_TITLE_LINE * name.count("<br>") for name, _ in panels]
    more = max((of_title + of_columns for of_title, of_columns in zip(lines, heads, strict=True)), default=0)
    margins = [panel["layout"].get("margin", {}) for _, panel in panels]
    below = max((margin.get("b", DEFAULT_BOTTOM) - DEFAULT_BOTTOM for margin in margins), default=0)  # of long labels
    head = TITLE_LINE * title.count("<br>")
    height = 40 + rows * (row_height + more + below) + (48 + head if title else 0)
    margin = {"l": 56, "r": 24, "t": (72 + head if title else 40) + more, "b": 32 + below}
    out = chart(look, [], height=height, margin=margin, hovermode="closest")
    for index, (name, panel) in enumerate(panels):
        row, column = divmod(index, columns)
        space = 0.055 if columns <= 3 else 0.012
        # The same for all, so that lengths can be compared across panels.
        wide = (1 - space * (2 * columns - 1)) / columns
        left = column * (wide + 2 * space)
        right = left + wide
        inner = height - out["layout"]["margin"]["t"] - out["layout"]["margin"]["b"]
        gap = (52 + more + below) / inner  # room for a panel's title and its epoch labels
        tall = (1 - (rows - 1) * gap) / rows
        top = 1 - row * (tall + gap)
        bottom = max(0.0, top - tall)
        # A panel with long labels of rows or lines has wide margins, which are taken from its own width.
        left += min(0.2, max(0, margins[index].get("l", DEFAULT_LEFT) - DEFAULT_LEFT) / 1100)
        right -= min(0.2, max(0, margins[index].get("r", DEFAULT_RIGHT) - DEFAULT_RIGHT) / 1100)
        _add_panel(out, panel, index, (left, right), (bottom, top))
        out["layout"]["annotations"].append(
            {
                "xref": "paper",
                "yref": "paper",
                "x": left,
                "y": top,
                "xanchor": "left",
                "yanchor": "bottom",
                "yshift": 8 + heads[index],
                "align": "left",
                "text": name,
                "showarrow": False,
                "font": {"size": 14, "color": look["text"]},
            }
        )
    if title:
        position = {
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 34 if head else 16, "l": 56},
        }
        out["layout"]["title"] = {"text": title, "font": {"size": 18, "color": look["text"]}, **position}
    out["layout"]["paper_bgcolor"] = out["layout"]["plot_bgcolor"] = look["page"]
    return out


def wrapped(sentence: str, letters: int = LETTERS) -> str:
    """Return a sentence, broken into lines where it is long: plotly cuts off what is wider than the figure."""
    return "<br>".join(textwrap.wrap(sentence, letters, break_long_words=False, break_on_hyphens=False))


def _add_panel(out: Figure, panel: Figure, index: int, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Add a panel to a figure, within the ranges x and y of the figure, 0 to 1."""
    panel = copy.deepcopy(panel)
    layout, number = panel["layout"], "" if index == 0 else str(index + 1)
    ids = {"": number, "2": str(index + 101)}  # numbers of a panel's value axes; those of second axes begin at 101
    inside = layout.get("yaxis", {}).get("domain", [0, 1])
    for trace in panel["data"]:
        axis = ids[trace.get("yaxis", "y").removeprefix("y")]
        out["data"].append(trace | {"xaxis": f"x{number}", "yaxis": f"y{axis}"})
    anchor = layout.get("xaxis", {}).get("anchor", "y").removeprefix("y")
    out["layout"][f"xaxis{number}"] = layout.get("xaxis", {}) | {"domain": list(x), "anchor": f"y{ids[anchor]}"}
    for panel_id, grid_id in ids.items():
        if panel_id and f"yaxis{panel_id}" not in layout:
            continue
        axis = layout.get(f"yaxis{panel_id}", {})
        domain = [y[0] + fraction * (y[1] - y[0]) for fraction in axis.get("domain", [0, 1])]
        out["layout"][f"yaxis{grid_id}"] = axis | {"domain": domain, "anchor": f"x{number}"}
        if "scaleanchor" in axis:  # pixels stay square against the panel's own axis
            out["layout"][f"yaxis{grid_id}"]["scaleanchor"] = f"x{number}"
    for kind in ("shapes", "annotations", "images"):
        marks = out["layout"].setdefault(kind, [])
        marks.extend(_moved(mark, number, inside) for mark in layout.get(kind, []))


def _moved(mark: dict[str, Any], number: str, inside: Sequence[float]) -> dict[str, Any]:
    """Return a mark of a panel for the figure: "paper" becomes the domain of the panel's axes.

    Args:
        mark: a shape or annotation.
        number: of the panel's axes in the figure.
        inside: the domain of the panel's value axis, which may be a part of the panel's height only.
    """
    moved = dict(mark)
    for ref, letter in _AXIS_OF.items():
        moved[ref] = f"{letter}{number} domain" if mark.get(ref) == "paper" else f"{letter}{number}"
    if mark.get("yref") == "paper":
        for key in ("y", "y0", "y1"):
            if key in mark:
                moved[key] = (mark[key] - inside[0]) / (inside[1] - inside[0])
    return moved
