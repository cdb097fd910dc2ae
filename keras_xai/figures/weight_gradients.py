"""Weight gradients: layer × epoch at a glance; one variable's lines, its histogram ridge and its update ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.errors import unknown
from keras_xai.figures.colour import colourscale, ramp
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import cell_axis, position
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    epoch_axis,
    hatched,
    line,
    mark_alerts,
    packed,
    text,
)
from keras_xai.figures.words import power, short
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import STATISTICS, Float, Gradients, layer_of

MOST = 500  # columns of a heat map: there are hardly more pixels
MANY = 50_000  # cells that tell their exact value under the pointer: beyond, that would be most of the bytes
GUIDE = 1e-3  # a healthy update changes a weight by about a thousandth of itself a step


@dataclass(frozen=True)
class Scale:
    """How a statistic becomes a colour."""

    title: str
    logarithmic: bool = True
    unit: str = ".2e"  # d3 format of the exact value under the pointer
    high: float = 1.0  # the top of a linear scale


SCALES = {
    "rms": Scale("Root mean square of the gradient"),
    "max": Scale("Largest gradient"),
    "update_ratio": Scale("Update-to-weight ratio a step"),
    "zero_fraction": Scale("Fraction of gradients that are exactly zero", logarithmic=False, unit=".1%"),
    "nonfinite": Scale("Gradients that are NaN or infinite", logarithmic=False, unit="d", high=10),
    "std": Scale("Standard deviation of the gradient"),
    "weight_norm": Scale("Norm of the weights"),
}


# Thresholds of the flags, where a record does not say which were in force.
USUAL = {"dead": 0.999, "vanishing": 1e-7, "exploding": 100.0}


def variables(records: Sequence[Gradients]) -> tuple[str, ...]:
    """The variables of a run, as the last record names them."""
    return records[-1].names if records else ()


def without_common_path(names: Sequence[str], depth: int = 2) -> list[str]:
    """Variable paths without the model's own name, where all of them begin with it and are at least so deep."""
    first = {name.split("/", 1)[0] for name in names}
    if len(first) > 1 or any(name.count("/") < depth for name in names):
        return list(names)
    return [name.split("/", 1)[1] for name in names]


def layers(records: Sequence[Gradients]) -> dict[str, tuple[str, ...]]:
    """The variables of each layer, by the layer's name; nothing where the record holds no sizes to weigh them with."""
    found: dict[str, tuple[str, ...]] = {}
    if records and len(records[-1].sizes) == len(records[-1].names):
        for name in records[-1].names:
            layer = layer_of(name)
            found[layer] = (*found.get(layer, ()), name)
    return found


def table(records: Sequence[Gradients], statistic: str, names: Sequence[str] | None = None) -> Float:
    """A statistic as (V, E), NaN where a variable was not there or nothing was captured."""
    if statistic not in STATISTICS:
        raise unknown("gradient statistic", statistic, STATISTICS)
    names = variables(records) if names is None else tuple(names)
    out = np.full((len(names), len(records)), np.nan)
    place: dict[str, int] = {}
    rows: list[int] = []
    last: tuple[str, ...] | None = None
    for e, record in enumerate(records):
        if record.names != last:  # the same all along, unless layers were added or unfrozen between two fits
            place, last = {name: v for v, name in enumerate(record.names)}, record.names
            rows = [place.get(name, -1) for name in names]
        found = record.statistics[statistic]
        out[:, e] = found[rows] if min(rows, default=0) >= 0 else [found[v] if v >= 0 else np.nan for v in rows]
    return out


def layer_table(records: Sequence[Gradients], statistic: str, groups: Sequence[Sequence[str]]) -> Float:
    """A statistic of groups of variables as (L, E): of all their entries that got a gradient, as one.

    Moments are weighed by size, norms add up as squares; the same figures as `Gradients.by_layer`, for all epochs at
    once.
    """
    sizes = dict(zip(records[-1].names, records[-1].sizes, strict=True))
    wanted = {"update_ratio": ("weight_norm",), "std": ("rms", "mean")}.get(statistic, ())
    names = [name for group in groups for name in group]
    tables = {s: table(records, s, names) for s in {statistic, "zero_fraction", *wanted}}
    out, begin = np.full((len(groups), len(records)), np.nan), 0
    for row, group in enumerate(groups):
        part = slice(begin, begin := begin + len(group))
        captured = np.isfinite(tables["zero_fraction"][part])
        n = np.where(captured, np.reshape([sizes[name] for name in group], (-1, 1)), 0.0)
        values = {s: np.where(captured, found[part], 0.0) for s, found in tables.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            out[row] = np.where(captured.any(0), _merged(values, n, statistic), np.nan)
    return out


def _merged(values: dict[str, Float], n: Float, statistic: str) -> Float:
    """(M, E) of one group's variables as (E)."""
    share = n / n.sum(0)
    if statistic == "rms":
        return np.sqrt((share * values["rms"] ** 2).sum(0))
    if statistic == "std":
        return np.sqrt(np.maximum(0, (share * values["rms"] ** 2).sum(0) - (share * values["mean"]).sum(0) ** 2))
    if statistic == "max":
        return np.asarray(values["max"].max(0))
    if statistic == "nonfinite":
        return np.asarray(values["nonfinite"].sum(0))
    if statistic == "weight_norm":
        return np.sqrt((values["weight_norm"] ** 2).sum(0))
    if statistic == "update_ratio":
        moved, weight = np.isfinite(values["update_ratio"]), (values["weight_norm"] ** 2).sum(0)
        update = np.where(moved, values["update_ratio"] * values["weight_norm"], 0.0)
        return np.where(moved.any(0) & (weight > 0), np.sqrt((update**2).sum(0) / weight), np.nan)
    return np.asarray((share * values[statistic]).sum(0))


def binned(epochs: list[int], values: Float, most: int) -> tuple[list[int], Float]:
    """(V, E) in at most `most` columns: each the largest of as many neighbours, named for the first of them.

    The largest, so that a single bad epoch of a long run is still seen.
    """
    step = -(-len(epochs) // most)
    if step <= 1:
        return epochs, values
    padded = np.pad(values, ((0, 0), (0, -len(epochs) % step)), constant_values=np.nan)
    return epochs[::step], np.fmax.reduce(padded.reshape(len(values), -1, step), axis=2)


def span(values: Float) -> tuple[float, float]:
    """The decades of a logarithmic colour scale: fitted to the run, so that a factor of two is visible."""
    seen = np.log10(values[np.isfinite(values) & (values > 0)])
    if not seen.size:
        return -8.0, 0.0
    low, high = np.floor(2 * np.quantile(seen, 0.06)) / 2, np.ceil(2 * np.quantile(seen, 0.99)) / 2
    return float(low), float(max(high, low + 0.5))


def heat_map(
    run: Recorded,
    look: Look = LIGHT,
    *,
    statistic: str = "rms",
    by: str = "variables",
    kernels_only: bool = False,
    compact: bool = False,
    labels: int = 40,
    **_: Any,
) -> Figure:
    """A statistic of every variable at every epoch; what was not captured, or is zero on a log scale, is hatched.

    `by="layers"` merges the variables of each layer into one row; `kernels_only` leaves the biases out; `compact` names
    layers instead of variables. Flags stand at the row's end.
    """
    records = run.weight_gradients
    if statistic not in SCALES:
        raise unknown("gradient statistic", statistic, SCALES)
    if by not in ("variables", "layers"):
        raise unknown("rows", by, ("variables", "layers"))
    if not variables(records):
        return chart(look, [])
    scale, names, groups = SCALES[statistic], variables(records), layers(records) if by == "layers" else {}
    if groups:
        values, names = layer_table(records, statistic, list(groups.values())), tuple(groups)
    else:
        values = table(records, statistic)
    rows = [v for v, n in enumerate(names) if not (kernels_only and n.endswith(("bias", "beta", "gamma")))]
    rows = rows or list(range(len(names)))
    values, names = values[rows], tuple(names[v] for v in rows)
    epochs, values = binned([record.epoch for record in records], values, MOST // 2 if compact else MOST)
    if scale.logarithmic:
        low, high = span(values)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(values > 0, np.log10(values), np.nan)
        over = bool((z[np.isfinite(z)] > high).any())
        ends = [_decade(low, "≤ "), _decade(high, "≥ " if over else "")]
    else:
        low, high, z = 0.0, scale.high, values
        ends = ["0\u00a0%", "100\u00a0%"] if scale.high == 1 else ["0", f"≥ {scale.high:g}"]
    shown = without_common_path(names, depth=1 if groups else 2)
    shown = [name.rsplit("/", 1)[0] for name in shown] if compact else shown
    rows_named = [text(name, len(name)) for name in names]  # the pointer finds a name on every row, labelled or not
    left = int(min(90 if compact else 240, 20 + 6.2 * max(map(len, shown))))
    flags = [flag for flag in _flags(records[-1], groups) if flag[0] in names]
    panel = chart(
        look,
        [
            {
                "type": "heatmap",
                "x": epochs,
                "y": rows_named,
                "z": packed(z),
                "zmin": low,
                "zmax": high,
                "colorscale": colourscale(look.theme, "sequential"),
                "showscale": False,
                "hoverongaps": True,
                "xgap": 1 if len(epochs) <= 120 else 0,
                "ygap": 1 if len(names) <= 60 else 0,
                **_hover(values, scale, compact or values.size > MANY),
            },
            *hatched(look, epochs, np.isfinite(z), rows_named),
        ],
        xaxis=cell_axis(look, epochs),
        yaxis=axis(
            look,
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            type="category",
            tickvals=rows_named[:: -(-len(names) // labels)],
            ticktext=[text(name, (left - 12) // 6) for name in shown[:: -(-len(names) // labels)]],
        ),
        margin={"l": left, "r": (44 if compact else 100) if flags else 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={
            "cells": True,
            "rows": list(names),
            "labels": list(shown),
            "scale": {"map": "sequential", "low": ends[0], "high": ends[1]},
        },
    )
    for name, kind, since in flags:
        panel["layout"]["annotations"].append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "left",
                "xshift": 6,
                "y": rows_named[names.index(name)],
                "text": f"<b>{kind}</b>" if compact else f"<b>{kind} since {since}</b>",
                "showarrow": False,
                "font": {"color": look["alarm"]},
            }
        )
    return panel


def _flags(record: Gradients, groups: dict[str, tuple[str, ...]]) -> list[tuple[str, str, int]]:
    """The flags of a record's rows: a layer has those of its variables, from the first epoch of each kind."""
    layer = {name: row for row, members in groups.items() for name in members}
    found: dict[tuple[str, str], int] = {}
    for name, kind, since in record.flags:
        key = layer.get(name, name), kind
        found[key] = min(since, found.get(key, since))
    return [(name, kind, since) for (name, kind), since in found.items()]


def _hover(values: Float, scale: Scale, coarse: bool) -> dict[str, Any]:
    """Exact values under the pointer; a small or a huge map says the decade, and is half as many bytes."""
    if coarse:
        told = "10<sup>%{z:.1f}</sup>" if scale.logarithmic else f"%{{z:{scale.unit}}}"
        return {"hovertemplate": f"%{{y}}<br>epoch %{{x}}: {told}<extra></extra>"}
    return {
        "customdata": packed(values),
        "hovertemplate": f"%{{y}}<br>epoch %{{x}}: %{{customdata:{scale.unit}}}<extra></extra>",
    }


def _decade(exponent: float, prefix: str = "") -> str:
    value = 10**exponent
    return prefix + (f"{float(f'{value:.1g}'):g}" if exponent >= -4 else power(round(exponent)))


def variable_lines(run: Recorded, look: Look = LIGHT, *, variable: str | None = None, **_: Any) -> Figure:
    """RMS and largest gradient of one variable over epochs, on a logarithmic scale."""
    series = []
    for statistic, dash in (("rms", "solid"), ("max", "2px,3px")):
        epochs, values = _series(run, variable, statistic)
        series.append(line(statistic.upper() if statistic == "rms" else "max", epochs, values, look.own, dash=dash))
    return _decades(run, look, series)


def update_ratio(run: Recorded, look: Look = LIGHT, *, variable: str | None = None, **_: Any) -> Figure:
    """Size of an update relative to the weight it changes, with the usual guide at 10⁻³; other runs thin."""
    name = variable_named(run, variable)
    series = []
    for other in look.others:
        if name in variables(other.run.weight_gradients) or name in layers(other.run.weight_gradients):
            series.append(line(other.name, *_series(other.run, name, "update_ratio"), look.of(other), width=1.5))
    series.append(line(look.name, *_series(run, variable, "update_ratio"), look.own, width=2))
    panel = _decades(run, look, series, always=GUIDE)
    panel["layout"]["shapes"].insert(
        0,
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": GUIDE,
            "y1": GUIDE,
            "line": {"color": look["text-3"], "width": 1, "dash": "4px,3px"},
        },
    )
    return panel


def variable_named(run: Recorded, name: str | None) -> str:
    """The variable or the layer asked for, or the first variable."""
    names = variables(run.weight_gradients)
    if name and name not in names and name not in layers(run.weight_gradients):
        raise unknown("variable", name, (*names, *layers(run.weight_gradients)))
    return name or (names[0] if names else "")


def _members(run: Recorded, name: str) -> tuple[str, ...]:
    """The variables behind a name: itself, or those of the layer."""
    return (name,) if name in variables(run.weight_gradients) else layers(run.weight_gradients).get(name, (name,))


def _series(run: Recorded, variable: str | None, statistic: str) -> tuple[list[int], Float]:
    name, records = variable_named(run, variable), run.weight_gradients
    members = _members(run, name)
    alone = members == (name,)
    (values,) = table(records, statistic, members) if alone else layer_table(records, statistic, [members])
    return [record.epoch for record in records], np.where(values > 0, values, np.nan)


def _decades(run: Recorded, look: Look, series: list[dict[str, Any]], always: float | None = None) -> Figure:
    """Lines on whole decades around what is drawn, so that they fill their chart."""
    seen = [v for trace in series for v in trace["y"] if v] + ([always] if always else [])
    logs = np.log10(seen) if seen else np.array([-4.0, -2.0])
    low, high = int(np.floor(logs.min())), int(np.ceil(logs.max()))
    low = max(low, high - 6)  # an update that dies away would flatten everything before it
    high = max(high, low + 2)
    step = 1 if high - low <= 5 else 2 if high - low <= 10 else -(-(high - low) // 5)
    marks = list(range(high, low - 1, -step))
    for trace in series:
        trace["hovertemplate"] = "%{y:.2e}"
    panel = chart(
        look,
        series,
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(
            look,
            type="log",
            range=[low - 0.05, high + 0.05],
            tickvals=[10.0**mark for mark in marks],
            ticktext=[power(mark) for mark in marks],
        ),
    )
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    return panel


def ridge(
    run: Recorded,
    look: Look = LIGHT,
    *,
    variable: str | None = None,
    epoch: int | None = None,
    most: int = 40,
    **_: Any,
) -> Figure:
    """Distribution of log₂|gradient| of one variable, one curve an epoch, the newest in front.

    Each curve has its own height: shapes are compared, not counts. The epoch asked for is accented; of a long run
    `most` epochs are drawn, evenly, that one and the last among them.
    """
    records, name = run.weight_gradients, variable_named(run, variable)
    if not records or len(records[0].bin_edges) < 2:
        return chart(look, [])
    now = position([record.epoch for record in records], epoch)
    shown = sorted({*np.linspace(0, len(records) - 1, min(most, len(records))).round().astype(int).tolist(), now})
    centres = (np.log2(records[0].bin_edges[:-1]) + np.log2(records[0].bin_edges[1:])) / 2
    colours, tall = ramp(look.theme, "sequential"), 0.17 * max(6, len(shown))
    curves: list[tuple[int, Float]] = []
    for at in shown:
        there = [records[at].names.index(member) for member in _members(run, name) if member in records[at].names]
        counts: Float = np.nan_to_num(np.asarray(records[at].histogram[there], np.float64)).sum(0)
        curves.append((at, counts))
    filled = np.flatnonzero(np.sum([counts > 0 for _, counts in curves], axis=0))
    keep = slice(max(0, filled[0] - 1), filled[-1] + 2) if filled.size else slice(None)
    x = centres[keep]
    data: list[dict[str, Any]] = []
    for row, (at, counts) in enumerate(curves):
        height = counts[keep] / (counts.max() or 1.0) * tall
        accent = at == now
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": packed(np.concatenate([[x[0]], x, [x[-1]]])),
                "y": packed(np.concatenate([[row], row - height, [row]])),
                "fill": "toself",
                "fillcolor": look["accent-soft"] if accent else look["page"],
                "line": {
                    "color": look["accent"] if accent else colours[80 + int(120 * row / len(shown))],
                    "width": 1.75 if accent else 0.9,
                },
                "name": f"epoch {records[at].epoch}",
                "hoverinfo": "name",
            }
        )
    marks = list(range(0, len(shown), max(1, -(-len(shown) // 7))))
    if now in shown and shown.index(now) not in marks:
        marks = [m for m in marks if abs(m - shown.index(now)) > len(shown) / 14] + [shown.index(now)]
    powers = list(range(int(np.ceil(x[0] / 8)) * 8, int(x[-1]) + 1, 8))
    return chart(
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
            range=[len(shown) - 0.5, -tall],
            tickvals=marks,
            ticktext=[
                f"<b>{records[shown[m]].epoch}</b>" if shown[m] == now else str(records[shown[m]].epoch) for m in marks
            ],
        ),
        margin={"l": 28, "r": 8, "t": 4, "b": 22},
        hovermode="closest",
        meta={"rows": [records[at].epoch for at in shown], "by": "row"},
    )


def health(run: Recorded, epoch: int | None = None) -> str:
    """The flags in words; an empty string where no gradient was recorded."""
    records = run.weight_gradients
    if not records:
        return ""
    record = records[position([r.epoch for r in records], epoch)]
    if record.missing:
        return f"Not captured: {record.missing}"
    limits = USUAL | dict(record.thresholds)
    zeros, small, times = f"{100 * limits['dead']:g}\u00a0%", short(limits["vanishing"]), f"{limits['exploding']:g}"
    if not record.flags:
        return (
            f"No flag. Dead: more than {zeros} zeros. Vanishing: RMS under {small}. "
            f"Exploding: {times} × the median of the epochs before."
        )
    names = {name for name, _, _ in record.flags}
    first, kind, since = min(record.flags, key=lambda flag: flag[2])
    why = {
        "dead": f"has had no gradient since epoch {since}: more than {zeros} of its gradients are exactly zero",
        "vanishing": f"vanishes since epoch {since}: its RMS is under {small}",
        "exploding": f"explodes since epoch {since}: its RMS is over {times} times the median of the epochs before",
        "non-finite": f"has NaN or infinite gradients since epoch {since}",
    }
    kinds = sorted({flag[1] for flag in record.flags})
    return (
        f"{len(names)} of {len(record.names)} variables {' or '.join(kinds)}. "
        f"{first} {why.get(kind, f'is {kind} since epoch {since}')}."
    )


def figure(
    run: Recorded, *, variable: str | None = None, statistic: str = "rms", epoch: int | None = None, look: Look = LIGHT
) -> Figure:
    """Heat map of all variables, and one variable's lines, distribution and update ratio."""
    name = variable_named(run, variable)
    if not run.weight_gradients:
        return chart(look, [], title={"text": text(f"No weight gradients: {why_absent(run, 'WeightGradients')}", 160)})
    options: dict[str, Any] = {"variable": variable, "epoch": epoch}
    scale = heat_map(run, look, statistic=statistic)["layout"].get("meta", {}).get("scale", {"low": "", "high": ""})
    return grid(
        look,
        [
            (
                f"{SCALES[statistic].title} ({scale['low']} pale, {scale['high']} dark)",
                heat_map(run, look, statistic=statistic),
            ),
            (f"{text(name)}: RMS, max dotted", variable_lines(run, look, **options)),
            (f"{text(name)}: log₂ |gradient| over epochs", ridge(run, look, **options)),
            (f"{text(name)}: update-to-weight ratio, guide {power(-3)}", update_ratio(run, look, **options)),
        ],
        title=text(health(run, epoch), 140),
    )
