"""Mappings: how data become features, features a decision, a decision a result, epoch by epoch.

Each panel carries what it shows and how to read it in `layout.meta` (`title`, `reading`), from `READING`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import unknown
from keras_xai.figures.colour import Theme, colourscale, srgb
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import cell_axis, position
from keras_xai.figures.outputs import class_name
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
from keras_xai.figures.words import percent, short
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Mappings, Result, Samples

TAIL = 5  # epochs behind a point of the map
ROWS = 16  # features of a surrogate
SUSPECTS = 12
BINS = 10

READING = {
    "layer_map": (
        "Where the samples lie in a layer",
        "Near is alike to this layer; tails come from the last five epochs. Every epoch is turned towards the reference, so that "
        "only the training moves a point.",
    ),
    "layer_stability": (
        "Which layers still learn",
        "1 − likeness (CKA) to the record before: dark moves, pale stands still.",
    ),
    "layer_dead": (
        "Dead units",
        "Share of a layer's units that are zero for every sample; blank where zero does not say so.",
    ),
    "layer_saturation": (
        "Saturated units",
        "Share of activations in a flat part of their function, where no gradient flows.",
    ),
    "layer_participation": ("Directions in use", "How many directions share a layer's variance; falling is narrowing."),
    "layer_spread": (
        "Difference between samples",
        "Share of a layer's power that differs from sample to sample; 0 tells nothing apart.",
    ),
    "layer_likeness": (
        "Which layers are alike",
        "CKA between layers at this epoch: 1 is the same up to a rotation, 0 unrelated.",
    ),
    "readability": (
        "Where the decision can be read",
        "Accuracy of a straight line from the layer, each sample left out: pale is chance, dark is all right.",
    ),
    "surrogates": (
        "How simple the model still is",
        "R² of a linear regression that stands for the model, beside the accuracy: falling together with held-out accuracy is "
        "memorising.",
    ),
    "surrogate_coefficients": (
        "What the line uses",
        "Effect of a feature on each class, per standard deviation: orange speaks for it, blue against.",
    ),
    "data_map": (
        "Easy, hard and suspicious samples",
        "Top left is learned at once; right wavers; bottom left is never believed: look at these labels.",
    ),
    "trajectories": (
        "The least believed samples",
        "Probability of the label over epochs; rising late in training is learning by heart.",
    ),
    "confusion": ("What is taken for what", "Rows are true classes, columns predicted ones; share of the row."),
    "reliability": (
        "Whether it is as right as it is sure",
        "Below the diagonal is too sure. The error beside the one that chance alone makes of so few samples.",
    ),
}

STATISTICS: dict[str, Callable[[Mappings], Float]] = {
    "layer_stability": lambda record: 1 - record.features.cka_previous,
    "layer_dead": lambda record: record.features.dead,
    "layer_saturation": lambda record: record.features.saturation,
    "layer_participation": lambda record: record.features.participation,
    "layer_spread": lambda record: record.features.spread,
}
COLOURS = ("label", "prediction", "held_out", "correct")


# What several panels need.


def layers(records: Sequence[Mappings]) -> tuple[str, ...]:
    """The layers of a run."""
    return records[-1].features.layers if records else ()


def layer_named(records: Sequence[Mappings], name: str | None) -> int:
    """The place of the layer asked for, or of the last one before the logits."""
    known = layers(records)
    if name and name not in known:
        raise unknown("layer", name, known)
    return known.index(name) if name else max(0, len(known) - 2)


def is_read(result: Result) -> NDArray[np.bool_]:
    """(B) whether a sample's outputs are numbers: of NaN no class is told."""
    return np.asarray(~np.isnan(np.asarray(result.logits, np.float32)).reshape(len(result.logits), -1).any(1))


def at_epoch(records: Sequence[Mappings], epoch: int | None) -> int:
    """The place of the nearest earlier record whose outputs are numbers; where none is, of the nearest earlier one."""
    asked = position([record.epoch for record in records], epoch)
    return next((at for at in range(asked, -1, -1) if is_read(records[at].result).any()), asked)


def places(records: Sequence[Mappings], layer: int, reference: int | None = None) -> Float:
    """Where each sample lies at each epoch, (E, B, 2), in units of the layer's own root mean square.

    NaN at epochs whose outputs are not numbers: they lie nowhere.

    Every epoch's principal coordinates are turned to those of the reference record (default the last) as far as a rotation
    or reflection can (orthogonal Procrustes, Schönemann 1966); then the reference's first two axes are looked along. What
    moves is what the training moved: a principal component analysis of each epoch would flip and jump by itself.
    """
    all_coordinates = [np.asarray(record.features.coordinates[layer], np.float64) for record in records]
    turned_to = at_epoch(records, None) if reference is None else reference
    found = []
    for record, own in zip(records, all_coordinates, strict=True):
        left, _, right = np.linalg.svd(own.T @ all_coordinates[turned_to])
        turned = (own @ (left @ right))[:, :2]
        found.append(turned if is_read(record.result).any() else np.full_like(turned, np.nan))
    return np.stack(found) if found else np.zeros((0, 0, 2))


def class_colours(theme: Theme, count: int, of: NDArray[Any] | None = None) -> list[str]:
    """As many colours as there are classes, equally far apart around the circle, equally bright; those of some alone."""
    angle = 2 * np.pi * ((np.arange(count) if of is None else np.asarray(of)) / max(1, count) + 0.07)
    lightness, chroma = (0.58, 0.13) if theme == "light" else (0.74, 0.12)
    return srgb(np.stack([np.full(len(angle), lightness), chroma * np.cos(angle), chroma * np.sin(angle)], 1))


def _panel(
    look: Look, name: str, data: list[dict[str, Any]], meta: dict[str, Any] | None = None, **layout: Any
) -> Figure:
    title, reading = READING[name]
    return chart(look, data, meta={"title": title, "reading": reading, **(meta or {})}, **layout)


# Data → features.


def layer_map(
    run: Recorded,
    look: Look = LIGHT,
    *,
    layer: str | None = None,
    variable: str | None = None,
    epoch: int | None = None,
    reference: int | None = None,
    source: str | None = None,
    **_: Any,
) -> Figure:
    """The 2-D map of one layer at one epoch, with tails; coloured by `source`: label, prediction, held_out or correct.

    `variable` is another word for `layer`. `reference` is the epoch whose axes are drawn, default the last.
    """
    records = run.mappings
    by = source or ("label" if records and records[-1].result.label is not None else "prediction")
    if by not in COLOURS:
        raise unknown("colouring", by, COLOURS)
    if not records:
        return _panel(look, "layer_map", [])
    k, at = layer_named(records, layer or variable), at_epoch(records, epoch)
    where = places(records, k, None if reference is None else at_epoch(records, reference))
    now, tail = where[at], where[max(0, at - TAIL) : at + 1]
    gaps = np.full((1, now.shape[0], 2), np.nan)
    drawn = np.concatenate([tail, gaps]).transpose(1, 0, 2).reshape(-1, 2)
    colours, words = _painted(run, look, records[at], by)
    limit = 1.05 * float(np.nanmax(np.abs(where), initial=0.0) or 1.0)
    return _panel(
        look,
        "layer_map",
        [
            {
                "type": "scatter",
                "mode": "lines",
                "x": packed(drawn[:, 0]),
                "y": packed(drawn[:, 1]),
                "line": {"color": look["line-strong"], "width": 0.75},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": packed(now[:, 0]),
                "y": packed(now[:, 1]),
                "marker": {"size": 7, "color": colours, "line": {"width": 1, "color": look["page"]}},
                "text": words,
                "hovertemplate": "%{text}<extra></extra>",
            },
        ],
        xaxis=axis(look, visible=False, range=[-limit, limit]),
        yaxis=axis(look, visible=False, range=[-limit, limit], scaleanchor="x"),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="closest",
        meta={"layer": layers(records)[k], "epoch": records[at].epoch, "by": by},
    )


def _painted(run: Recorded, look: Look, record: Mappings, by: str) -> tuple[list[str], list[str]]:
    """A colour and a line of words for every sample."""
    result = record.result
    size = len(result.certainty)
    classes = result.answer == "class"

    def named(values: Any, b: int) -> str:
        return text(class_name(run, int(values[b])), 24) if classes else ""

    words, read = [], is_read(result)
    for b in range(size):
        said = f"read as {named(result.prediction, b)}" if read[b] else "outputs not finite"
        parts = [f"sample {b}", said if classes else ""]
        parts.append(f"label {named(result.label, b)}" if classes and result.label is not None else "")
        parts.append("held out" if result.held_out is not None and result.held_out[b] else "")
        words.append(", ".join(filter(None, parts)))
    if by in ("label", "prediction"):
        values = result.label if by == "label" else result.prediction
        if not classes or values is None:
            return [look["text-3"]] * size, words
        return class_colours(look.theme, result.classes, values), words
    flags = result.held_out if by == "held_out" else result.correct
    marked = look["accent"] if by == "held_out" else look["text-3"]
    other = look["text-3"] if by == "held_out" else look["alarm"]
    return [look["text-3"] if flags is None else marked if flags[b] else other for b in range(size)], words


def layer_epoch(run: Recorded, look: Look, name: str) -> Figure:
    """A statistic of every layer at every epoch; blank where there is none."""
    records = run.mappings
    if not records:
        return _panel(look, name, [])
    values = np.stack([np.asarray(STATISTICS[name](record), np.float64) for record in records], 1)
    finite = values[np.isfinite(values)]
    high = 1.0
    if name in ("layer_stability", "layer_participation"):
        high = float(np.quantile(finite, 0.98)) if finite.size else 1.0
    low, high = (1.0 if name == "layer_participation" else 0.0), max(high, 1e-6)
    return _cells(run, look, name, values, low, high, f"{low:g}", short(high) if high != 1 else "1")


def _cells(
    run: Recorded, look: Look, name: str, values: Float, low: float, high: float, pale: str, dark: str
) -> Figure:
    records = run.mappings
    names, epochs = layers(records), [record.epoch for record in records]
    left = int(min(200, 20 + 6.2 * max(map(len, names), default=1)))
    return _panel(
        look,
        name,
        [
            {
                "type": "heatmap",
                "x": epochs,
                "z": packed(values),
                "zmin": low,
                "zmax": high if high > low else low + 1,
                "colorscale": colourscale(look.theme, "sequential"),
                "showscale": False,
                "xgap": 1 if len(epochs) <= 120 else 0,
                "ygap": 1,
                "customdata": [[text(layer)] * len(epochs) for layer in names],
                "hovertemplate": "%{customdata}<br>epoch %{x}: %{z:.3g}<extra></extra>",
            },
            *hatched(look, epochs, np.isfinite(values)),
        ],
        xaxis=cell_axis(look, epochs),
        yaxis=axis(
            look,
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            tickvals=list(range(len(names))),
            ticktext=[text(layer, (left - 12) // 6) for layer in names],
        ),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"cells": True, "rows": list(names), "scale": {"map": "sequential", "low": pale, "high": dark}},
    )


def layer_stability(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """1 − CKA to the record before."""
    return layer_epoch(run, look, "layer_stability")


def layer_dead(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """Share of dead units."""
    return layer_epoch(run, look, "layer_dead")


def layer_saturation(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """Share of saturated activations."""
    return layer_epoch(run, look, "layer_saturation")


def layer_participation(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """Directions in use."""
    return layer_epoch(run, look, "layer_participation")


def layer_spread(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """How far samples differ."""
    return layer_epoch(run, look, "layer_spread")


def _square(look: Look, shares: NDArray[Any]) -> dict[str, Any]:
    """Values of 0 to 1 for each pair (n, n), as the cells of a grid."""
    return {
        "type": "heatmap",
        "z": packed(shares),
        "zmin": 0,
        "zmax": 1,
        "colorscale": colourscale(look.theme, "sequential"),
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }


def layer_likeness(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, **_: Any) -> Figure:
    """CKA between all layers at one epoch."""
    records = run.mappings
    if not records:
        return _panel(look, "layer_likeness", [])
    record, names = records[at_epoch(records, epoch)], layers(records)
    left = int(min(200, 20 + 6.2 * max(map(len, names), default=1)))
    shown = [text(name, (left - 12) // 6) for name in names]
    return _panel(
        look,
        "layer_likeness",
        [
            _square(look, record.features.cka_layers)
            | {
                "customdata": [[f"{text(a)} and {text(b)}" for b in names] for a in names],
                "hovertemplate": "%{customdata}: %{z:.2f}<extra></extra>",
            }
        ],
        xaxis=axis(
            look, showgrid=False, tickvals=list(range(len(names))), ticktext=[str(k + 1) for k in range(len(names))]
        ),
        yaxis=axis(
            look,
            showgrid=False,
            range=[len(names) - 0.5, -0.5],
            tickvals=list(range(len(names))),
            ticktext=[f"{k + 1} {name}" for k, name in enumerate(shown)],
        ),
        margin={"l": left + 14, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"scale": {"map": "sequential", "low": "0", "high": "1"}, "epoch": record.epoch},
    )


# Features → decision.


def readability(run: Recorded, look: Look = LIGHT, *, source: str | None = None, **_: Any) -> Figure:
    """Readability of the label, or with `source="prediction"` of the model's own decision; chance is the palest colour."""
    records = run.mappings
    if not records:
        return _panel(look, "readability", [])
    own = source == "prediction"
    values = np.stack([r.decision.own_decision if own else r.decision.readability for r in records], 1).astype(
        np.float64
    )
    chance = records[-1].decision.chance
    return _cells(run, look, "readability", values, chance, 1.0, f"{short(chance)} (chance)", "1")


def surrogates(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """R² of the linear surrogate, agreement of both, accuracy and held-out accuracy, over epochs."""
    records = run.mappings
    epochs = [record.epoch for record in records]
    data = []

    def told(name: str, key: str) -> list[float]:
        found = [record.decision.surrogates.get(name) for record in records]
        return [float("nan") if one is None else float(getattr(one, key)) for one in found]

    series = [
        ("linear: R²", told("linear", "r2"), look.own, "solid", 2.25),
        ("linear: agreement", told("linear", "agreement"), look.own, "2px,3px", 1.5),
        ("SVM: agreement", told("svm", "agreement"), look["text-3"], "2px,3px", 1.5),
        ("accuracy", [record.result.accuracy for record in records], look["text"], "solid", 1.5),
        ("held-out accuracy", [record.result.held_out_accuracy for record in records], look["text"], "6px,3px", 1.5),
    ]
    for name, values, colour, dash, width in series:
        if np.isfinite(values).any():
            more: dict[str, Any] = {"connectgaps": True, "mode": "lines+markers"} if name.startswith("SVM") else {}
            data.append(line(name, epochs, values, colour, width=width, dash=dash, hovertemplate="%{y:.1%}", **more))
    low = min([0.0, *(v for trace in data for v in trace["y"] if v is not None)])
    panel = _panel(
        look,
        "surrogates",
        data,
        xaxis=epoch_axis(look, epochs),
        yaxis=axis(look, range=[max(low, -1.0), 1.03], nticks=5, tickformat=".0%"),
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"size": 11, "color": look["text-2"]}},
        margin={"l": 44, "r": 10, "t": 30, "b": 22},
    )
    raised = [since for record in records for _, kind, since in record.flags if kind == "memorising"]
    mark_alerts(look, panel, raised)
    return panel


def surrogate_coefficients(
    run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, method: str | None = None, **_: Any
) -> Figure:
    """Coefficients of the features that count most at an epoch, by class; `method` is "linear" or "svm"."""
    records = run.mappings
    name = method if method in ("linear", "svm") else "linear"
    with_it = [record for record in records if name in record.decision.surrogates]
    if not with_it:
        return _panel(look, "surrogate_coefficients", [])
    record = with_it[at_epoch(with_it, epoch)]
    found = record.decision.surrogates[name]
    weights = np.asarray(found.coefficients, np.float64)
    rows = np.argsort(-np.abs(weights).max(1), kind="stable")[:ROWS]
    high = float(np.abs(weights[rows]).max()) or 1.0
    names = [found.features[f] for f in rows]
    classes = [text(class_name(run, c), 14) for c in found.classes]
    left = int(min(200, 20 + 6.2 * max(map(len, names), default=1)))
    return _panel(
        look,
        "surrogate_coefficients",
        [
            {
                "type": "heatmap",
                "z": packed(weights[rows]),
                "zmin": -high,
                "zmax": high,
                "colorscale": colourscale(look.theme, "diverging"),
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "customdata": [[f"{text(n)}, {c}" for c in classes] for n in names],
                "hovertemplate": "%{customdata}: %{z:.3g}<extra></extra>",
            }
        ],
        xaxis=axis(look, showgrid=False, tickvals=list(range(len(classes))), ticktext=classes),
        yaxis=axis(
            look,
            showgrid=False,
            range=[len(names) - 0.5, -0.5],
            tickvals=list(range(len(names))),
            ticktext=[text(n, (left - 12) // 6) for n in names],
        ),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"scale": {"map": "diverging", "low": f"−{short(high)}", "high": short(high)}, "epoch": record.epoch},
    )


# Decision → result.


def samples_by(run: Recorded, epoch: int | None) -> Samples | None:
    """What was known of the samples at an epoch."""
    records = run.mappings
    return Samples.of(records[: at_epoch(records, epoch) + 1]) if records else None


def data_map(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, **_: Any) -> Figure:
    """Mean confidence in the label against its variability over the epochs so far; the suspicious samples in red."""
    found = samples_by(run, epoch)
    if found is None or not np.isfinite(found.mean_confidence).any():
        return _panel(look, "data_map", [])
    record = run.mappings[at_epoch(run.mappings, epoch)]
    suspects = set(found.suspects(SUSPECTS).tolist())
    size = len(found.mean_confidence)
    words = [
        f"{told}<br>confidence {percent(float(c))}, right in {percent(float(r))} of the epochs"
        for told, c, r in zip(
            _painted(run, look, record, "label")[1], found.mean_confidence, found.correctness, strict=True
        )
    ]
    return _panel(
        look,
        "data_map",
        [
            {
                "type": "scatter",
                "mode": "markers",
                "x": packed(found.variability),
                "y": packed(found.mean_confidence),
                "marker": {
                    "size": 7,
                    "color": [look["alarm"] if b in suspects else look.own for b in range(size)],
                    "opacity": 0.7,
                    "line": {"width": 1, "color": look["page"]},
                },
                "text": words,
                "hovertemplate": "%{text}<extra></extra>",
            }
        ],
        xaxis=axis(look, range=[-0.01, 0.51], nticks=6, title={"text": "variability", "font": {"size": 11}}),
        yaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5),
        margin={"l": 44, "r": 10, "t": 12, "b": 38},
        hovermode="closest",
        meta={"suspects": found.suspects(SUSPECTS).tolist()},
    )


def trajectories(
    run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, sample: int | None = None, **_: Any
) -> Figure:
    """Confidence in the label over epochs: of one sample, or of those that are believed least at an epoch."""
    records, found = run.mappings, samples_by(run, epoch)
    if found is None:
        return _panel(look, "trajectories", [])
    size = len(found.mean_confidence)
    if sample is not None and not 0 <= sample < size:
        raise unknown("sample", sample, map(str, range(size)))
    rows = found.suspects(SUSPECTS).tolist() if sample is None else [sample]
    confidence = np.stack([np.asarray(record.result.confidence, np.float64) for record in records])
    epochs = [record.epoch for record in records]
    middle = np.nanmedian(confidence, 1) if np.isfinite(confidence).all(1).any() else np.full(len(epochs), np.nan)
    data = [
        line(f"sample {b}", epochs, confidence[:, b], look["alarm"], width=1, hovertemplate="%{y:.1%}") for b in rows
    ]
    data.append(
        line("median of all", epochs, middle, look["text-3"], width=2, dash="2px,3px", hovertemplate="%{y:.1%}")
    )
    return _panel(
        look,
        "trajectories",
        data,
        xaxis=epoch_axis(look, epochs),
        yaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5),
        meta={"samples": rows},
    )


def most_confused(result: Result, most: int = 20) -> NDArray[np.int64]:
    """The classes that are taken for others most, or others for them; the first ones where so many are not. In order."""
    pairs = np.stack([np.asarray(result.label), np.asarray(result.prediction)])
    involved, times = np.unique(pairs[:, pairs[0] != pairs[1]], return_counts=True)
    first = involved[np.argsort(-times, kind="stable")][:most].tolist()
    rest = [k for k in range(min(result.classes, most + len(first))) if k not in first]
    return np.sort(np.asarray([*first, *rest][:most], np.int64))


def confusion(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, **_: Any) -> Figure:
    """True against predicted classes at one epoch; of many classes those that are confused most."""
    records = run.mappings
    result = records[at_epoch(records, epoch)].result if records else None
    if result is None or result.answer != "class" or result.label is None or not is_read(result).any():
        return _panel(look, "confusion", [])
    shown, read = most_confused(result), is_read(result)
    true, said = (
        np.asarray(classes)[read, None] == shown for classes in (result.label, result.prediction)
    )  # (B, shown)
    part = true.T.astype(np.int64) @ said.astype(np.int64)
    share = part / np.maximum(true.sum(0)[:, None], 1)
    names = [text(class_name(run, int(k)), 14) for k in shown]
    left = int(min(120, 20 + 6.2 * max(map(len, names), default=1)))
    return _panel(
        look,
        "confusion",
        [
            _square(look, share)
            | {
                "customdata": [
                    [f"{a} read as {b}: {int(part[i, j])}" for j, b in enumerate(names)] for i, a in enumerate(names)
                ],
                "hovertemplate": "%{customdata} (%{z:.0%})<extra></extra>",
            }
        ],
        xaxis=axis(look, showgrid=False, tickvals=list(range(len(names))), ticktext=names),
        yaxis=axis(
            look, showgrid=False, range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))), ticktext=names
        ),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"scale": {"map": "sequential", "low": "0 %", "high": "100 %"}},
    )


def reliability(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, **_: Any) -> Figure:
    """Accuracy against certainty at one epoch, ten bins of equal width, the size of a dot for the samples in it."""
    records = run.mappings
    result = records[at_epoch(records, epoch)].result if records else None
    if result is None or result.correct is None or result.answer != "class" or not np.isfinite(result.certainty).all():
        return _panel(look, "reliability", [])
    certainty, hits = np.asarray(result.certainty, np.float64), result.correct.astype(np.float64)
    bins = np.clip(np.ceil(certainty * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    there = np.flatnonzero(count)
    x, y = (np.bincount(bins, values, BINS)[there] / count[there] for values in (certainty, hits))
    panel = _panel(
        look,
        "reliability",
        [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": x.tolist(),
                "y": y.tolist(),
                "line": {"color": look.own, "width": 1.5},
                "marker": {"size": (22 * np.sqrt(count[there] / count.max())).tolist(), "color": look.own},
                "text": [f"{n} samples" for n in count[there].tolist()],
                "hovertemplate": "sure %{x:.0%}, right %{y:.0%}, %{text}<extra></extra>",
            }
        ],
        xaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5, showgrid=False),
        yaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5),
        hovermode="closest",
    )
    panel["layout"]["shapes"].append(
        {
            "type": "line",
            "x0": 0,
            "y0": 0,
            "x1": 1,
            "y1": 1,
            "line": {"color": look["text-3"], "width": 1, "dash": "4px,3px"},
        }
    )
    panel["layout"]["annotations"].append(
        {
            "xref": "paper",
            "yref": "paper",
            "x": 0.02,
            "y": 0.98,
            "xanchor": "left",
            "yanchor": "top",
            "showarrow": False,
            "text": f"error {short(result.ece)}, by chance {short(result.ece_floor)}",
            "font": {"color": look["text-2"]},
        }
    )
    return panel


PANELS: dict[str, Callable[..., Figure]] = {
    "layer_map": layer_map,
    "layer_stability": layer_stability,
    "layer_dead": layer_dead,
    "layer_saturation": layer_saturation,
    "layer_participation": layer_participation,
    "layer_spread": layer_spread,
    "layer_likeness": layer_likeness,
    "readability": readability,
    "surrogates": surrogates,
    "surrogate_coefficients": surrogate_coefficients,
    "data_map": data_map,
    "trajectories": trajectories,
    "confusion": confusion,
    "reliability": reliability,
}


def health(run: Recorded, epoch: int | None = None) -> str:
    """The flags in words; an empty string where nothing was recorded."""
    records = run.mappings
    if not records:
        return ""
    record = records[at_epoch(records, epoch)]
    words = {
        "dead layer": "{} is dead since epoch {}",
        "non-finite": "{} gives NaN or infinite values since epoch {}",
        "memorising": "the {} memorises since epoch {}",
        "inference gap": "the {} is another one in inference since epoch {}",
    }
    told = [words.get(kind, f"{{}}: {kind} since epoch {{}}").format(name, since) for name, kind, since in record.flags]
    still = [f"{name} since {since}" for name, kind, since in record.notes if kind == "stable"]
    sentence = "; ".join(told) if told else "no flag"
    return f"{sentence[0].upper()}{sentence[1:]}." + (f" Standing still: {', '.join(still)}." if still else "")


def figure(
    run: Recorded, *, layer: str | None = None, epoch: int | None = None, source: str | None = None, look: Look = LIGHT
) -> Figure:
    """Every panel that this run has something for, each under what it shows and how to read it."""
    made = []
    for name, panel in PANELS.items():
        options: dict[str, Any] = {"layer": layer, "source": source} if name == "layer_map" else {}
        one = panel(run, look, epoch=epoch, **options)
        if not one["data"] or name in ("layer_saturation", "layer_spread"):
            continue
        title, reading = READING[name]
        title = f"{title}: {text(one['layout']['meta']['layer'], 30)}" if name == "layer_map" else title
        note = f"<span style='font-size:12px;color:{look['text-2']}'>{_wrapped(reading)}</span>"
        made.append((f"{title}<br>{note}", one))
    if not made:
        return chart(look, [], title={"text": text(f"No mappings: {why_absent(run, 'ProbeMappings')}", 160)})
    return grid(look, made, title=text(health(run, epoch), 140), row_height=330)


def _wrapped(sentence: str, most: int = 72) -> str:
    """Two lines at most fit above a panel."""
    if len(sentence) <= most:
        return sentence
    cut = sentence.rfind(" ", 0, most)
    return f"{sentence[:cut]}<br>{sentence[cut + 1 :]}"
