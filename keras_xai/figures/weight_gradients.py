"""Weight gradients: a heat map of all variables or layers over epochs; lines, histograms and update ratio of one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.analysis.critical_step import step_sentence
from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import power, short
from keras_xai.analysis.gradients import (
    binned,
    decades,
    gradient_health,
    histogram,
    layer_table,
    layers,
    members_of,
    row_flags,
    series,
    table,
    variable_named,
    variables,
    without_common_path,
)
from keras_xai.analysis.importance import alarm_epochs
from keras_xai.analysis.vocabulary import STATISTICS
from keras_xai.errors import unknown
from keras_xai.figures import heat_map as cells
from keras_xai.figures.colour import ramp
from keras_xai.figures.critical_step import critical_step
from keras_xai.figures.grid import grid
from keras_xai.figures.tables import named_axes, tabulated
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_alerts,
    mark_apart,
    nothing,
    overlaid,
    packed,
    text,
    texts,
    update_axis,
)
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Flag, Float
from keras_xai.updates import Unit

MAX_MAP_COLUMNS = 500  # of a heat map, which has hardly more pixels
MAX_EXACT_CELLS = 50_000  # with exact values in the hover text; of more cells these would be most of the bytes
MAX_ROWS_WITH_GAPS = 60
BIAS_SUFFIXES = ("bias", "beta", "gamma")
UPDATE_GUIDE = 1e-3  # a healthy update changes a weight by about a thousandth of itself a step
RIDGE_CURVES = 40
RIDGE_LABELS = 7
ROWS_OF = ("variables", "layers")


@dataclass(frozen=True)
class Scale:
    """Colour scale of a statistic."""

    logarithmic: bool = True
    unit: str = ".2e"  # d3 format of the value in the hover text
    high: float = 1.0  # the top of a linear scale


SCALES = {
    "rms": Scale(),
    "max": Scale(),
    "update_ratio": Scale(),
    "zero_fraction": Scale(logarithmic=False, unit=".1%"),
    "nonfinite": Scale(logarithmic=False, unit="d", high=10),
    "std": Scale(),
    "weight_norm": Scale(),
}


@dataclass(frozen=True)
class Colours:
    """Values on a colour scale, and the labels of its ends."""

    values: Float
    low: float
    high: float
    low_words: str
    high_words: str


def colours_of(values: Float, scale: Scale) -> Colours:
    """Return values on the scale of their statistic; of a logarithmic one as exponents of ten, NaN for zero."""
    if not scale.logarithmic:
        low_words, high_words = ("0\u00a0%", "100\u00a0%") if scale.high == 1 else ("0", f"≥ {scale.high:g}")
        return Colours(values, 0.0, scale.high, low_words, high_words)
    low, high = decades(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.where(values > 0, np.log10(values), np.nan)
    above = bool((exponents[np.isfinite(exponents)] > high).any())
    return Colours(exponents, low, high, _decade(low, "≤ "), _decade(high, "≥ " if above else ""))


def _decade(exponent: float, prefix: str = "") -> str:
    value = 10**exponent
    return prefix + (f"{float(f'{value:.1g}'):g}" if exponent >= -4 else power(round(exponent)))


def heat_map(
    run: Recorded,
    look: Look = LIGHT,
    *,
    statistic: str = "rms",
    by: str = "variables",
    kernels_only: bool = False,
    compact: bool = False,
    labels: int = 40,
    exact: bool = False,
    only: Sequence[int] | None = None,
) -> Figure:
    """Draw a statistic of every variable at every epoch; hatched where not captured, or zero on a logarithmic scale.

    The flags of a row are written at its end.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        statistic: one of `SCALES`.
        by: "variables", or "layers" for the variables of a layer together in one row.
        kernels_only: leave the biases out.
        compact: for a small chart: labels are layers, and cells have no exact values.
        labels: how many rows are labelled, about.
        exact: with every value as a table in `layout.meta`, which may take megabytes.
        only: the numbers of the rows that are drawn, counted among all variables or layers; by default all.
    """
    records = run.weight_gradients
    if statistic not in SCALES:
        raise unknown("gradient statistic", statistic, SCALES)
    if by not in ROWS_OF:
        raise unknown("rows", by, ROWS_OF)
    if not variables(records):
        return chart(look, [])
    scale, groups = SCALES[statistic], layers(records) if by == "layers" else {}
    names, values = _statistic_rows(run, statistic, groups, kernels_only=kernels_only)
    if only is not None:
        chosen = cells.chosen_rows(len(names), only)
        names, values = tuple(names[row] for row in chosen), values[chosen]
    if not names:
        return chart(look, [])
    columns = MAX_MAP_COLUMNS // 2 if compact else MAX_MAP_COLUMNS
    updates, recorded = [record.update for record in records], values
    epochs, values = binned(updates, values, columns)
    colours = colours_of(values, scale)
    label_names = without_common_path(names, depth=1 if groups else 2)
    if compact:
        label_names = [name.rsplit("/", 1)[0] for name in label_names]
    row_ids = [text(name, len(name)) for name in names]  # for the hover text of every row, labelled or not
    left = cells.left_margin(label_names, 90 if compact else 240)
    flags = [flag for flag in row_flags(records[-1], groups) if flag.name in names]
    trace = cells.heat_map(
        look,
        colours.values,
        colours.low,
        colours.high,
        x=epochs,
        y=row_ids,
        hoverongaps=True,
        xgap=cells.column_gap(epochs),
        ygap=1 if len(names) <= MAX_ROWS_WITH_GAPS else 0,
        **_hover(values, scale, run.unit, coarse=compact or values.size > MAX_EXACT_CELLS),
    )
    every = -(-len(names) // labels)  # only so many rows are labelled
    row_labels = texts(label_names, cells.label_length(left))[::every]
    rows: dict[str, Any] = {"ticks": row_ids[::every], "range": [len(names) - 0.5, -0.5], "type": "category"}
    ends = {"map": "sequential", "low": colours.low_words, "high": colours.high_words}
    panel = chart(
        look,
        [trace, *cells.hatched(look, epochs, np.isfinite(colours.values), row_ids)],
        xaxis=cells.cell_axis(look, run, epochs),
        yaxis=cells.row_axis(look, row_labels, **rows),
        margin={"l": left, "r": _flag_margin(flags, compact), "t": 4, "b": 22},
        hovermode="closest",
        meta={"cells": True, "rows": list(names), "labels": list(label_names), "scale": ends},
    )
    for flag in flags:
        words = flag.kind if compact else f"{flag.kind} since {flag.since}"
        panel["layout"]["annotations"].append(_flag_mark(look, row_ids[names.index(flag.name)], words))
    places = itertools.product(range(len(names)), range(len(updates)))
    return tabulated(
        panel,
        [by.removesuffix("s"), run.unit, statistic],
        lambda: ([names[row], updates[column], recorded[row, column]] for row, column in places),
        exact=exact,
    )


def _statistic_rows(
    run: Recorded, statistic: str, groups: Mapping[str, Sequence[str]], *, kernels_only: bool
) -> tuple[tuple[str, ...], Float]:
    """Return the names of the rows and their values (rows, E): of each group of variables; without groups of each variable."""
    records = run.weight_gradients
    if groups:
        names, values = tuple(groups), layer_table(records, statistic, list(groups.values()))
    else:
        names, values = variables(records), table(records, statistic)
    if not kernels_only:
        return names, values
    rows = _without_biases(names)
    return tuple(names[row] for row in rows), values[rows]


def _without_biases(names: Sequence[str]) -> list[int]:
    """Return the indices of the names that are no biases; of all names where all are."""
    rows = [row for row, name in enumerate(names) if not name.endswith(BIAS_SUFFIXES)]
    return rows or list(range(len(names)))


def _flag_margin(flags: Sequence[Flag], compact: bool) -> int:
    if not flags:
        return 4
    return 44 if compact else 100


def _flag_mark(look: Look, row: str, words: str) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "left",
        "xshift": 6,
        "y": row,
        "text": f"<b>{words}</b>",
        "showarrow": False,
        "font": {"color": look["alarm"]},
    }


def _hover(values: Float, scale: Scale, unit: Unit, *, coarse: bool) -> dict[str, Any]:
    """Return the hover text: with exact values, or if `coarse` with the value on the colour scale, in half the bytes."""
    if not coarse:
        number = f"%{{customdata:{scale.unit}}}"
        return {"customdata": packed(values), "hovertemplate": f"%{{y}}<br>{unit} %{{x}}: {number}<extra></extra>"}
    number = "10<sup>%{z:.1f}</sup>" if scale.logarithmic else f"%{{z:{scale.unit}}}"
    return {"hovertemplate": f"%{{y}}<br>{unit} %{{x}}: {number}<extra></extra>"}


def variable_lines(run: Recorded, look: Look = LIGHT, *, variable: str | None = None) -> Figure:
    """Draw RMS and largest gradient of one variable over epochs, on a logarithmic scale."""
    lines = []
    for statistic, label, dash in (("rms", "RMS", "solid"), ("max", "max", "2px,3px")):
        epochs, values = series(run, variable, statistic)
        lines.append(line(label, epochs, values, look.run_colour, dash=dash))
    return named_axes(look, _logarithmic(run, look, lines), y="|gradient|", x_column=run.unit)


def update_ratio(run: Recorded, look: Look = LIGHT, *, variable: str | None = None) -> Figure:
    """Draw the size of an update relative to the weight it changes, with the usual guide at 10⁻³; other runs thin."""
    name = variable_named(run, variable)
    lines = []
    for other in overlaid(run, look):
        records = other.run.weight_gradients
        if name in variables(records) or name in layers(records):
            epochs, values = series(other.run, name, "update_ratio")
            lines.append(line(other.name, epochs, values, look.colour_of(other), width=1.5, dash=other.dash()))
    epochs, values = series(run, variable, "update_ratio")
    lines.append(line(look.name, epochs, values, look.run_colour, width=2, dash=look.dash()))
    panel = _logarithmic(run, look, lines, always=UPDATE_GUIDE)
    guide = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": UPDATE_GUIDE, "y1": UPDATE_GUIDE}
    guide_line = {"color": look["text-3"], "width": 1, "dash": "4px,3px"}
    mark_apart(look, panel, run)
    panel["layout"]["shapes"].insert(0, {**guide, "line": guide_line})
    return named_axes(look, panel, y="|update| ÷ |weight|", x_column=run.unit)


def _logarithmic(run: Recorded, look: Look, lines: list[dict[str, Any]], always: float | None = None) -> Figure:
    """Draw lines on a logarithmic axis of whole decades that contains their values, and the value `always`."""
    values = [value for trace in lines for value in trace["y"] if value]
    if always is not None:
        values.append(always)
    logs = np.log10(values) if values else np.array([-4.0, -2.0])
    low, high = int(np.floor(logs.min())), int(np.ceil(logs.max()))
    low = max(low, high - 6)  # at most six decades: a value that goes to zero would flatten all others
    high = max(high, low + 2)
    ticks = list(range(high, low - 1, -_tick_step(high - low)))
    for trace in lines:
        trace["text"] = ["" if value is None else short(value) for value in trace["y"]]
        trace["hovertemplate"] = "%{text}"
    panel = chart(
        look,
        lines,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(
            look,
            type="log",
            range=[low - 0.05, high + 0.05],
            tickvals=[10.0**tick for tick in ticks],
            ticktext=[power(tick) for tick in ticks],
        ),
    )
    mark_alerts(look, panel, alarm_epochs(run))
    return panel


def _tick_step(span: int) -> int:
    """Return the number of decades between two labels."""
    if span <= 5:
        return 1
    return 2 if span <= 10 else -(-span // 5)


def ridge(
    run: Recorded,
    look: Look = LIGHT,
    *,
    variable: str | None = None,
    epoch: int | None = None,
    curves: int = RIDGE_CURVES,
    exact: bool = False,
) -> Figure:
    """Draw the distribution of log₂|gradient| of one variable or layer, one curve an epoch, the newest in front.

    Each curve is scaled to the same height: shapes are compared, not counts.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        variable: path of the variable or layer; by default the first variable.
        epoch: whose curve is accented; by default the last.
        curves: how many at most, evenly spaced, besides the accented one.
        exact: with the counts of all updates as a table in `layout.meta`.
    """
    records, name = run.weight_gradients, variable_named(run, variable)
    if not records or len(records[0].bin_edges) < 2:
        return chart(look, [])
    accented = position([record.update for record in records], epoch)
    even = np.linspace(0, len(records) - 1, min(curves, len(records))).round().astype(int)
    drawn = sorted({*even.tolist(), accented})
    logs = np.log2(records[0].bin_edges)
    counts = [histogram(records[at], members_of(run, name)) for at in drawn]
    part = _filled_part(counts)
    x = ((logs[:-1] + logs[1:]) / 2)[part]
    tall = 0.17 * max(6, len(drawn))  # rows that a curve reaches over
    data = []
    for row, at in enumerate(drawn):
        height = counts[row][part] / (counts[row].max() or 1.0) * tall
        name = records[at].moment
        data.append(_curve(look, name, x, row, height, row / len(drawn), accented=at == accented))
    epochs = [records[at].update for at in drawn]
    powers = list(range(int(np.ceil(x[0] / 8)) * 8, int(x[-1]) + 1, 8))
    rows = _labelled_rows(len(drawn), drawn.index(accented))
    panel = chart(
        look,
        data,
        xaxis=axis(
            look,
            showgrid=False,
            range=[float(x[0]), float(x[-1])],
            tickvals=powers,
            ticktext=[power(p, 2) for p in powers],
        ),
        yaxis=axis(
            look,
            showgrid=False,
            range=[len(drawn) - 0.5, -tall],
            tickvals=rows,
            ticktext=[f"<b>{epochs[row]}</b>" if drawn[row] == accented else str(epochs[row]) for row in rows],
        ),
        margin={"l": 28, "r": 8, "t": 4, "b": 22},
        hovermode="closest",
        meta={"rows": epochs, "by": "row"},
    )
    members, edges = members_of(run, variable_named(run, variable)), records[0].bin_edges
    named_axes(look, panel, y=run.unit, x="|gradient|")
    return tabulated(
        panel,
        [run.unit, "|gradient| from", "to", "count"],
        lambda: (
            [record.update, low, high, count]
            for record in records
            for low, high, count in zip(edges[:-1], edges[1:], histogram(record, members), strict=True)
        ),
        exact=exact,
    )


def _curve(look: Look, name: str, x: Float, row: int, height: Float, age: float, *, accented: bool) -> dict[str, Any]:
    """Return one curve with its row as base line; `age` is 0 for the oldest, 1 for the newest, which is darkest."""
    outline = {"color": ramp(look.theme, "sequential")[80 + int(120 * age)], "width": 0.9}
    if accented:
        outline = {"color": look["accent"], "width": 1.75}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": packed(np.concatenate([[x[0]], x, [x[-1]]])),
        "y": packed(np.concatenate([[row], row - height, [row]])),
        "fill": "toself",
        "fillcolor": look["accent-soft"] if accented else look["page"],
        "line": outline,
        "name": name,
        "hoverinfo": "name",
    }


def _filled_part(counts: Sequence[Float]) -> slice:
    """Return the bins that some curve fills, with one empty bin on each side."""
    filled = np.flatnonzero(np.sum([row > 0 for row in counts], axis=0))
    return slice(max(0, filled[0] - 1), filled[-1] + 2) if filled.size else slice(None)


def _labelled_rows(rows: int, accented: int) -> list[int]:
    """Return the rows with a label: about seven, evenly spaced, and the accented one instead of those near it."""
    even = list(range(0, rows, max(1, -(-rows // RIDGE_LABELS))))
    if accented in even:
        return even
    return [*(row for row in even if abs(row - accented) > rows / 14), accented]


def figure(
    run: Recorded,
    look: Look = LIGHT,
    *,
    variable: str | None = None,
    statistic: str = "rms",
    epoch: int | None = None,
) -> Figure:
    """Draw a heat map of all variables, and one variable's lines, distribution and update ratio.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        variable: the path of a variable or a layer; by default the first variable.
        statistic: of the heat map, one of "rms", "max", "update_ratio", "zero_fraction", "nonfinite", "std" and
            "weight_norm".
        epoch: whose distribution is accented; by default the last.
    """
    name = text(variable_named(run, variable))
    if not run.weight_gradients:
        return nothing(look, "weight gradients", why_absent(run, "WeightGradients"))
    heat = heat_map(run, look, statistic=statistic)
    scale = heat["layout"].get("meta", {}).get("scale", {"low": "", "high": ""})
    panels = [
        (f"{STATISTICS[statistic]} ({scale['low']} faint, {scale['high']} strong)", heat),
        (f"{name}: RMS, max dotted", variable_lines(run, look, variable=variable)),
        (f"{name}: log₂ |gradient| over {run.unit}s", ridge(run, look, variable=variable, epoch=epoch)),
        (f"{name}: update-to-weight ratio, guide {power(-3)}", update_ratio(run, look, variable=variable)),
    ]
    if run.critical_step:
        words = text(step_sentence(run, epoch), 90)
        panels.append((f"Critical step<br><sup>{words}</sup>", critical_step(run, look)))
    return grid(look, panels, title=text(gradient_health(run, epoch), 140))
