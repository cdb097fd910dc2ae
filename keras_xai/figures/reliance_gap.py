"""Training rows beside the probe: what each feature says for the label in the one and in the other, and how sure the gap is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent, signed_percent
from keras_xai.analysis.importance import cells_of
from keras_xai.analysis.reliance_gap import (
    alarmed_names,
    blind_since,
    compared_at,
    differing_names,
    features_of_largest_z,
    features_that_say_most,
    gap_alerts,
    why_not_compared,
)
from keras_xai.figures.colour import ramp
from keras_xai.figures.grid import grid
from keras_xai.figures.heat_map import heat_map, label_length, left_margin
from keras_xai.figures.tables import named_axes, tabulated
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_alerts,
    mark_limit,
    nothing,
    numbers,
    text,
    texts,
    update_axis,
)
from keras_xai.recorded import Recorded
from keras_xai.records import RelianceGap

BARRED_FEATURES, COMPACT_FEATURES = 8, 6
FOLLOWED_FEATURES = 5
LABELLED_POINTS = 6
NAME_LETTERS = 24  # of a feature beside its point
LABEL_WIDTH, LABEL_HEIGHT = 0.28, 0.06  # room of a name beside its point, in units of the axes
FOR, AGAINST = 210, 45  # of the diverging map's 256 colours
NUMBER_ROOM = 0.24  # right of the longest bar of a side, for its number, in units of the wider side
MAPS_GAP = 0.18  # between two maps, in units of a map's width
HALF = 0.5  # of the live share: a feature that says less than it on the probe may be a training-only shortcut


def gap_shares(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, exact: bool = False) -> Figure:
    """Draw for every feature its share of the evidence in the training rows over that in the probe, with the diagonal.

    On the diagonal a feature says the same in both. In the shaded part, where it says less than half in the probe, it speaks for
    the label in the training rows alone.

    Args:
        epoch: of the comparison; by default the last.
        exact: with its numbers as a table in `layout.meta`.
    """
    gap, at = run.gap, compared_at(run.gap, epoch)
    if gap is None or at is None:
        return nothing(look, "comparison", why_not_compared(run, epoch))
    live, probe = gap.live[at], gap.probe[at]
    features = np.flatnonzero(np.isfinite(live) & np.isfinite(probe)).tolist()
    low, high = _range(100 * np.concatenate([live[features], probe[features]]))
    alarmed, differing = alarmed_names(run, epoch), differing_names(run, epoch)
    alarms = [f for f in features if gap.names[f] in alarmed]
    shifts = [f for f in features if gap.names[f] in differing and f not in alarms]
    others = [f for f in features if f not in alarms and f not in shifts]
    data = [
        _points(gap, at, others, {"color": look["text-3"], "size": 7, "opacity": 0.55}),
        _points(gap, at, shifts, {"color": look["page"], "size": 9, "line": {"color": look["text"], "width": 1.5}}),
        _points(gap, at, alarms, {"color": look["alarm"], "size": 11}),
    ]
    scale: dict[str, Any] = {"range": [low, high], "ticksuffix": "\u00a0%", "nticks": 6, "zeroline": True}
    scale |= {"zerolinecolor": look["line-strong"], "zerolinewidth": 1}
    panel = chart(
        look,
        [trace for trace in data if trace["x"]],
        xaxis=axis(look, **scale, title=_axis_title(look, "in the probe")),
        yaxis=axis(look, **scale, title=_axis_title(look, "in the training rows")),
        margin={"l": 58, "r": 12, "t": 8, "b": 40},
        hovermode="closest",
        meta={
            "title": "Share of the evidence: training rows over probe",
            "reading": f"{gap.moment(at).capitalize()}, each feature a point. On the diagonal it says the same in both; in the "
            f"shaded part it speaks for the label in the training rows alone. {blind_since(run, epoch)}".rstrip(),
        },
    )
    panel["layout"]["shapes"] += _guides(look, low, high)
    colours = {"alarm": alarms, "text": shifts, "text-2": others}
    panel["layout"]["annotations"] += _point_labels(look, gap, at, colours, (low, high))
    return _with_shares(panel, gap, at, exact=exact)


def _with_shares(panel: Figure, gap: RelianceGap, at: int, *, exact: bool) -> Figure:
    """Add the shares of all features at an update as a table, where they are asked for."""
    columns = ["feature", "share in the training rows", "share in the probe", "z"]
    return tabulated(
        panel, columns, lambda: zip(gap.names, gap.live[at], gap.probe[at], gap.z[at], strict=True), exact=exact
    )


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Return an axis range that holds some shares and zero, with a margin."""
    low, high = min(0.0, float(values.min(initial=0.0))), max(0.0, float(values.max(initial=0.0)))
    room = 0.06 * ((high - low) or 1.0)
    return low - room, (high or 0.0) + room


def _axis_title(look: Look, words: str) -> dict[str, Any]:
    return {"text": words, "font": {"size": 11, "color": look["text-2"]}, "standoff": 6}


def _points(gap: RelianceGap, at: int, features: Sequence[int], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "features",
        "x": numbers(100 * gap.probe[at, list(features)]),
        "y": numbers(100 * gap.live[at, list(features)]),
        "text": [text(gap.names[f]) for f in features],
        "customdata": [_hover_words(gap, at, f) for f in features],
        "hovertemplate": "<b>%{text}</b><br>%{customdata}<extra></extra>",
        "marker": {"line": {"width": 0}, **marker},
    }


def _hover_words(gap: RelianceGap, at: int, f: int) -> str:
    """Return the figures of a feature at an update, for the hover text."""
    z = gap.z[at, f]
    certainty = f"z {z:.1f}, limit {gap.limit:g}" if np.isfinite(z) else "z not recorded"
    sides = f"training rows {signed_percent(gap.live[at, f])}, probe {signed_percent(gap.probe[at, f])}"
    return f"{sides}<br>{certainty}"


def _guides(look: Look, low: float, high: float) -> list[dict[str, Any]]:
    """Return the diagonal, and the part of the plane in which a shortcut of the training rows lies."""
    corner = HALF * high
    shade = {
        "type": "path",
        "path": f"M {low} 0 L 0 0 L {corner} {high} L {low} {high} Z",
        "fillcolor": look["grid"],
        "line": {"width": 0},
        "layer": "below",
    }
    diagonal = {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "layer": "below"}
    return [shade, diagonal | {"line": {"color": look["text-3"], "width": 1, "dash": "2px,3px"}}]


def _point_labels(
    look: Look, gap: RelianceGap, at: int, features: Mapping[str, Sequence[int]], extent: tuple[float, float]
) -> list[dict[str, Any]]:
    """Return the names beside points that have room: of alerts first, then of those that lie farthest from zero.

    Args:
        look: of the figure.
        gap: over epochs.
        at: index of the update.
        features: by the colour of their names, those of alerts first.
        extent: of both axes.
    """
    low, high = extent
    width, height = LABEL_WIDTH * (high - low), LABEL_HEIGHT * (high - low)
    x, y = 100 * gap.probe[at], 100 * gap.live[at]
    taken: list[tuple[float, float]] = []
    labels = []
    for token, group in features.items():
        farthest_first = sorted(group, key=lambda f: -max(abs(gap.live[at, f]), abs(gap.probe[at, f])))
        for f in farthest_first[:LABELLED_POINTS]:
            if any(abs(x[f] - a) < width and abs(y[f] - b) < height for a, b in taken):
                continue
            taken.append((float(x[f]), float(y[f])))
            beside = np.abs(y - y[f]) < height / 2
            on_left = int((beside & (x < x[f]) & (x > x[f] - width)).sum())
            on_right = int((beside & (x > x[f]) & (x < x[f] + width)).sum())
            has_left, has_right = x[f] - width > low, x[f] + width < high
            left = has_left and (on_left < on_right or not has_right)
            name = text(gap.names[f], NAME_LETTERS)
            labels.append(_point_label(look, name, float(x[f]), float(y[f]), token, left=left))
    return labels


def _point_label(look: Look, name: str, x: float, y: float, token: str, *, left: bool) -> dict[str, Any]:
    """Return the name of a point, on its left or on its right."""
    return {
        "x": x,
        "y": y,
        "text": f"<b>{name}</b>" if token == "alarm" else name,
        "showarrow": False,
        "xanchor": "right" if left else "left",
        "xshift": -8 if left else 8,
        "font": {"color": look[token]},
    }


def gap_evidence(
    run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, compact: bool = False, exact: bool = False
) -> Figure:
    """Draw what the features say in the training rows beside what they say in the probe, both on one scale.

    Maps of an image, and the difference of the two; else bars of the features that say most.

    Args:
        epoch: of the comparison; by default the last.
        compact: fewer bars.
        exact: with its numbers as a table in `layout.meta`.
    """
    gap, at = run.gap, compared_at(run.gap, epoch)
    if gap is None or at is None:
        return nothing(look, "comparison", why_not_compared(run, epoch))
    cells = cells_of(run.probe)
    if cells is not None and len(cells) == 2 and cells[0] * cells[1] == len(gap.names):
        maps = _maps(look, gap, at, (cells[0], cells[1]), alarmed_names(run, epoch))
        return _with_shares(maps, gap, at, exact=exact)
    bars = _bars(run, look, gap, at, epoch, COMPACT_FEATURES if compact else BARRED_FEATURES)
    return _with_shares(bars, gap, at, exact=exact)


def _bars(run: Recorded, look: Look, gap: RelianceGap, at: int, epoch: int | None, most: int) -> Figure:
    """Draw two-sided bars: training rows on the left, the probe on the right, each from a zero line of its own.

    Both have one scale, and as much room as their longest bars take.
    """
    alarmed = alarmed_names(run, epoch)
    features = features_that_say_most(gap, at, most, [*alarmed, *differing_names(run, epoch)])
    sides = [("training rows", gap.live[at]), ("probe", gap.probe[at])]
    (low, live_high), (probe_low, probe_high) = (_extent(values[features]) for _, values in sides)
    unit = max(live_high - low, probe_high - probe_low)
    room = NUMBER_ROOM * unit
    probe_zero = live_high + room - probe_low  # where the right side's zero line stands
    colours = ramp(look.theme, "diverging")
    rows = list(range(len(features)))
    names = [gap.names[f] for f in features]
    left = left_margin(names, 172, letter=6)
    data, shapes, annotations = [], [], []
    for side, (title, values) in enumerate(sides):
        zero = side * probe_zero
        bars = [float(values[f]) for f in features]
        colour = [colours[FOR if share >= 0 else AGAINST] for share in bars]
        colour = [look["alarm"] if name in alarmed else c for name, c in zip(names, colour, strict=True)]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": title,
                "y": rows,
                "x": [share if np.isfinite(share) else None for share in bars],
                "base": zero,
                "width": 0.62,
                "marker": {"color": colour, "line": {"width": 0}},
                "customdata": [
                    f"<b>{text(n)}</b><br>{_hover_words(gap, at, f)}" for n, f in zip(names, features, strict=True)
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
        shapes.append(_zero_line(look, zero))
        annotations.append(_side_title(look, zero, title))
        for row, share in enumerate(bars):
            annotations.append(_bar_end(look, zero, row, share))
    panel = chart(
        look,
        data,
        xaxis=axis(
            look, range=[low - 0.02 * unit, probe_zero + probe_high + room], showgrid=False, showticklabels=False
        ),
        yaxis=axis(
            look,
            range=[len(rows) - 0.5, -0.5],
            showgrid=False,
            tickvals=rows,
            ticktext=_row_labels(look, names, alarmed, label_length(left)),
        ),
        margin={"l": left, "r": 12, "t": 24, "b": 8},
        hovermode="closest",
        barmode="overlay",
        meta={
            "title": "What the features say for the label",
            "reading": f"Mean share of a row's evidence, {gap.moment(at)}: {int(gap.live_rows[at])} training rows, "
            f"{int(gap.probe_rows[at])} of the probe. Right of its line for the label, left of it against.",
            "bars": len(names),
        },
    )
    panel["layout"]["shapes"] += shapes
    panel["layout"]["annotations"] += annotations
    return panel


def _extent(shares: NDArray[Any]) -> tuple[float, float]:
    """Return the range that the bars of some shares take, with zero inside."""
    finite = shares[np.isfinite(shares)]
    return min(0.0, float(finite.min(initial=0.0))), max(0.0, float(finite.max(initial=0.0))) or 0.001


def _zero_line(look: Look, zero: float) -> dict[str, Any]:
    at = {"type": "line", "x0": zero, "x1": zero, "yref": "paper", "y0": 0, "y1": 1}
    return at | {"line": {"color": look["line-strong"], "width": 1}}


def _side_title(look: Look, zero: float, title: str) -> dict[str, Any]:
    return {
        "x": zero,
        "xanchor": "left",
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "text": f"<b>{title}</b>",
        "align": "left",
        "showarrow": False,
        "font": {"size": 12, "color": look["text"]},
    }


def _bar_end(look: Look, zero: float, row: int, share: float) -> dict[str, Any]:
    """Return the number at the end of a bar, right of it or of its zero line."""
    measured = bool(np.isfinite(share))
    return {
        "x": zero + max(share, 0.0) if measured else zero,
        "y": row,
        "xanchor": "left",
        "xshift": 3,
        "text": signed_percent(share) if measured else "not recorded",
        "showarrow": False,
        "font": {"color": look["text-2"]},
    }


def _row_labels(look: Look, names: Sequence[str], alarmed: Sequence[str], length: int) -> list[str]:
    marked = f"<b><span style='color:{look['alarm']}'>{{}}</span></b>"
    pairs = zip(names, texts(names, length), strict=True)
    return [marked.format(label) if name in alarmed else label for name, label in pairs]


def _maps(look: Look, gap: RelianceGap, at: int, cells: tuple[int, int], alarmed: Sequence[str]) -> Figure:
    """Draw the shares as maps of the input: training rows, probe, and their difference on a scale of its own.

    The cells of alarms have a frame.
    """
    rows, columns = cells
    live, probe = gap.live[at].reshape(cells), gap.probe[at].reshape(cells)
    difference = live - probe
    high = float(np.nanmax(np.abs(np.stack([live, probe])), initial=0.0)) or 0.01
    most = float(np.nanmax(np.abs(difference), initial=0.0)) or 0.01
    pitch = columns * (1 + MAPS_GAP)
    names = [text(name) for name in gap.names]
    data, annotations = [], []
    for k, (title, values, end) in enumerate(
        [("training rows", live, high), ("probe", probe, high), ("training rows less probe", difference, most)]
    ):
        hovers = [f"{name}<br>{signed_percent(share)}" for name, share in zip(names, values.ravel(), strict=True)]
        data.append(
            heat_map(
                look,
                values,
                -end,
                end,
                colours="diverging",
                x0=k * pitch,
                dx=1,
                y0=0,
                dy=1,
                name=title,
                text=np.reshape(np.asarray(hovers, object), cells).tolist(),
                hovertemplate="%{text}<extra></extra>",
                hoverongaps=False,
            )
        )
        annotations.append(_side_title(look, k * pitch - 0.5, title))
    panel = chart(
        look,
        data,
        xaxis=axis(look, range=[-0.5, 2 * pitch + columns - 0.5], showgrid=False, showticklabels=False),
        yaxis=axis(
            look,
            range=[rows - 0.5, -0.5],
            showgrid=False,
            showticklabels=False,
            scaleanchor="x",
            constrain="domain",
            constraintoward="top",
        ),
        margin={"l": 4, "r": 4, "t": 24, "b": 4},
        hovermode="closest",
        meta={
            "title": "What the parts of the input say for the label",
            "reading": f"Mean share of a row's evidence, {gap.moment(at)}: {int(gap.live_rows[at])} training rows, "
            f"{int(gap.probe_rows[at])} of the probe.",
            "scales": [
                {"map": "diverging", "low": f"−{percent(high)}", "high": f"+{percent(high)} for the label"},
                {"map": "diverging", "low": f"difference −{percent(most)}", "high": f"+{percent(most)}"},
            ],
        },
    )
    frames = []
    for f in [gap.names.index(name) for name in alarmed if name in gap.names]:
        frames += [_cell_frame(look, k * pitch, *divmod(f, columns)) for k in range(3)]
    panel["layout"]["shapes"] += frames
    panel["layout"]["xaxis"] |= {"constrain": "domain", "constraintoward": "left"}
    panel["layout"]["annotations"] += annotations
    return panel


def _cell_frame(look: Look, left: float, row: int, column: int) -> dict[str, Any]:
    """Return a frame around a cell of the map that begins at `left`."""
    x, y = left + column, float(row)
    place = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return {"type": "rect", **place, "line": {"color": look["alarm"], "width": 1.5}}


def gap_z(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, exact: bool = False) -> Figure:
    """Draw how sure the gap is over updates, for the features whose z was largest, with the limit of an alarm.

    Args:
        epoch: whose largest z, over all updates until then, choose the features; by default the last.
        exact: with its numbers as a table in `layout.meta`.
    """
    gap, at = run.gap, compared_at(run.gap, epoch)
    if gap is None or at is None:
        return nothing(look, "comparison", why_not_compared(run, epoch))
    alarmed = alarmed_names(run, epoch)
    features = features_of_largest_z(gap, at, FOLLOWED_FEATURES, [*alarmed, *differing_names(run, epoch)])
    data = []
    for f in sorted(features, key=lambda f: gap.names[f] in alarmed):
        colour = look["alarm"] if gap.names[f] in alarmed else look["text-3"]
        data.append(_z_line(gap, f, colour, 2.25 if gap.names[f] in alarmed else 1.25))
        data.append(_hits(gap, f, colour))
    top = max([1.5 * gap.limit, *(float(np.nanmax(gap.z[:, f], initial=0.0)) * 1.1 for f in features)])
    longest = max(map(len, texts([gap.names[f] for f in features], 22)), default=1)
    right = int(min(170, 24 + 6 * longest))
    panel = chart(
        look,
        data,
        xaxis=update_axis(look, run, list(run.updates)),
        yaxis=axis(look, range=[0, top], nticks=5, rangemode="tozero", hoverformat=".1f"),
        margin={"l": 32, "r": right, "t": 18, "b": 22},
        meta={
            "title": "How sure the gap is",
            "reading": f"z of the largest gaps over updates. Over {gap.limit:g} (dots) at three updates running it is an alarm.",
        },
    )
    mark_limit(look, panel, gap.limit, f"limit {gap.limit:g}")
    alarms = sorted({alert.update for alert in gap_alerts(run) if alert.is_alarm})
    mark_alerts(look, panel, alarms)
    if len(alarms) == 1:  # beside several marks it has no room
        panel["layout"]["annotations"].append(_running(look, alarms[0]))
    panel["layout"]["annotations"] += _line_ends(look, gap, features, alarmed, top)
    panel["layout"]["meta"]["labelled"] = True
    named_axes(look, panel, y="z", x_column=run.unit)
    columns = [run.unit, *gap.names]
    return tabulated(
        panel, columns, lambda: ([update, *z] for update, z in zip(gap.updates, gap.z, strict=True)), exact=exact
    )


def _running(look: Look, epoch: int) -> dict[str, Any]:
    """Return the words beside the mark of the first alarm."""
    return {
        "x": epoch,
        "xanchor": "left",
        "xshift": 8,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "yshift": -4,
        "text": "three updates running",
        "showarrow": False,
        "font": {"color": look["alarm"]},
    }


def _z_line(gap: RelianceGap, f: int, colour: str, width: float) -> dict[str, Any]:
    return line(gap.names[f], gap.updates, gap.z[:, f], colour, width=width, hovertemplate="%{y:.1f}")


def _hits(gap: RelianceGap, f: int, colour: str) -> dict[str, Any]:
    """Return a dot at each update at which the z of a feature is over the limit."""
    over = np.flatnonzero(np.nan_to_num(gap.z[:, f]) > gap.limit)
    return {
        "type": "scatter",
        "mode": "markers",
        "hoverinfo": "skip",
        "x": [int(gap.updates[e]) for e in over],
        "y": [float(gap.z[e, f]) for e in over],
        "marker": {"color": colour, "size": 5},
    }


def _line_ends(
    look: Look, gap: RelianceGap, features: Sequence[int], alarmed: Sequence[str], top: float
) -> list[dict[str, Any]]:
    """Return the names at the right ends of the lines, moved apart where they would overlap."""
    ends = []
    for f in features:
        finite = np.flatnonzero(np.isfinite(gap.z[:, f]))
        if finite.size:
            ends.append((float(gap.z[finite[-1], f]), f))
    room = top / 10  # a line of text, where a window of 800 pixels makes the panel low
    names = dict(zip([f for _, f in ends], texts([gap.names[f] for _, f in ends], 22), strict=True))
    labels: list[dict[str, Any]] = []
    above = np.inf
    for z, f in sorted(ends, reverse=True):
        y = min(z, above - room)
        above = y
        alarm = gap.names[f] in alarmed
        name = names[f]
        labels.append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "left",
                "xshift": 8,
                "y": y,
                "text": f"<b>{name}</b>" if alarm else name,
                "showarrow": False,
                "font": {"color": look["alarm"] if alarm else look["text-2"]},
            }
        )
    below = -room / 2
    for label in reversed(labels):  # what the names above have pushed under the axis comes up again
        label["y"] = max(label["y"], below + room)
        below = label["y"]
    return labels


def figure(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw what the features say in training rows and probe, the two shares over each other, and how sure the gap is.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: of the comparison; by default the last.
    """
    why = why_not_compared(run, epoch)
    if why:
        return nothing(look, "comparison", why)
    panels = [gap_evidence(run, look, epoch=epoch), gap_shares(run, look, epoch=epoch), gap_z(run, look, epoch=epoch)]
    titled = [(panel["layout"]["meta"]["title"], panel) for panel in panels]
    titled[0] = (f"{titled[0][0]}<br>\u00a0", panels[0])  # an empty line, for the titles of its sides
    return grid(look, titled, columns=1, row_height=320)
