"""Attributions: the contribution of each part of a probe sample, and the model's output for it over epochs.

The tab draws its gallery itself, from the raw values; the figures here are for its charts, the notebook and the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.analysis.attributions import (
    error_warning,
    inputs_of,
    is_magnitude,
    method_named,
    pooled_map,
    reach_of,
    recorded_update,
    rows_of,
    sample_title,
    slice_magnitudes,
    true_class,
)
from keras_xai.analysis.formatting import short
from keras_xai.analysis.importance import alarm_epochs
from keras_xai.analysis.outputs import (
    explained,
    finite_at,
    is_percent,
    outputs_at,
    predicted,
    probabilities,
    sides,
    target_name,
)
from keras_xai.errors import unknown
from keras_xai.figures.colour import Map, ramp
from keras_xai.figures.grid import grid
from keras_xai.figures.heat_map import heat_map, row_axis
from keras_xai.figures.tables import named_axes
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, line, mark_alerts, nothing, text, update_axis
from keras_xai.figures.volume_map import add_slice_slider, volume_map
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded, moment
from keras_xai.records import Float, Outputs
from keras_xai.spatial import SPATIAL_KINDS
from keras_xai.updates import BEFORE

POSITIVE_COLOUR, NEGATIVE_COLOUR = 209, 46  # indices into the 256 colours of the diverging map
MAGNITUDE_COLOUR = 170  # index into the 256 colours of the sequential map
NAMED_LINES = 4  # of a sample's classes
ROW_LETTERS = 24  # of a row's label, at most
MAX_NAMED_POSITIONS = 24  # of a text or a series: with more there is no room for a word at each


def sample_outputs(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
) -> Figure:
    """Draw the model's output for one sample over epochs.

    Of classes and labels all are drawn: the explained one thick, a wrongly predicted class in the alarm colour, the next two
    grey, the others faint. Of a margin, a number, or several numbers only the explained value is.
    """
    method = method_named(run, method)
    table = run.outputs(method) if method else None
    if table is None or not table.outputs.size:
        return chart(look, [])
    size = table.outputs.shape[1]
    if not 0 <= sample < size:
        raise unknown("sample", sample, map(str, range(size)))
    values = probabilities(table)[:, sample]
    if values.shape[-1] > 1 and table.task != "numbers":
        panel = _columns(run, look, table, values, sample, epoch)
    else:
        target = int(table.target[finite_at(table, epoch)[0], sample])
        name = "output" if values.shape[-1] == 1 else target_name(run, table, target)
        panel = _single(run, look, table, explained(table)[:, sample], name)
    mark_alerts(look, panel, alarm_epochs(run))
    panel["layout"].setdefault("meta", {})["labelled"] = True
    return named_axes(look, panel, y="probability" if is_percent(table) else "output", x_column=run.unit)


def _single(run: Recorded, look: Look, table: Outputs, values: Float, name: str) -> Figure:
    """Draw one line (E), on an axis that fits it."""
    trace = line(name, table.updates, values, look["text"], width=2.25, hovertemplate="%{y:,.3~r}")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    pad = 0.04 * (high - low) or max(0.04 * abs(high), 0.04)
    return chart(
        look,
        [trace],
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=[low - pad, high + pad], nticks=4),
        margin={"l": 48, "r": 10, "t": 12, "b": 22},
    )


@dataclass(frozen=True)
class Classes:
    """The classes of a sample with a line of their own style, as columns of the outputs; None where there is none."""

    target: int
    true: int | None
    predicted: int | None
    named: tuple[int, ...]  # those with a line that is not faint

    @property
    def misread(self) -> bool:
        """True where the predicted class is not the true one."""
        return self.true is not None and self.predicted is not None and self.predicted != self.true

    def role(self, k: int) -> str:
        """Return the role of a class for the sample, for its label; "" for any other class."""
        if k == self.true:
            return "true class"
        if k == self.predicted:
            return "predicted"
        return "explained" if k == self.target else ""


def _classes(run: Recorded, table: Outputs, values: Float, sample: int, epoch: int | None) -> Classes:
    """Return the explained and the predicted class at an epoch, and with them the strongest ones."""
    at = finite_at(table, epoch)[0]
    target, prediction = int(table.target[at, sample]), predicted(table)[at, sample]
    read_as = int(prediction) if np.isfinite(prediction) else None
    strongest = np.argsort(-np.nanmax(np.nan_to_num(values), axis=0))[:NAMED_LINES].tolist()
    candidates = dict.fromkeys([target, *([] if read_as is None else [read_as]), *strongest])
    named = [k for k in candidates if 0 <= k < values.shape[-1]]  # not all classes are recorded
    return Classes(target, true_class(run, table, sample), read_as, tuple(named[:NAMED_LINES]))


def _columns(run: Recorded, look: Look, table: Outputs, values: Float, sample: int, epoch: int | None) -> Figure:
    """Draw a line for each class or label, of values (E, K) of one sample; the named ones on top."""
    classes = _classes(run, table, values, sample, epoch)
    others = [k for k in range(values.shape[-1]) if k not in classes.named]
    data, ends = [], []
    for k in [*others, *reversed(classes.named)]:
        role, name = classes.role(k), target_name(run, table, k)
        colour = _line_colour(look, classes, k)
        trace = line(
            f"{name} ({role})" if k == classes.target else name,
            table.updates,
            values[:, k],
            colour,
            width=_line_width(classes, k),
            hovertemplate="%{y:.1%}" if is_percent(table) else "%{y:,.3~r}",
        )
        if k not in classes.named:
            trace |= {"opacity": 0.25, "hoverinfo": "skip", "hovertemplate": None, "meta": {"follows": False}}
        data.append(trace)
        finite = values[np.isfinite(values[:, k]), k]
        if finite.size and (role or (table.task == "labels" and k in classes.named)):
            ends.append((float(finite[-1]), text(f"{name} {role}".strip(), ROW_LETTERS), colour))
    return _with_ends(run, look, data, ends, values, percents=is_percent(table))


def _line_colour(look: Look, classes: Classes, k: int) -> str:
    if classes.misread and k == classes.predicted:
        return look["alarm"]
    return look["text"] if k == classes.target else look["text-3"]


def _line_width(classes: Classes, k: int) -> float:
    if k == classes.target:
        return 2.25
    return 1.5 if k in classes.named else 1


def _with_ends(
    run: Recorded,
    look: Look,
    data: list[dict[str, Any]],
    ends: list[tuple[float, str, str]],
    values: Float,
    *,
    percents: bool,
) -> Figure:
    """Draw lines with labels at their right ends, moved apart where they would overlap.

    Args:
        run: whose epochs are the axis.
        look: of the figure.
        data: the lines.
        ends: last value, label and colour of each labelled line.
        values: all values of the lines.
        percents: the values are probabilities.
    """
    finite = values[np.isfinite(values)]
    low, high = (0.0, 1.0) if percents or not finite.size else (float(finite.min()), float(finite.max()))
    ticks: dict[str, Any] = {"nticks": 4}
    if percents:
        ticks = {"tickvals": [0, 0.5, 1], "ticktext": ["0\u00a0%", "50\u00a0%", "100\u00a0%"]}
    unit = high - low or 1.0
    right = 20 + int(6.8 * max([len(label) for _, label, _ in ends], default=0))
    panel = chart(
        look,
        data,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=[low - 0.04 * unit, high + 0.04 * unit], **ticks),
        margin={"l": 48, "r": min(190, max(110, right)), "t": 12, "b": 22},
    )
    floor = low - unit
    for value, label, colour in sorted(ends):
        floor = max(value, floor + 0.1 * unit)
        mark = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": floor, "showarrow": False}
        panel["layout"]["annotations"].append({**mark, "text": f"<b>{label}</b>", "font": {"color": colour}})
    return panel


def sample_values(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
    reach: tuple[float, float] | None = None,
    depth: int | None = None,
    samples: int = 1,
) -> Figure:
    """Draw one sample's attribution at one epoch: a map for images and series of several channels, else signed bars.

    Of a volume one slice is visible. Lengths are proportional to values.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        method: by default the one that the tab opens with.
        sample: row of the gallery.
        epoch: by default the last.
        reach: the range of the axis, lowest and highest value, which samples side by side share; by default the sample's own.
        depth: the slice of a volume that is visible; by default the one with the largest magnitude.
        samples: in the whole figure.
    """
    method = method_named(run, method)
    arrays = _inputs(run, method, epoch) if method else []
    if not arrays:
        return chart(look, [])
    kind = run.probe.kind if run.probe is not None else "table"
    volumes = [array for array in arrays if kind == "volume" and np.ndim(array) == 4]
    maps = next((array for array in [*volumes, *arrays] if np.ndim(array) in (3, 4)), arrays[0])
    first: Float = np.asarray(maps[sample], np.float64)
    if volumes:
        return volume_map(look, first, samples=samples, depth=depth)
    if kind in SPATIAL_KINDS and first.ndim == 2:
        return _image(look, first)
    if kind == "series" and first.ndim == 2 and first.shape[1] > 1:
        return _lanes(run, look, first, reach)
    steps = _steps(run)
    if kind == "series" and first.ndim == 1 and steps and (run.method_layer(method) or len(first) != steps):
        return _layer_lane(look, first, steps, reach)
    names, values = rows_of(run, method, arrays, sample)
    draw = _across if kind == "table" or (kind in SPATIAL_KINDS and first.ndim == 1) else _along
    return draw(
        look, names, values, reach or reach_of(values), magnitudes=is_magnitude(kind, run.method_quantity(method))
    )


def _inputs(run: Recorded, method: str, epoch: int | None) -> list[Any]:
    """Return the attributions of a method at an epoch, one array for each input."""
    return inputs_of(run.attribution(method, recorded_update(run, method, epoch)))


def _bars(look: Look, names: list[str], values: Float, *, magnitudes: bool) -> dict[str, Any]:
    """Return the colours of bars, and a hover text with their values."""
    signed = ramp(look.theme, "diverging")
    colours = [signed[POSITIVE_COLOUR if v > 0 else NEGATIVE_COLOUR] for v in values]
    if magnitudes:
        colours = [ramp(look.theme, "sequential")[MAGNITUDE_COLOUR]] * len(values)
    return {
        "type": "bar",
        "marker": {"color": colours},
        "hovertext": [f"{text(name)}<br>{short(float(v))}" for name, v in zip(names, values, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _across(look: Look, names: list[str], values: Float, reach: tuple[float, float], *, magnitudes: bool) -> Figure:
    """Draw the bars of a table, a row for each feature, with its value at the end of the bar."""
    pad = 0.24 * (reach[1] - reach[0])
    rows = list(range(len(names)))
    return chart(
        look,
        [
            _bars(look, names, values, magnitudes=magnitudes)
            | {
                "orientation": "h",
                "x": [float(v) if np.isfinite(v) else None for v in values],
                "y": rows,
                "text": [f"{v:+.2g}".replace("-", "−") if np.isfinite(v) else "not measured" for v in values],
                "textposition": "outside",
                "textangle": 0,
                "cliponaxis": False,
            }
        ],
        xaxis=axis(
            look,
            range=[reach[0] - (pad if reach[0] < 0 else 0), reach[1] + (pad if reach[1] > 0 else 0)],
            zeroline=True,
            zerolinecolor=look["line-strong"],
            nticks=5,
        ),
        yaxis=axis(
            look,
            range=[max(len(rows), 2) - 0.4, -0.6],
            tickvals=rows,
            ticktext=[text(name, ROW_LETTERS) for name in names],
            showgrid=False,
        ),
        margin={"l": 150, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
    )


def _along(look: Look, names: list[str], values: Float, reach: tuple[float, float], *, magnitudes: bool) -> Figure:
    """Draw the bars of a text or a series, one for each position, with its name below where there is room."""
    named = len(names) <= MAX_NAMED_POSITIONS
    positions = list(range(len(names)))
    ticks: dict[str, Any] = {"nticks": 6}
    if named:
        ticks = {"tickangle": -50, "tickvals": positions, "ticktext": [text(name, 10) for name in names]}
    pad = 0.04 * (reach[1] - reach[0])
    return chart(
        look,
        [
            _bars(look, names, values, magnitudes=magnitudes)
            | {"x": positions, "y": [float(v) if np.isfinite(v) else None for v in values]}
        ],
        xaxis=axis(look, showgrid=False, **ticks),
        yaxis=axis(
            look,
            range=[reach[0] - (pad if reach[0] < 0 else 0), reach[1] + pad],
            zeroline=True,
            zerolinecolor=look["line-strong"],
            nticks=5,
        ),
        margin={"l": 44, "r": 10, "t": 12, "b": 56 if named else 22},
        hovermode="closest",
    )


def _lanes(run: Recorded, look: Look, values: Float, reach: tuple[float, float] | None) -> Figure:
    """Draw the attributions of a series (T, C) as a heat map, a row for each channel."""
    steps, channels = values.shape
    features = run.probe.features if run.probe is not None else ()
    names = list(features) if len(features) == channels else [f"channel {c}" for c in range(channels)]
    high = max(map(abs, reach)) if reach else float(np.nanmax(np.abs(np.nan_to_num(values)))) or 1.0
    hover = "%{y}, step %{x}: %{z:.3g}<extra></extra>"
    return chart(
        look,
        [heat_map(look, values.T, -high, high, colours="diverging", ygap=2, hovertemplate=hover)],
        xaxis=axis(look, showgrid=False, range=[-0.5, steps - 0.5], nticks=6),
        yaxis=row_axis(look, [text(name, 12) for name in names]),
        margin={"l": 84, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
    )


def _steps(run: Recorded) -> int:
    """Return the number of steps of a series; 0 where that is not known."""
    shapes = run.probe.shapes if run.probe is not None else ()
    return next((shape[0] for shape in shapes if len(shape) == 2), 0)


def _layer_lane(look: Look, values: Float, steps: int, reach: tuple[float, float] | None) -> Figure:
    """Draw a map of a layer's own steps (t) as one lane over the steps of the series."""
    high = max(map(abs, reach)) if reach else float(np.nanmax(np.abs(np.nan_to_num(values)))) or 1.0
    width = steps / len(values)
    centres = (np.arange(len(values)) + 0.5) * width - 0.5
    lane = heat_map(
        look, values[None], -high, high, colours="diverging", hovertemplate="step %{x:.0f}: %{z:.3g}<extra></extra>"
    )
    return chart(
        look,
        [lane | {"x": centres.tolist()}],
        xaxis=axis(look, showgrid=False, range=[-0.5, steps - 0.5], nticks=6),
        yaxis=row_axis(look, ["layer"]),
        margin={"l": 84, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
    )


def _image(look: Look, values: Float) -> Figure:
    """Draw a map (h, w), with a diverging colour map where some values are negative."""
    values = pooled_map(values)
    finite = values[np.isfinite(values)]
    high = float(np.quantile(np.abs(finite), 0.99)) if finite.size else 0.0
    high = high or 1.0
    signed = bool((finite < 0).any())
    hover = "row %{y}, column %{x}: %{z:.3g}<extra></extra>"
    low = -high if signed else 0
    colours: Map = "diverging" if signed else "ember"
    square = {"visible": False, "constrain": "domain", "fixedrange": True}
    return chart(
        look,
        [heat_map(look, values, low, high, colours=colours, hovertemplate=hover)],
        xaxis=square,
        yaxis={**square, "autorange": "reversed", "scaleanchor": "x"},
    )


def _panel_title(run: Recorded, look: Look, method: str, table: Outputs, sample: int, epoch: int | None) -> str:
    """Return the title of a sample: its class, the class that is explained, and a warning of a large completeness error."""
    at, _ = finite_at(table, epoch)
    target = int(table.target[at, sample])
    low, high = sides(run, table, table.target[at, sample : sample + 1], method)
    image = run.probe is not None and run.probe.kind in SPATIAL_KINDS
    legend = high if image else f"{low} / {high}"
    if run.method_quantity(method) == "slope":
        legend = f"score of {target_name(run, table, target)}"
    lines = [text(sample_title(run, method, sample, epoch), 26 if image else 44)]
    if not image or target != true_class(run, table, sample):
        lines.append(_small(text(legend, 30 if image else 56), look["text-2"], 11))
    warning = error_warning(table, at, sample)
    if warning:
        lines.append(_small(warning, look["alarm"], 11))
    return "<br>".join(lines)


def _small(words: str, colour: str, size: int) -> str:
    return f'<span style="font-size:{size}px;color:{colour}">{words}</span>'


def _figure_title(run: Recorded, look: Look, method: str, table: Outputs | None, epoch: int | None) -> str:
    """Return the method and epoch, the meaning of the colours, and since when scores are not finite, where they are not."""
    lines = [f"{text(run.method_title(method))}, {moment(run, recorded_update(run, method, epoch))}"]
    if table is None:
        return lines[0]
    at, since = finite_at(table, epoch)
    low, high = sides(run, table, table.target[at], method)
    kind = run.probe.kind if run.probe is not None else "table"
    words = "dark: strong" if is_magnitude(kind, run.method_quantity(method)) else f"blue: {low}, orange: {high}"
    lines.append(_small(text(words, 140), look["text-2"], 13))
    if since is not None:
        lines.append(_small(f"The scores are not finite since {moment(run, since)}.", look["alarm"], 13))
    return "<br>".join(lines)


def figure(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    epoch: int | None = None,
    samples: int = 12,
    depth: int | None = None,
) -> Figure:
    """Draw the gallery at one epoch: each sample's attribution under its prediction, bars on one common scale.

    Of volumes one slice is visible, and a slider goes through them. Where scores are not finite any more the last epoch at
    which they were is drawn, and the title says so.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        method: one of the run's methods; by default the one that the tab opens with.
        epoch: by default the last; `keras_xai.updates.BEFORE` for the untrained model.
        samples: how many of the gallery, from its first.
        depth: the slice of volumes that is visible at first; by default the one with the largest share of all samples' maps.
    """
    method = method_named(run, method)
    if not method:
        return nothing(look, "attributions", why_absent(run, "ProbeAttributions"))
    if epoch is None and method not in run.methods:
        epoch = BEFORE  # nothing else was written yet
    table = outputs_at(run, method, epoch)
    rows = range(0 if table is None else min(samples, table.target.shape[1]))
    image = run.probe is not None and run.probe.kind in SPATIAL_KINDS
    arrays = [] if image else _inputs(run, method, epoch)
    values = [rows_of(run, method, arrays, sample)[1] for sample in rows] if arrays else []
    reach = reach_of(np.concatenate(values)) if values else None
    if depth is None:
        depth = _strongest_slice(run, method, epoch, list(rows))
    panels = []
    for sample in rows:
        assert table is not None  # without a table there are no rows
        title = _panel_title(run, look, method, table, sample, epoch)
        options: dict[str, Any] = {"reach": reach, "depth": depth, "samples": len(rows)}
        panels.append((title, sample_values(run, look, method=method, sample=sample, epoch=epoch, **options)))
    drawn = grid(
        look,
        panels,
        columns=6 if image else 3,
        row_height=180 if image else 240,
        title=_figure_title(run, look, method, table, epoch),
    )
    return add_slice_slider(look, drawn)


def _strongest_slice(run: Recorded, method: str, epoch: int | None, rows: list[int]) -> int | None:
    """Return the slice with the largest mean share of some samples' magnitudes; None where there are no volumes."""
    is_volume = run.probe is not None and run.probe.kind == "volume"
    arrays = _inputs(run, method, epoch) if is_volume and rows else []
    volumes = next((np.asarray(array)[rows] for array in arrays if np.ndim(array) == 4), None)
    if volumes is None:
        return None
    magnitudes = slice_magnitudes(volumes)
    total = magnitudes.sum(1, keepdims=True)
    return int((magnitudes / np.where(total > 0, total, 1.0)).mean(0).argmax())
