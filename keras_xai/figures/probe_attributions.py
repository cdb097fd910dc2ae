"""Attributions: what each part of a probe sample contributed, and the class probabilities over epochs.

The tab paints its gallery itself, from the raw values; the figures here are for charts, notebook and report.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.errors import unknown
from keras_xai.figures.colour import colourscale, ramp
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import position
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, epoch_axis, line, mark_alerts, packed, text
from keras_xai.figures.words import percent
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Outputs

NAMES = {
    "input_x_gradient": "Input × gradient",
    "grad_cam": "Grad-CAM",
    "score_cam": "Score-CAM",
    "smoothgrad": "SmoothGrad",
    "deeplift": "DeepLIFT",
    "kernel_shap": "Kernel SHAP",
    "lime": "LIME",
    "rise": "RISE",
    "lrp": "LRP",
}


def method_title(method: str) -> str:
    """A method as people write it: most are words, some are spelled by their papers."""
    return NAMES.get(method, method.replace("_", " ").capitalize())


def method_named(run: Recorded, method: str | None) -> str:
    """The method asked for, or one that shows most at first sight, or the first that the run wrote."""
    if method and method not in run.methods:
        raise unknown("method", method, run.methods)
    return method or next((m for m in ("saliency", "integrated_gradients", *run.methods) if m in run.methods), "")


def class_name(run: Recorded, index: int) -> str:
    """The name of a class, or its number."""
    names = run.probe.class_names if run.probe is not None else None
    return names[index] if names and 0 <= index < len(names) else str(index)


def probabilities(table: Outputs) -> Float:
    """Outputs (E, B, K) as probabilities of classes; the raw outputs where the model is no classifier.

    A model that ends in logits is finished with the softmax or sigmoid that its loss applies; a single sigmoid column
    speaks for class 1. Columns that are probabilities already stay, whether or not they sum to one.
    """
    values = np.asarray(table.outputs, np.float64)
    if table.space == "raw" or not values.size:
        return values
    finite = values[np.isfinite(values)]
    if finite.size and (finite.min() < 0 or finite.max() > 1):
        if values.shape[-1] == 1:
            values = 0.5 * (1 + np.tanh(0.5 * values))  # the sigmoid that does not overflow
        else:
            values = np.exp(values - values.max(-1, keepdims=True))
            values = values / values.sum(-1, keepdims=True)
    return np.concatenate([1 - values, values], axis=-1) if values.shape[-1] == 1 else values


def sample_outputs(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
    **_: Any,
) -> Figure:
    """The model's output for one sample over epochs: the explained class thick, the predicted one in the alarm colour
    where it differs, the next two grey, the others faint. One output: the predicted value."""
    method = method_named(run, method)
    if not method:
        return chart(look, [])
    table = run.outputs(method)
    if table is None or not table.outputs.size:
        return chart(look, [])
    size = table.outputs.shape[1]
    if not 0 <= sample < size:
        raise unknown("sample", sample, map(str, range(size)))
    values = probabilities(table)[:, sample]
    at = position(table.epochs, epoch)
    classes = values.shape[-1] > 1
    target, predicted = int(table.target[at, sample]), int(np.nanargmax(np.nan_to_num(values[at], nan=-np.inf)))
    strongest = np.argsort(-np.nanmax(np.nan_to_num(values), axis=0))[:4].tolist()
    named = [target, *(k for k in (predicted, *strongest) if k != target)] if classes else [0]
    named = [k for k in dict.fromkeys(named) if 0 <= k < values.shape[-1]][:4]  # of many classes not all are kept
    data, ends = [], []
    for k in [*(k for k in range(values.shape[-1]) if k not in named), *reversed(named)]:
        wrong = classes and k == predicted != target
        colour = look["alarm"] if wrong else look["text"] if k == target or not classes else look["text-3"]
        trace = line(
            f"{class_name(run, k)}{' (true class)' if k == target and classes else ''}" if classes else "output",
            table.epochs,
            values[:, k],
            colour,
            width=2.25 if k == target else 1.5 if k in named else 1,
            hovertemplate="%{y:.1%}" if classes else "%{y:.4g}",
        )
        if k not in named:
            trace |= {"opacity": 0.25, "hoverinfo": "skip", "hovertemplate": None, "meta": {"follows": False}}
        data.append(trace)
        if k in (target, predicted) and classes:
            label = f"{class_name(run, k)} {'true class' if k == target else 'predicted'}"
            ends.append((float(np.nan_to_num(values[-1, k])), text(label, 20), colour))
    low, high = (0.0, 1.0) if classes else (float(np.nanmin(values, initial=0)), float(np.nanmax(values, initial=0)))
    ticks = {"tickvals": [0, 0.5, 1], "ticktext": ["0\u00a0%", "50\u00a0%", "100\u00a0%"]} if classes else {"nticks": 4}
    pad = 0.04 * (high - low or 1)
    panel = chart(
        look,
        data,
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(look, range=[low - pad, high + pad], **ticks),
        margin={"l": 48, "r": 110 if classes else 10, "t": 12, "b": 22},
    )
    ends.sort()
    floor = -1.0
    for value, label, colour in ends:
        floor = max(value, floor + 0.1)
        panel["layout"]["annotations"].append(
            {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": floor, "text": f"<b>{label}</b>",
             "showarrow": False, "font": {"color": colour}}
        )  # fmt: skip
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    return panel


def sample_values(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
    **_: Any,
) -> Figure:
    """One sample's attribution at one epoch: a map for images, signed bars for everything else."""
    method = method_named(run, method)
    if not method:
        return chart(look, [])
    found = run.attribution(method, _recorded_at(run, method, epoch))
    if found is None:
        return chart(look, [])
    values = found.values
    parts = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else [values]
    kind = run.probe.kind if run.probe is not None else "table"
    picture = next((part for part in parts if np.ndim(part) == 3), parts[0])
    one: Float = np.asarray(picture[sample], np.float64)
    if kind == "image" and one.ndim == 2:
        one = reduced(one)
        high = float(np.quantile(np.abs(one), 0.99)) or 1.0
        signed = bool((one < 0).any())
        return chart(
            look,
            [
                {
                    "type": "heatmap",
                    "z": packed(one),
                    "zmin": -high if signed else 0,
                    "zmax": high,
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
    flat = np.concatenate([np.asarray(part[sample], np.float64).ravel() for part in parts])
    names = _names(run, sample, len(flat))
    order = np.argsort(-np.abs(flat))[:10][::-1] if kind == "table" else np.arange(len(flat))
    colours = ramp(look.theme, "diverging")
    return chart(
        look,
        [
            {
                "type": "bar",
                "orientation": "h" if kind == "table" else "v",
                **(
                    {"x": flat[order].tolist(), "y": list(range(len(order)))}
                    if kind == "table"
                    else {"y": flat.tolist()}
                ),
                "marker": {"color": [colours[209] if flat[f] > 0 else colours[46] for f in order]},
                "hovertext": [text(names[f]) for f in order],
                "hovertemplate": "%{hovertext}<br>%{value:.4g}<extra></extra>",
            }
        ],
        xaxis=axis(look, zeroline=True, zerolinecolor=look["line-strong"], nticks=5),
        yaxis=axis(look, tickvals=list(range(len(order))), ticktext=[text(names[f], 24) for f in order], showgrid=False)
        if kind == "table"
        else axis(look, nticks=4),
        margin={"l": 150 if kind == "table" else 44, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
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
        names = list(probe.column_names)
    elif probe.kind == "table" and not isinstance(probe.groups, dict) and probe.feature_count == size:
        names = list(probe.features)
    else:
        names = list(probe.feature_names or ())
    return names if len(names) == size else [f"{probe.kind} {i}" for i in range(size)]


def _recorded_at(run: Recorded, method: str, epoch: int | None) -> int:
    table = run.outputs(method)
    return 0 if table is None else int(table.epochs[position(table.epochs, epoch)])


def sample_title(run: Recorded, method: str, sample: int, epoch: int | None) -> str:
    """`7 read as 3, 60 %`"""
    table = run.outputs(method)
    if table is None:
        return f"sample {sample}"
    at = position(table.epochs, epoch)
    target = class_name(run, int(table.target[at, sample]))
    if probabilities(table).shape[-1] < 2 or not np.isfinite(table.prediction[at, sample]):
        return f"sample {sample}"
    predicted = int(table.prediction[at, sample])
    sure = percent(float(np.nanmax(probabilities(table)[at, sample])))
    right = predicted == int(table.target[at, sample])
    return f"{target}, {sure}" if right else f"{target} read as {class_name(run, predicted)}, {sure}"


def figure(
    run: Recorded, *, method: str | None = None, epoch: int | None = None, samples: int = 12, look: Look = LIGHT
) -> Figure:
    """The gallery at one epoch: each sample's attribution under what it was taken for."""
    method = method_named(run, method)
    if not method:
        return chart(look, [], title={"text": "This run wrote no attributions."})
    table = run.outputs(method)
    size = 0 if table is None else min(samples, table.target.shape[1])
    image = run.probe is not None and run.probe.kind == "image"
    panels = [
        (
            text(sample_title(run, method, sample, epoch), 36),
            sample_values(run, look, method=method, sample=sample, epoch=epoch),
        )
        for sample in range(size)
    ]
    return grid(
        look,
        panels,
        columns=6 if image else 3,
        row_height=180 if image else 240,
        title=f"{text(method_title(method))}, epoch {_recorded_at(run, method, epoch)}",
    )
