"""The theme of all charts, and what they share: axes, lines, marks of alerts, limits and resumed trainings.

A figure is a plain dict `{"data": [...], "layout": {...}}`, so that TensorBoard need not import plotly.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_xai.analysis.epochs import epoch_ends
from keras_xai.analysis.formatting import count
from keras_xai.analysis.names import distinct
from keras_xai.figures.colour import TOKENS, Theme, run_colour, run_dash
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Epoch
from keras_xai.updates import named

Figure = dict[str, Any]

WHOLE_NAME = 10_000  # letters
ALERT_ROOM = 0.04  # of the axis: marks of alerts that are nearer would touch
WORDS_ROOM = 0.15  # of the axis, to the next mark: room for words beside a mark
UPLOAD_BUTTON = "sendChartToCloud"  # plotly 7 offers to upload a chart: what a model learns from stays where it is
MAX_EPOCH_ENDS = 30  # of more the lines would be a grey wall
MAX_POINTS = 2400  # of a line: more are not told apart on any screen, and a page of a hundred thousand would not open


@dataclass(frozen=True)
class Overlay:
    """Another run, drawn in the same chart."""

    name: str
    run: Recorded
    colour: int  # index, see `run_colour`

    def dash(self, *, dotted: bool = False) -> str:
        """Return the dash of this run's line; of its second line if `dotted`."""
        return run_dash(self.colour, dotted=dotted)


@dataclass(frozen=True)
class Look:
    """Look of a figure: its theme, this run's name and colour, and the runs laid over it."""

    theme: Theme = "light"
    name: str = "this run"
    colour: int = 0
    others: Sequence[Overlay] = field(default_factory=tuple)

    def __getitem__(self, token: str) -> str:
        return TOKENS[self.theme][token]

    @property
    def run_colour(self) -> str:
        """The colour of this run."""
        return run_colour(self.theme, self.colour)

    def dash(self, *, dotted: bool = False) -> str:
        """Return the dash of this run's line where it is one of several; of its second line if `dotted`."""
        index = self.colour if self.others else 0
        return run_dash(index, dotted=dotted)

    def colour_of(self, other: Overlay) -> str:
        """Return the colour of a run that is laid over this one."""
        return run_colour(self.theme, other.colour)


def overlaid(run: Recorded, look: Look) -> list[Overlay]:
    """Return the runs that can be laid over a run: those that count in its unit, which alone have an axis in common."""
    return [other for other in look.others if other.run.unit == run.unit]


def mark_apart(look: Look, panel: Figure, run: Recorded) -> None:
    """Name the runs that are not laid over a run, since they count in another unit."""
    apart = [other for other in look.others if other.run.unit != run.unit]
    if not apart:
        return
    names = ", ".join(texts([other.name for other in apart], 24))
    counts = "counts" if len(apart) == 1 else "count"
    panel["layout"]["annotations"].append(
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "yref": "paper",
            "y": 0,
            "yanchor": "bottom",
            "text": f"not overlaid: {names} {counts} in {apart[0].run.unit}s",
            "showarrow": False,
            "font": {"color": look["text-3"], "size": 10},
        }
    )


def text(name: object, length: int = 60) -> str:
    """Return a name from a user's program as plotly text, of at most `length` letters.

    Its markup is escaped, and the `%{` of a template, which plotly would replace.
    """
    line = printable(str(name).replace("\n", " "))
    if len(line) > length:  # shortened in the middle, since names differ at their ends as often as at their starts
        line = f"{line[: length // 2]}…{line[-(length - length // 2 - 1) :]}"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "%&#123;")


def texts(names: Iterable[str], length: int) -> list[str]:
    """Return the names of one axis or legend as plotly text, of at most `length` letters where they then still differ.

    See `keras_xai.analysis.names.distinct`.
    """
    lines = [printable(str(name).replace("\n", " ")) for name in names]
    return [text(label, len(label)) for label in distinct(lines, length)]


def packed(values: ArrayLike, dtype: str = "f4") -> dict[str, str]:
    """Return an array in plotly's binary form, which is shorter than JSON and keeps NaN."""
    array = np.ascontiguousarray(values, dtype=dtype)
    form = {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    if array.ndim > 1:
        form["shape"] = ", ".join(map(str, array.shape))
    return form


def numbers(values: ArrayLike) -> list[float | None]:
    """Return a series as numbers in full; None, a gap in a line, where it is not finite."""
    return [shortest(v) if np.isfinite(v) else None for v in np.asarray(values, np.float64)]


def shortest(value: float) -> float:
    """Return a number; of 32 bits the shortest decimal one that is read back as the same.

    Example:
        >>> shortest(float(np.float32(0.1))), shortest(1 / 3)
        (0.1, 0.3333333333333333)
    """
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return float(str(narrow)) if float(narrow) == value else float(value)


def chart(look: Look, data: list[dict[str, Any]], **layout: Any) -> Figure:
    """Return a figure without plotly's decorations: thin grid lines, text of eleven pixels, no frame, no legend."""
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
        "modebar": {"remove": [UPLOAD_BUTTON]},
        "autosize": True,
        "shapes": [],
        "annotations": [],
    }
    return {"data": data, "layout": base | layout}


def axis(look: Look, **more: Any) -> dict[str, Any]:
    """Return a value axis: grid lines, without line and ticks."""
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


def update_axis(look: Look, run: Recorded, updates: Sequence[int], **more: Any) -> dict[str, Any]:
    """Return the axis of updates, the same in all charts of a run, so that an update has the same position in each.

    It is linear in epochs, or in the steps of a run that counts in steps: there thin lines mark the ends of epochs.
    """
    out = epoch_axis(look, updates, **more)
    out["ticktext"][0] = f"{run.unit} {out['ticktext'][0]}"
    if run.unit == "step":
        out["unifiedhovertitle"] = {"text": "step %{x:d}"}
        out |= _epoch_end_marks(look, run, *out["range"])
    return out


def epoch_axis(look: Look, epochs: Sequence[int], **more: Any) -> dict[str, Any]:
    """Return the axis of a run that counts in epochs, as `update_axis` does of any."""
    first, last = (min(epochs), max(epochs)) if epochs else (0, 1)
    ticks = epoch_ticks(first, last)
    return axis(
        look,
        showgrid=False,
        ticklabelstandoff=3,
        range=[first, last if last > first else first + 1],
        tickmode="array",
        tickvals=ticks,
        ticktext=[str(tick) for tick in ticks],
        hoverformat="d",
        spikethickness=1,
        spikedash="solid",
        spikecolor=look["line-strong"],
        unifiedhovertitle={"text": "epoch %{x:d}"},
        **more,
    )


def _epoch_end_marks(look: Look, run: Recorded, first: int, last: int) -> dict[str, Any]:
    """Return the settings of an axis that mark the ends of epochs; {} where they are too many to tell apart."""
    ends = [end for end in epoch_ends(run) if first < end < last]
    if not 0 < len(ends) <= MAX_EPOCH_ENDS:
        return {}
    lines = {"tickmode": "array", "tickvals": ends, "showgrid": True, "gridcolor": look["line-strong"], "gridwidth": 1}
    below = {"ticks": "outside", "ticklen": 5, "tickcolor": look["line-strong"]}
    return {"minor": {**lines, **below, "griddash": "2px,3px"}}


def epoch_ticks(first: int, last: int, count: int = 7) -> list[int]:
    """Return about `count` round epochs, or steps, and the last one; none so near the last that their labels would overlap.

    Example:
        >>> epoch_ticks(0, 23)
        [0, 4, 8, 12, 16, 20, 23]
    """
    span = max(1, last - first)
    steps = (factor * 10**power for power, factor in itertools.product(range(9), (1, 2, 4, 5)))
    step = next(step for step in steps if span / step <= count)
    ticks = [tick for tick in range(-(-first // step) * step, last, step) if last - tick > span / (count + 3)]
    return [*ticks, last]


def drawn_points(values: ArrayLike) -> NDArray[np.int64]:
    """Return the indices of the points that a line of very many needs: `MAX_POINTS` and a few, in their order.

    The smallest and the largest value of each piece, which are pixels of the line where pieces are narrower than one, the first
    point of each gap, and both ends.
    """
    series = np.asarray(values, np.float64)
    indices = {0, len(series) - 1}
    edges = np.linspace(0, len(series), MAX_POINTS // 2 + 1).astype(int)
    for start, end in itertools.pairwise(edges):
        piece = series[start:end]
        finite = np.isfinite(piece)
        if finite.any():
            indices |= {start + int(np.where(finite, piece, np.inf).argmin())}
            indices |= {start + int(np.where(finite, piece, -np.inf).argmax())}
        if not finite.all():
            indices.add(start + int(finite.argmin()))
    return np.asarray(sorted(indices), np.int64)


def _at_points(entry: Any, points: NDArray[np.int64], length: int) -> Any:
    """Return the entries at some points of a series with one for each of `length`; anything else as it is."""
    is_series = isinstance(entry, (list, tuple, np.ndarray)) and len(entry) == length
    return [entry[k] for k in points] if is_series else entry


def line(
    name: str,
    updates: ArrayLike,
    values: ArrayLike,
    colour: str,
    *,
    width: float = 1.75,
    dash: str = "solid",
    shape: str = "linear",
    **more: Any,
) -> dict[str, Any]:
    """Return the line of a value over updates; `meta.follows` has the tab mark its value at the selected update.

    Of more than `MAX_POINTS` updates those are drawn that make up its shape, see `drawn_points`; so are texts, one for each.
    """
    if np.size(values) > MAX_POINTS:
        points, length = drawn_points(values), np.size(values)
        updates, values = np.asarray(updates)[points], np.asarray(values)[points]
        more = {key: _at_points(entry, points, length) for key, entry in more.items()}
    if np.size(values) > 300:  # of more points than pixels only a thin line shows its shape
        width *= 0.6
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(name),
        "x": [int(update) for update in np.asarray(updates)],
        "y": numbers(values),
        "line": {"color": colour, "width": width, "dash": dash, "shape": shape},
        "meta": {"follows": True, "name": text(name, WHOLE_NAME)},
        **more,
    }


def mark_alerts(look: Look, panel: Figure, updates: Sequence[int]) -> None:
    """Mark the updates of alerts with a thin red line and a small triangle; those that would touch are one span."""
    first, last = panel["layout"].get("xaxis", {}).get("range", (0, 0))
    groups = _near(updates, ALERT_ROOM * (last - first))
    for at, group in enumerate(groups):
        start, end = group[0], group[-1]
        shape: dict[str, Any] = {"type": "line", "opacity": 0.35}
        if end > start:
            shape = {"type": "rect", "fillcolor": look["alarm"], "opacity": 0.15}
        width = 1 if start == end else 0
        shape |= {"x0": start, "x1": end, "yref": "paper", "y0": 0, "y1": 1}
        panel["layout"]["shapes"].append(shape | {"line": {"color": look["alarm"], "width": width}})
        label = "▼"
        if len(group) > 1:
            neighbours = [abs(other[0] - start) for other in (*groups[max(0, at - 1) : at], *groups[at + 1 : at + 2])]
            is_alone = min(neighbours, default=last - first) > WORDS_ROOM * (last - first)
            label = f"▼ {count(len(group), 'alert')}" if is_alone else f"▼{len(group)}"
        panel["layout"]["annotations"].append(
            {
                "x": (start + end) / 2 if end > start else start,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": -6 if len(group) == 1 else -3,
                "text": label,
                "showarrow": False,
                "font": {"size": 14 if len(group) == 1 else 10, "color": look["alarm"]},
            }
        )


def _near(updates: Sequence[int], room: float) -> list[list[int]]:
    """Return updates in groups, in each of which every one is nearer than `room` to the one before."""
    groups: list[list[int]] = []
    for update in sorted(set(updates)):
        if groups and update - groups[-1][-1] < room:
            groups[-1].append(update)
        else:
            groups.append([update])
    return groups


def mark_resumed(look: Look, panel: Figure, history: Sequence[Epoch]) -> None:
    """Mark the updates with which an interrupted training was resumed, with a dotted line before each."""
    for at, record in enumerate(history):
        if not record.resumed:
            continue
        distance = 1 if record.step is None or not at else record.update - history[at - 1].update
        before = record.update - distance / 2
        line_at = {"type": "line", "x0": before, "x1": before, "yref": "paper", "y0": 0, "y1": 1}
        panel["layout"]["shapes"].append(line_at | {"line": {"color": look["text-3"], "width": 1, "dash": "dot"}})
        panel["layout"]["annotations"].append(
            {
                "x": before,
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
    """Mark the limit that an alarm has to cross with a dashed line."""
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


def mark_not_finite(look: Look, panel: Figure, run: Recorded, since: int | None, last: int) -> None:
    """Shade the updates from `since` to `last`, at which nothing is finite, in the alarm colour; nothing for None."""
    if since is None:
        return
    mark_span(look, panel, since, max(last, since), f"not finite since {named(run.unit, since)}")
    panel["layout"]["shapes"][-1] |= {"fillcolor": look["alarm"], "opacity": 0.08}
    panel["layout"]["annotations"][-1] |= {
        "font": {"color": look["alarm"]},
        "x": last,
        "xanchor": "right",
        "xshift": -4,
    }


def mark_span(look: Look, panel: Figure, start: float, end: float, label: str) -> None:
    """Shade the updates from `start` to `end`, with a label inside."""
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


def nothing(look: Look, subject: str, absent: str) -> Figure:
    """Return an empty figure for a subject that was not recorded; its title and `meta.absent`, for the report, say why."""
    return chart(look, [], title={"text": text(f"No {subject}: {absent}", 160)}, meta={"absent": absent})


LIGHT = Look()
