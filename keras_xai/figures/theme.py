"""How every chart looks, and the few marks they share: epoch axis, alerts, limit, several runs in one chart.

A figure is a plain dict `{"data": [...], "layout": {...}}`: nothing here imports plotly, so that the tab pays for it
only in the browser.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_xai.figures.colour import TOKENS, Theme, run_colour
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Epoch

Figure = dict[str, Any]


@dataclass(frozen=True)
class Overlay:
    """Another run in the same chart."""

    name: str
    run: Recorded
    colour: int


@dataclass(frozen=True)
class Look:
    """How a figure is to look: its theme, this run's name and colour, and the runs laid over it."""

    theme: Theme = "light"
    name: str = "this run"
    colour: int = 0
    others: Sequence[Overlay] = field(default_factory=tuple)

    def __getitem__(self, token: str) -> str:
        return TOKENS[self.theme][token]

    @property
    def own(self) -> str:
        return run_colour(self.theme, self.colour)

    def of(self, other: Overlay) -> str:
        return run_colour(self.theme, other.colour)


def text(name: object, most: int = 60) -> str:
    """A name from a user's program as plotly text: its markup must show, not act."""
    shown = printable(str(name).replace("\n", " "))
    if len(shown) > most:  # names differ at their ends as often as at their starts
        shown = f"{shown[: most // 2]}…{shown[-(most - most // 2 - 1) :]}"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def packed(values: ArrayLike, dtype: str = "f4") -> dict[str, str]:
    """An array as plotly's own binary form; NaN survives, and a large one stays small."""
    array = np.ascontiguousarray(values, dtype=dtype)
    form = {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    if array.ndim > 1:
        form["shape"] = ", ".join(map(str, array.shape))
    return form


def numbers(values: ArrayLike) -> list[float | None]:
    """A short series; what is not finite is a gap."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in np.asarray(values, np.float64)]


def chart(look: Look, data: list[dict[str, Any]], **layout: Any) -> Figure:
    """The chart without any of plotly's decoration: thin rules, eleven-pixel figures, no frame."""
    base: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Roboto, Helvetica Neue, Arial, sans-serif", "size": 11, "color": look["text-2"]},
        "margin": {"l": 44, "r": 10, "t": 12, "b": 22},
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": look["page"],
            "bordercolor": look["line-strong"],
            "align": "left",
            "namelength": -1,
            "font": {"size": 12, "color": look["text"]},
        },
        "dragmode": False,
        "autosize": True,
        "shapes": [],
        "annotations": [],
    }
    return {"data": data, "layout": base | layout}


def axis(look: Look, **more: Any) -> dict[str, Any]:
    """A value axis: horizontal rules, nothing else."""
    return {
        "gridcolor": look["line"],
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "automargin": False,
        "ticklabelstandoff": 6,
        **more,
    }


def epoch_axis(look: Look, epochs: Sequence[int], **more: Any) -> dict[str, Any]:
    """The axis that all charts share, so that one epoch stands at one place."""
    first, last = (min(epochs), max(epochs)) if epochs else (0, 1)
    return axis(
        look,
        showgrid=False,
        ticklabelstandoff=3,
        range=[first, last if last > first else first + 1],
        tickmode="array",
        tickvals=(marks := epoch_ticks(first, last)),
        ticktext=[str(mark) for mark in marks],
        hoverformat="d",
        spikethickness=1,
        spikedash="solid",
        spikecolor=look["line-strong"],
        unifiedhovertitle={"text": "epoch %{x:d}"},
        **more,
    )


def epoch_ticks(first: int, last: int, most: int = 7) -> list[int]:
    """Round epochs and the last one; none so near the last that the labels touch."""
    span = max(1, last - first)
    step = next(
        factor * power
        for power in (10**p for p in range(9))
        for factor in (1, 2, 4, 5)
        if span / (factor * power) <= most
    )
    marks = [mark for mark in range(-(-first // step) * step, last, step) if last - mark > span / (most + 3)]
    return [*marks, last]


def line(
    name: str,
    epochs: ArrayLike,
    values: ArrayLike,
    colour: str,
    *,
    width: float = 1.75,
    dash: str = "solid",
    shape: str = "linear",
    **more: Any,
) -> dict[str, Any]:
    """A value over epochs. `meta.follows`: the tab marks it where the slider stands."""
    if np.size(values) > 300:  # a thousand points on a few hundred pixels: thinner lines keep their shape
        width *= 0.6
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(name),
        "x": [int(e) for e in np.asarray(epochs)],
        "y": numbers(values),
        "line": {"color": colour, "width": width, "dash": dash, "shape": shape},
        "meta": {"follows": True},
        **more,
    }


def mark_alerts(look: Look, panel: Figure, epochs: Sequence[int]) -> None:
    """A thin red line with a small triangle at every alert, the same in every chart."""
    for epoch in sorted(set(epochs)):
        panel["layout"]["shapes"].append(
            {
                "type": "line",
                "x0": epoch,
                "x1": epoch,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": look["alarm"], "width": 1},
                "opacity": 0.35,
            }
        )
        panel["layout"]["annotations"].append(
            {
                "x": epoch,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": -6,
                "text": "▼",
                "showarrow": False,
                "font": {"size": 14, "color": look["alarm"]},
            }
        )


def mark_resumed(look: Look, panel: Figure, history: Sequence[Epoch]) -> None:
    """A dotted line where an interrupted training went on."""
    for epoch in (record.epoch for record in history if record.resumed):
        line_at = {"type": "line", "x0": epoch - 0.5, "x1": epoch - 0.5, "yref": "paper", "y0": 0, "y1": 1}
        panel["layout"]["shapes"].append(line_at | {"line": {"color": look["text-3"], "width": 1, "dash": "dot"}})
        panel["layout"]["annotations"].append(
            {
                "x": epoch - 0.5,
                "y": 0,
                "yref": "paper",
                "xanchor": "left",
                "yanchor": "bottom",
                "text": "resumed",
                "showarrow": False,
                "font": {"size": 10, "color": look["text-3"]},
            }
        )


def mark_limit(look: Look, panel: Figure, limit: float, label: str) -> None:
    """The dashed line that an alarm has to cross."""
    panel["layout"]["shapes"].append(
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": limit,
            "y1": limit,
            "line": {"color": look["alarm"], "width": 1, "dash": "4px,3px"},
        }
    )
    panel["layout"]["annotations"].append(
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": limit,
            "yanchor": "bottom",
            "text": label,
            "showarrow": False,
            "font": {"color": look["alarm"]},
        }
    )


def hatched(look: Look, epochs: Sequence[int], there: Any, rows: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """One bar for every unbroken stretch of cells (rows, epochs) without a value; `rows` are their places, else numbers."""
    step = int(min(np.diff(epochs), default=1))
    starts, lengths, places = [], [], []
    for row, present in enumerate(there):
        gaps = np.flatnonzero(np.diff(np.concatenate([[1], present.astype(int), [1]])))
        for begin, end in zip(gaps[::2], gaps[1::2], strict=True):
            starts.append(int(epochs[begin]) - step / 2)
            lengths.append(int(epochs[end - 1]) - int(epochs[begin]) + step)
            places.append(rows[row] if rows else row)
    if not places:
        return []
    pattern = {"shape": "/", "fgcolor": look["line-strong"], "bgcolor": look["page"], "fillmode": "overlay"}
    return [
        {
            "type": "bar",
            "orientation": "h",
            "base": starts,
            "x": lengths,
            "y": places,
            "width": 0.94,
            "marker": {
                "color": look["page"],
                "line": {"width": 0},
                "pattern": {**pattern, "size": 6, "solidity": 0.25},
            },
            "hoverinfo": "skip",
        }
    ]


def mark_not_finite(look: Look, panel: Figure, since: int | None, last: int) -> None:
    """The stretch of epochs from which on nothing is finite, said in the alarm colour."""
    if since is None:
        return
    mark_span(look, panel, since, max(last, since), f"not finite since epoch {since}")
    panel["layout"]["shapes"][-1] |= {"fillcolor": look["alarm"], "opacity": 0.08}
    panel["layout"]["annotations"][-1] |= {
        "font": {"color": look["alarm"]},
        "x": last,
        "xanchor": "right",
        "xshift": -4,
    }


def mark_span(look: Look, panel: Figure, start: float, end: float, label: str) -> None:
    """A shaded stretch of epochs, named inside."""
    panel["layout"]["shapes"].append(
        {
            "type": "rect",
            "layer": "below",
            "x0": start,
            "x1": end,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "fillcolor": look["grid"],
            "line": {"width": 0},
        }
    )
    panel["layout"]["annotations"].append(
        {
            "x": start,
            "xanchor": "left",
            "xshift": 4,
            "yref": "paper",
            "y": 0.98,
            "yanchor": "top",
            "text": label,
            "showarrow": False,
            "font": {"color": look["text-3"]},
        }
    )


LIGHT = Look()
