"""Attributions: what each part of a probe sample contributed, and the model's output for it over epochs.

The tab paints its gallery itself, from the raw values; the figures here are for charts, notebook and report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.errors import unknown
from keras_xai.figures.colour import colourscale, ramp
from keras_xai.figures.grid import grid
from keras_xai.figures.outputs import (
    LARGE_ERROR,
    SLOPES,
    class_name,
    explained,
    finite_place,
    has_classes,
    is_percent,
    number,
    predicted,
    probabilities,
    shown,
    sides,
    target_name,
)
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, epoch_axis, line, mark_alerts, packed, text
from keras_xai.figures.words import percent, short
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Outputs

ROWS = 8  # features of a table: the others are one row
STRONG, WEAK = 209, 46  # of the 256 colours of the diverging map: for, against

NAMES = {
    "input_x_gradient": "Input × gradient",
    "grad_cam": "Grad-CAM",
    "score_cam": "Score-CAM",
    "smoothgrad": "SmoothGrad",
    "deeplift": "DeepLIFT",
    "kernel_shap": "Kernel SHAP",
    "lime": "LIME",
    "rise": "RISE",
}


def method_title(method: str) -> str:
    """A method as people write it: most are words, some are spelled by their papers."""
    return NAMES.get(method, method.replace("_", " ").capitalize())


def method_named(run: Recorded, method: str | None) -> str:
    """The method asked for, else the one that a view opens with, "" where none was written.

    Pictures open with saliency, which sees what the model could react to. Tables, texts and series open with
    contributions, integrated gradients first: a slope is none.
    """
    if method and method not in run.methods:
        raise unknown("method", method, run.methods)
    image = run.probe is not None and run.probe.kind == "image"
    contributions = [name for name in run.methods if name not in SLOPES]
    preferred = ("saliency", "integrated_gradients") if image else ("integrated_gradients", *contributions)
    return method or next((m for m in (*preferred, *run.methods) if m in run.methods), "")


def sample_outputs(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
    **_: Any,
) -> Figure:
    """The model's output for one sample over epochs.

    Classes and labels: the explained one thick, the predicted class in the alarm colour where it is not the true one, the
    next two grey, the others faint. A margin, a number, or one of several numbers: the value that was explained.
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
        target = int(table.target[finite_place(table, epoch)[0], sample])
        name = "output" if values.shape[-1] == 1 else target_name(run, table, target)
        panel = _single(run, look, table, explained(table)[:, sample], name)
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    return panel


def _single(run: Recorded, look: Look, table: Outputs, values: Float, name: str) -> Figure:
    trace = line(name, table.epochs, values, look["text"], width=2.25, hovertemplate="%{y:.4g}")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    pad = 0.04 * (high - low) or max(0.04 * abs(high), 0.04)
    return chart(
        look,
        [trace],
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(look, range=[low - pad, high + pad], nticks=4),
        margin={"l": 48, "r": 10, "t": 12, "b": 22},
    )


def _columns(run: Recorded, look: Look, table: Outputs, values: Float, sample: int, epoch: int | None) -> Figure:
    """A line a class or label: (E, K) values of one sample."""
    at = finite_place(table, epoch)[0]
    target, read = int(table.target[at, sample]), predicted(table)[at, sample]
    true, said = _truth(run, table, sample), int(read) if np.isfinite(read) else None
    strongest = np.argsort(-np.nanmax(np.nan_to_num(values), axis=0))[:4].tolist()
    first = [target, *([] if said is None else [said])]
    named = [k for k in dict.fromkeys([*first, *strongest]) if 0 <= k < values.shape[-1]][
        :4
    ]  # not all classes are kept
    data, ends = [], []
    for k in [*(k for k in range(values.shape[-1]) if k not in named), *reversed(named)]:
        wrong = k == said and true is not None and said != true
        colour = look["alarm"] if wrong else look["text"] if k == target else look["text-3"]
        role = _role(k, target, true, said)
        trace = line(
            f"{target_name(run, table, k)}{f' ({role})' if k == target else ''}",
            table.epochs,
            values[:, k],
            colour,
            width=2.25 if k == target else 1.5 if k in named else 1,
            hovertemplate="%{y:.1%}" if is_percent(table) else "%{y:.4g}",
        )
        if k not in named:
            trace |= {"opacity": 0.25, "hoverinfo": "skip", "hovertemplate": None, "meta": {"follows": False}}
        data.append(trace)
        finite = values[np.isfinite(values[:, k]), k]
        if finite.size and (role or (table.task == "labels" and k in named)):
            ends.append((float(finite[-1]), text(f"{target_name(run, table, k)} {role}".strip(), 24), colour))
    return _with_ends(run, look, data, ends, values, percents=is_percent(table))


def _role(k: int, target: int, true: int | None, said: int | None) -> str:
    """What a class is to a sample, in a word."""
    return "true class" if k == true else "predicted" if k == said else "explained" if k == target else ""


def _with_ends(
    run: Recorded,
    look: Look,
    data: list[dict[str, Any]],
    ends: list[tuple[float, str, str]],
    values: Float,
    *,
    percents: bool,
) -> Figure:
    """Lines with their names at the right end, moved apart."""
    finite = values[np.isfinite(values)]
    low, high = (0.0, 1.0) if percents or not finite.size else (float(finite.min()), float(finite.max()))
    ticks = (
        {"tickvals": [0, 0.5, 1], "ticktext": ["0\u00a0%", "50\u00a0%", "100\u00a0%"]} if percents else {"nticks": 4}
    )
    unit = high - low or 1.0
    right = 20 + int(6.8 * max([len(label) for _, label, _ in ends], default=0))
    panel = chart(
        look,
        data,
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(look, range=[low - 0.04 * unit, high + 0.04 * unit], **ticks),
        margin={"l": 48, "r": min(190, max(110, right)), "t": 12, "b": 22},
    )
    floor = low - unit
    for value, label, colour in sorted(ends):
        floor = max(value, floor + 0.1 * unit)
        panel["layout"]["annotations"].append(
            {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": floor, "text": f"<b>{label}</b>",
             "showarrow": False, "font": {"color": colour}}
        )  # fmt: skip
    return panel


def _truth(run: Recorded, table: Outputs, sample: int) -> int | None:
    """The true class of a sample, None where it has none."""
    classes = run.probe.classes if run.probe is not None and has_classes(table) else None
    return None if classes is None or sample >= len(classes) else int(classes[sample])


def sample_values(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
    reach: tuple[float, float] | None = None,
    **_: Any,
) -> Figure:
    """One sample's attribution at one epoch: a map for images and for series of several channels, else signed bars.

    Lengths are proportional to values; `reach` is the range that samples side by side share, by default the sample's own.
    """
    method = method_named(run, method)
    parts = _parts(run, method, epoch) if method else []
    if not parts:
        return chart(look, [])
    kind = run.probe.kind if run.probe is not None else "table"
    picture = next((part for part in parts if np.ndim(part) == 3), parts[0])
    first: Float = np.asarray(picture[sample], np.float64)
    if kind == "image" and first.ndim == 2:
        return _image(look, first)
    if kind == "series" and first.ndim == 2 and first.shape[1] > 1:
        return _lanes(run, look, first, reach)
    names, values = rows_of(run, method, parts, sample)
    reach = reach or reach_of(values)
    return (_across if kind == "table" else _along)(look, names, values, reach, magnitudes=is_magnitude(kind, method))


def is_magnitude(kind: str, method: str) -> bool:
    """Whether values are shown without a sign: a word has no value that could grow."""
    return kind == "tokens" and method in SLOPES


def _parts(run: Recorded, method: str, epoch: int | None) -> list[Any]:
    """The values of a method at an epoch, an array an input."""
    found = run.attribution(method, _recorded_at(run, method, epoch))
    values = [] if found is None else found.values
    return list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else [values]


def rows_of(run: Recorded, method: str, parts: Sequence[Any], sample: int) -> tuple[list[str], Float]:
    """What the bars of a sample stand for, and their values: of a table the largest, and the others summed up.

    Slopes have no sum: their others are left out.
    """
    flat = np.concatenate([np.asarray(part[sample], np.float64).ravel() for part in parts])
    names = _names(run, sample, len(flat))
    kind = run.probe.kind if run.probe is not None else "table"
    if kind != "table":
        return names, np.abs(flat) if is_magnitude(kind, method) else flat
    measured, unmeasured = np.flatnonzero(np.isfinite(flat)), np.flatnonzero(~np.isfinite(flat))[:ROWS]
    order = measured[np.argsort(-np.abs(flat[measured]), kind="stable")]
    top, others = order[:ROWS], order[ROWS:]
    shown_names, values = [names[f] for f in top], flat[top]
    if others.size and method not in SLOPES:
        shown_names, values = [*shown_names, f"{len(others)} others"], np.append(values, flat[others].sum())
    return [*shown_names, *(names[f] for f in unmeasured)], np.append(values, flat[unmeasured])


def reach_of(values: Float) -> tuple[float, float]:
    """The range that bars need, zero within."""
    finite = values[np.isfinite(values)]
    low, high = min(0.0, float(finite.min(initial=0))), max(0.0, float(finite.max(initial=0)))
    return (low, high) if high > low else (0.0, 1.0)


def _bars(look: Look, names: list[str], values: Float, *, magnitudes: bool) -> dict[str, Any]:
    """The colours of bars, and their exact values under the pointer."""
    signed, plain = ramp(look.theme, "diverging"), ramp(look.theme, "sequential")
    return {
        "type": "bar",
        "marker": {"color": [plain[170] if magnitudes else signed[STRONG if v > 0 else WEAK] for v in values]},
        "hovertext": [f"{text(name)}<br>{short(float(v))}" for name, v in zip(names, values, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _across(look: Look, names: list[str], values: Float, reach: tuple[float, float], *, magnitudes: bool) -> Figure:
    """A table: a row a feature, its value printed at the end of its bar."""
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
            ticktext=[text(name, 24) for name in names],
            showgrid=False,
        ),
        margin={"l": 150, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
    )


def _along(look: Look, names: list[str], values: Float, reach: tuple[float, float], *, magnitudes: bool) -> Figure:
    """A text or a series: a bar a position, words named below where there is room."""
    few = len(names) <= 24
    pad = 0.04 * (reach[1] - reach[0])
    return chart(
        look,
        [
            _bars(look, names, values, magnitudes=magnitudes)
            | {"x": list(range(len(names))), "y": [float(v) if np.isfinite(v) else None for v in values]}
        ],
        xaxis=axis(
            look,
            showgrid=False,
            tickangle=-50,
            tickvals=list(range(len(names))),
            ticktext=[text(name, 10) for name in names],
        )
        if few
        else axis(look, showgrid=False, nticks=6),
        yaxis=axis(
            look,
            range=[reach[0] - (pad if reach[0] < 0 else 0), reach[1] + pad],
            zeroline=True,
            zerolinecolor=look["line-strong"],
            nticks=5,
        ),
        margin={"l": 44, "r": 10, "t": 12, "b": 56 if few else 22},
        hovermode="closest",
    )


def _lanes(run: Recorded, look: Look, values: Float, reach: tuple[float, float] | None) -> Figure:
    """A series (T, C) as colours, a lane a channel."""
    steps, channels = values.shape
    features = run.probe.features if run.probe is not None else ()
    names = list(features) if len(features) == channels else [f"channel {c}" for c in range(channels)]
    high = max(map(abs, reach)) if reach else float(np.nanmax(np.abs(np.nan_to_num(values)))) or 1.0
    return chart(
        look,
        [
            {
                "type": "heatmap",
                "z": packed(values.T),
                "zmin": -high,
                "zmax": high,
                "colorscale": colourscale(look.theme, "diverging"),
                "showscale": False,
                "ygap": 2,
                "hovertemplate": "%{y}, step %{x}: %{z:.3g}<extra></extra>",
            }
        ],
        xaxis=axis(look, showgrid=False, range=[-0.5, steps - 0.5], nticks=6),
        yaxis=axis(
            look,
            showgrid=False,
            range=[channels - 0.5, -0.5],
            tickvals=list(range(channels)),
            ticktext=[text(name, 12) for name in names],
        ),
        margin={"l": 84, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
    )


def _image(look: Look, values: Float) -> Figure:
    """A map, signed where some of it speaks against."""
    values = reduced(values)
    finite = values[np.isfinite(values)]
    high = float(np.quantile(np.abs(finite), 0.99)) if finite.size else 0.0
    signed = bool((finite < 0).any())
    return chart(
        look,
        [
            {
                "type": "heatmap",
                "z": packed(values),
                "zmin": -(high or 1.0) if signed else 0,
                "zmax": high or 1.0,
                "colorscale": colourscale(look.theme, "diverging" if signed else "ember"),
                "showscale": False,
                "hovertemplate": "row %{y}, column %{x}: %{z:.3g}<extra></extra>",
            }
        ],
        xaxis={"visible": False, "constrain": "domain", "fixedrange": True},
        yaxis={
            "visible": False,
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "fixedrange": True,
        },
    )


def reduced(values: Float, most: int = 64) -> Float:
    """A map of at most `most` pixels a side: the mean of what falls together."""
    step = -(-max(values.shape) // most)
    if step == 1:
        return values
    h, w = values.shape
    padded = np.pad(values, ((0, -h % step), (0, -w % step)), mode="edge")
    return np.asarray(padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).mean((1, 3)))


def _names(run: Recorded, sample: int, size: int) -> list[str]:
    probe = run.probe
    if probe is None:
        return [str(i) for i in range(size)]
    if probe.kind == "tokens" and probe.x is not None and probe.vocabulary and not isinstance(probe.x, (list, dict)):
        words = dict(probe.vocabulary.items() if hasattr(probe.vocabulary, "items") else enumerate(probe.vocabulary))
        return [str(words.get(int(token), token)) for token in np.asarray(probe.x[sample]).ravel()][:size]
    if probe.is_columns:
        names = list(probe.feature_map.column_names)
    elif probe.kind == "table" and not isinstance(probe.groups, dict) and probe.feature_count == size:
        names = list(probe.features)
    else:
        names = list(probe.feature_names or ())
    return names if len(names) == size else [f"{probe.kind} {i}" for i in range(size)]


def _recorded_at(run: Recorded, method: str, epoch: int | None) -> int:
    table = run.outputs(method)
    return 0 if table is None else int(table.epochs[finite_place(table, epoch)[0]])


def sample_title(run: Recorded, method: str, sample: int, epoch: int | None) -> str:
    """`7 read as 3, 60 %`; `sample 4, 21.5` where there are no classes."""
    table = run.outputs(method)
    if table is None:
        return f"sample {sample}"
    at, _ = finite_place(table, epoch)
    true, read = _truth(run, table, sample), predicted(table)[at, sample]
    value = shown(table)[at, sample]
    name = f"sample {sample}" if true is None else class_name(run, true)
    if true is not None and np.isfinite(read) and int(read) != true:
        name = f"{name} read as {class_name(run, int(read))}"
    elif true is None and np.isfinite(read):
        name = f"{name}: {class_name(run, int(read))}"
    return f"{name}, {number(table, float(value))}" if np.isfinite(value) else name


def large_error(table: Outputs, at: int, sample: int) -> str:
    """Why a sample's attributions are not to be added up, "" where they may be."""
    error = float("nan") if table.completeness_error is None else float(table.completeness_error[at, sample])
    return f"completeness error {percent(error)}" if error > LARGE_ERROR else ""


def _panel_title(run: Recorded, look: Look, method: str, table: Outputs, sample: int, epoch: int | None) -> str:
    """What a sample is, which class its colours speak for, and what is wrong with its sum."""
    at, _ = finite_place(table, epoch)
    target = int(table.target[at, sample])
    low, high = sides(run, table, table.target[at, sample : sample + 1], method)
    image = run.probe is not None and run.probe.kind == "image"
    legend = f"score of {target_name(run, table, target)}" if method in SLOPES else high if image else f"{low} / {high}"
    lines = [text(sample_title(run, method, sample, epoch), 26 if image else 44)]
    if not image or target != _truth(run, table, sample):
        lines.append(f'<span style="font-size:11px;color:{look["text-2"]}">{text(legend, 30 if image else 56)}</span>')
    if wrong := large_error(table, at, sample):
        lines.append(f'<span style="font-size:11px;color:{look["alarm"]}">{wrong}</span>')
    return "<br>".join(lines)


def _figure_title(run: Recorded, look: Look, method: str, table: Outputs | None, epoch: int | None) -> str:
    title = f"{text(method_title(method))}, epoch {_recorded_at(run, method, epoch)}"
    if table is None:
        return title
    at, since = finite_place(table, epoch)
    low, high = sides(run, table, table.target[at], method)
    kind = run.probe.kind if run.probe is not None else "table"
    words = "dark: strong" if is_magnitude(kind, method) else f"blue: {low}, orange: {high}"
    title += f'<br><span style="font-size:13px;color:{look["text-2"]}">{text(words, 140)}</span>'
    if since is not None:
        title += f'<br><span style="font-size:13px;color:{look["alarm"]}">The scores are not finite since epoch {since}.</span>'
    return title


def figure(
    run: Recorded, *, method: str | None = None, epoch: int | None = None, samples: int = 12, look: Look = LIGHT
) -> Figure:
    """The gallery at one epoch: each sample's attribution under what it was taken for, bars on one common scale.

    Where scores are not finite any more the last epoch at which they were is shown, and said.
    """
    method = method_named(run, method)
    if not method:
        return chart(look, [], title={"text": text(f"No attributions: {why_absent(run, 'ProbeAttributions')}", 160)})
    table = run.outputs(method)
    size = 0 if table is None else min(samples, table.target.shape[1])
    image = run.probe is not None and run.probe.kind == "image"
    parts = [] if image else _parts(run, method, epoch)
    values = [rows_of(run, method, parts, sample)[1] for sample in range(size)] if parts else []
    reach = reach_of(np.concatenate(values)) if values else None
    panels = [
        (
            _panel_title(run, look, method, table, sample, epoch),
            sample_values(run, look, method=method, sample=sample, epoch=epoch, reach=reach),
        )
        for sample in range(size)
        if table is not None
    ]
    return grid(
        look,
        panels,
        columns=6 if image else 3,
        row_height=180 if image else 240,
        title=_figure_title(run, look, method, table, epoch),
    )
