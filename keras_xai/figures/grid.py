"""Several panels as one plotly figure, for the notebook and the report."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from keras_xai.figures.theme import Figure, Look, chart

_AXIS_OF = {"xref": "x", "yref": "y"}


def grid(
    look: Look, panels: Sequence[tuple[str, Figure]], *, columns: int = 2, title: str = "", row_height: int = 280
) -> Figure:
    """Panels left to right, top to bottom, each under its title; `paper` marks stay inside their own panel."""
    rows = -(-len(panels) // columns)
    height = 40 + rows * row_height + (48 if title else 0)
    out = chart(
        look, [], height=height, margin={"l": 56, "r": 24, "t": 72 if title else 40, "b": 32}, hovermode="closest"
    )
    for index, (name, panel) in enumerate(panels):
        row, column = divmod(index, columns)
        space = 0.055 if columns <= 3 else 0.012
        left, right = column / columns + (space if column else 0), (column + 1) / columns - space
        inner = height - out["layout"]["margin"]["t"] - out["layout"]["margin"]["b"]
        gap = 52 / inner  # room for a panel's title and its epoch labels
        tall = (1 - (rows - 1) * gap) / rows
        top = 1 - row * (tall + gap)
        bottom = top - tall
        # A panel that labels its rows or its lines asked for wide margins: it takes them from its own width.
        margin = panel["layout"].get("margin", {})
        left += min(0.2, max(0, margin.get("l", 44) - 44) / 1100)
        right -= min(0.2, max(0, margin.get("r", 10) - 10) / 1100)
        _place(out, panel, index, (left, right), (bottom, top))
        out["layout"]["annotations"].append(
            {
                "xref": "paper",
                "yref": "paper",
                "x": left,
                "y": top,
                "xanchor": "left",
                "yanchor": "bottom",
                "yshift": 8,
                "text": name,
                "showarrow": False,
                "font": {"size": 14, "color": look["text"]},
            }
        )
    if title:
        out["layout"]["title"] = {"text": title, "x": 0.02, "font": {"size": 18, "color": look["text"]}}
    out["layout"]["paper_bgcolor"] = out["layout"]["plot_bgcolor"] = look["page"]
    return out


def _place(out: Figure, panel: Figure, index: int, x: tuple[float, float], y: tuple[float, float]) -> None:
    panel, number = copy.deepcopy(panel), "" if index == 0 else str(index + 1)
    layout = panel["layout"]
    for trace in panel["data"]:
        out["data"].append(trace | {"xaxis": f"x{number}", "yaxis": f"y{number}"})
    out["layout"][f"xaxis{number}"] = layout.get("xaxis", {}) | {"domain": list(x), "anchor": f"y{number}"}
    out["layout"][f"yaxis{number}"] = layout.get("yaxis", {}) | {"domain": list(y), "anchor": f"x{number}"}
    if "scaleanchor" in layout.get("yaxis", {}):  # pixels stay square against the panel's own axis
        out["layout"][f"yaxis{number}"]["scaleanchor"] = f"x{number}"
    for kind in ("shapes", "annotations"):
        out["layout"][kind].extend(_moved(mark, number) for mark in layout.get(kind, []))


def _moved(mark: dict[str, Any], number: str) -> dict[str, Any]:
    """`paper` becomes the panel's own domain."""
    moved = dict(mark)
    for ref, letter in _AXIS_OF.items():
        moved[ref] = f"{letter}{number} domain" if mark.get(ref) == "paper" else f"{letter}{number}"
    return moved
