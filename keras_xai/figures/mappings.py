"""Mappings: how data become features, features a decision, a decision a result, epoch by epoch.

Each panel has a title and a sentence on how to read it in `layout.meta` (`title`, `reading`), from `READING`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent, short
from keras_xai.analysis.mappings import (
    aligned_coordinates,
    at_epoch,
    has_prediction,
    layer_index,
    layers,
    mapping_health,
    samples_until,
)
from keras_xai.analysis.outputs import class_name
from keras_xai.errors import unknown
from keras_xai.figures.colour import Map, class_colours
from keras_xai.figures.grid import grid, wrapped
from keras_xai.figures.heat_map import (
    cell_axis,
    column_gap,
    hatched,
    heat_map,
    label_length,
    left_margin,
    row_axis,
    row_names,
)
from keras_xai.figures.options import accepted
from keras_xai.figures.tables import named_axes, tabulated
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_alerts,
    nothing,
    packed,
    text,
    texts,
    update_axis,
)
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Mappings, Result
from keras_xai.updates import UPDATES

TAIL_EPOCHS = 5  # of the tail behind each point of the map
SURROGATE_ROWS = 16  # features of a surrogate that are drawn
MARKED_SUSPECTS = 12
CLASS_LETTERS = 14  # of a class name in a label, at most

READING = {
    "layer_map": (
        "Samples in a layer (principal components)",
        "Near is alike to this layer; tails come from the last five epochs. Every epoch is turned towards the reference, so that "
        "only the training moves a point.",
    ),
    "layer_stability": (
        "Change of the representation (1 − CKA)",
        "1 − CKA to the record before: dark still learns, pale stands still.",
    ),
    "layer_dead": (
        "Dead units",
        "Share of a layer's units that are zero for every sample; blank where zero does not say so.",
    ),
    "layer_saturation": (
        "Saturated units",
        "Share of activations in a flat part of their function, where no gradient flows.",
    ),
    "layer_participation": (
        "Participation ratio",
        "How many directions share a layer's variance; falling is narrowing.",
    ),
    "layer_spread": (
        "Variance between samples",
        "Share of a layer's power that differs from sample to sample; 0 tells nothing apart.",
    ),
    "layer_scale": (
        "Size of the activations",
        "Standard deviation of a layer's activations over that in the first record: orange has grown, blue has shrunk.",
    ),
    "prediction_depth": (
        "Prediction depth",
        "Share of the samples that are decided only behind this layer: its linear probe, or a later one, predicts another class.",
    ),
    "layer_likeness": (
        "Similarity of the layers (linear CKA)",
        "CKA between layers at this epoch: 1 is the same up to a rotation, 0 unrelated.",
    ),
    "readability": (
        "Linear probes of the layers",
        "Accuracy with which a linear probe reads the decision from a layer, each sample left out; the scale begins at chance.",
    ),
    "surrogates": (
        "Fidelity of the surrogates",
        "R² of a linear regression that stands for the model, beside the accuracy: falling together with held-out accuracy is "
        "memorising.",
    ),
    "surrogate_coefficients": (
        "Coefficients of the linear surrogate",
        "Effect of a feature on each class, per standard deviation: orange speaks for it, blue against.",
    ),
    "data_map": (
        "Dataset cartography",
        "Confidence in the label against its variability. Top left is easy; right is ambiguous; bottom left is hard or "
        "mislabelled.",
    ),
    "trajectories": (
        "Training dynamics of the hardest samples",
        "Probability of the label over epochs; rising late in training is learning by heart.",
    ),
}

STATISTICS: dict[str, Callable[[Mappings], Float]] = {
    "layer_stability": lambda record: 1 - record.features.cka_previous,
    "layer_dead": lambda record: record.features.dead,
    "layer_saturation": lambda record: record.features.saturation,
    "layer_participation": lambda record: record.features.participation,
    "layer_spread": lambda record: record.features.spread,
    "prediction_depth": lambda record: _undecided_shares(record),
}
QUANTITIES = {  # of heat maps of layers, in their tables
    "layer_stability": "1 - CKA",
    "layer_dead": "share of dead units",
    "layer_saturation": "share of saturated activations",
    "layer_participation": "participation ratio",
    "layer_spread": "spread",
    "layer_scale": "log2(std / first std)",
    "prediction_depth": "share of undecided samples",
    "readability": "accuracy",
}
MAX_DOUBLINGS = 20.0  # of the size of a layer's activations that are told apart
CLASSES_NAMED = 12
LEGEND_COLUMNS = 5
COLOURINGS = ("label", "prediction", "held_out", "correct")


# What several panels need.


def _panel(
    look: Look, run: Recorded, name: str, data: list[dict[str, Any]], meta: dict[str, Any] | None = None, **layout: Any
) -> Figure:
    title, reading = READING[name]
    if run.unit == "step":
        reading = reading.replace("epoch", "update").replace("Epoch", "Update")
    return chart(look, data, meta={"title": title, "reading": reading, **(meta or {})}, **layout)


# Data → features.


def layer_map(
    run: Recorded,
    look: Look = LIGHT,
    *,
    layer: str | None = None,
    epoch: int | None = None,
    reference: int | None = None,
    source: str | None = None,
) -> Figure:
    """Draw the 2-D map of one layer at one epoch, with tails.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        layer: its path; by default the last one before the logits.
        epoch: by default the last.
        reference: the epoch whose axes are drawn, by default the last.
        source: the property by which samples are coloured: "label", "prediction", "held_out" or "correct".
    """
    records = run.mappings
    has_labels = bool(records) and records[-1].result.label is not None
    colouring = source or ("label" if has_labels else "prediction")
    if colouring not in COLOURINGS:
        raise unknown("colouring", colouring, COLOURINGS)
    if not records:
        return _panel(look, run, "layer_map", [])
    k, at = layer_index(records, layer), at_epoch(records, epoch)
    coordinates = aligned_coordinates(records, k, None if reference is None else at_epoch(records, reference))
    current, tail = coordinates[at], coordinates[max(0, at - TAIL_EPOCHS) : at + 1]
    gaps = np.full((1, current.shape[0], 2), np.nan)  # between the tails of two samples
    path = np.concatenate([tail, gaps]).transpose(1, 0, 2).reshape(-1, 2)
    limit = 1.05 * float(np.nanmax(np.abs(coordinates), initial=0.0) or 1.0)
    tails = {
        "type": "scatter",
        "mode": "lines",
        "x": packed(path[:, 0]),
        "y": packed(path[:, 1]),
        "line": {"color": look["line-strong"], "width": 0.75},
        "hoverinfo": "skip",
    }
    colours = _sample_colours(look, records[at].result, colouring)
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": packed(current[:, 0]),
        "y": packed(current[:, 1]),
        "marker": {"size": 7, "color": colours, "line": {"width": 1, "color": look["page"]}},
        "text": _sample_words(run, records[at].result),
        "hovertemplate": "%{text}<extra></extra>",
    }
    legend = _class_legend(run, look, records[at].result, colouring)
    return _panel(
        look,
        run,
        "layer_map",
        [tails, points],
        annotations=legend,
        xaxis=axis(look, visible=False, range=[-limit, limit]),
        yaxis=axis(look, visible=False, range=[-limit, limit], scaleanchor="x"),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="closest",
        meta={"layer": layers(records)[k], "epoch": records[at].update, "by": colouring},
    )


def _class_legend(run: Recorded, look: Look, result: Result, colouring: str) -> list[dict[str, Any]]:
    """Return the names of the classes beside their colours, as a mark in the corner of a panel; [] without classes."""
    if colouring not in ("label", "prediction") or result.answer != "class":
        return []
    colours = class_colours(look.theme, min(result.classes, CLASSES_NAMED))
    words = [f"<span style='color:{c}'>●</span> {text(class_name(run, k), 16)}" for k, c in enumerate(colours)]
    if result.classes > len(words):
        words.append(f"and {result.classes - len(words)} more")
    lines = ["  ".join(words[k : k + LEGEND_COLUMNS]) for k in range(0, len(words), LEGEND_COLUMNS)]
    corner = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "top"}
    font = {"size": 11, "color": look["text-2"]}
    return [{**corner, "align": "left", "text": "<br>".join(lines), "showarrow": False, "font": font}]


def _sample_words(run: Recorded, result: Result) -> list[str]:
    """Return the hover text of every sample."""
    classes, read = result.answer == "class", has_prediction(result)
    lines = []
    for b in range(len(result.certainty)):
        words = [f"sample {b}"]
        if classes and read[b]:
            words.append(f"read as {text(class_name(run, int(result.prediction[b])), 24)}")
        elif classes:
            words.append("outputs not finite")
        if classes and result.label is not None:
            words.append(f"label {text(class_name(run, int(result.label[b])), 24)}")
        if result.held_out is not None and result.held_out[b]:
            words.append("held out")
        lines.append(", ".join(words))
    return lines


def _sample_colours(look: Look, result: Result, colouring: str) -> list[str]:
    """Return a colour for every sample."""
    plain = [look["text-3"]] * len(result.certainty)
    if colouring in ("label", "prediction"):
        classes = result.label if colouring == "label" else result.prediction
        if result.answer != "class" or classes is None:
            return plain
        return class_colours(look.theme, result.classes, classes)
    if colouring == "held_out":
        marks, yes, no = result.held_out, look["accent"], look["text-3"]
    else:
        marks, yes, no = result.correct, look["text-3"], look["alarm"]
    if marks is None:
        return plain
    return [yes if mark else no for mark in marks]


def layer_epoch(run: Recorded, look: Look, name: str) -> Figure:
    """Draw a statistic of every layer at every epoch; hatched where there is none."""
    records = run.mappings
    if not records:
        return _panel(look, run, name, [])
    values = np.stack([np.asarray(STATISTICS[name](record), np.float64) for record in records], 1)
    finite = values[np.isfinite(values)]
    high = 1.0
    if name in ("layer_stability", "layer_participation", "prediction_depth"):
        high = float(np.quantile(finite, 0.98)) if finite.size else 1.0
    low, high = (1.0 if name == "layer_participation" else 0.0), max(high, 1e-6)
    return _layer_cells(run, look, name, values, low, high, f"{low:g}", short(high) if high != 1 else "1")


def _layer_cells(
    run: Recorded,
    look: Look,
    name: str,
    values: Float,
    low: float,
    high: float,
    pale: str,
    dark: str,
    *,
    colours: Map = "sequential",
    words: list[list[str]] | None = None,
) -> Figure:
    """Draw a heat map of layers over updates; `words` stand for the values where the pointer is."""
    records = run.mappings
    names, epochs = layers(records), [record.update for record in records]
    left = left_margin(names)
    cells = heat_map(
        look,
        values,
        low,
        high if high > low else low + 1,
        colours=colours,
        x=epochs,
        xgap=column_gap(epochs),
        ygap=1,
        customdata=row_names(names, len(epochs)),
        hovertemplate=f"%{{customdata}}<br>{run.unit} %{{x}}: %{{{'z:.3g' if words is None else 'text'}}}<extra></extra>",
        **({} if words is None else {"text": words}),
    )
    return _panel(
        look,
        run,
        name,
        [cells, *hatched(look, epochs, np.isfinite(values))],
        xaxis=cell_axis(look, run, epochs),
        yaxis=row_axis(look, texts(names, label_length(left))),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={
            "cells": True,
            "rows": list(names),
            "columns": {"x": run.unit, "y": "layer", "z": QUANTITIES[name]},
            "scale": {"map": colours, "low": pale, "high": dark},
        },
    )


def layer_stability(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw 1 − CKA to the record before."""
    return layer_epoch(run, look, "layer_stability")


def layer_dead(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the share of dead units."""
    return layer_epoch(run, look, "layer_dead")


def layer_saturation(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the share of saturated activations."""
    return layer_epoch(run, look, "layer_saturation")


def layer_participation(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the participation ratio: the number of directions in use."""
    return layer_epoch(run, look, "layer_participation")


def layer_spread(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the spread: the share of a layer's power that differs between samples."""
    return layer_epoch(run, look, "layer_spread")


def prediction_depth(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the share of samples that are decided only behind each layer: some probe from it on predicts another class."""
    if not run.mappings or run.mappings[-1].result.answer != "class":
        return _panel(look, run, "prediction_depth", [])
    return layer_epoch(run, look, "prediction_depth")


def _undecided_shares(record: Mappings) -> Float:
    """Return the share of samples whose prediction depth is more than that of each layer (L); 0 at the output."""
    index = np.arange(len(record.features.layers))[:, None]
    return np.asarray((record.prediction_depth > index).mean(1))


def _square(
    look: Look, shares: NDArray[Any], rows: Sequence[str], columns: Sequence[str], left: int, hover: dict[str, Any]
) -> dict[str, Any]:
    """Return the trace and the layout of a matrix of shares, 0 to 1, with labelled rows and columns."""
    return {
        "data": [heat_map(look, shares, 0, 1, xgap=1, ygap=1, **hover)],
        "xaxis": axis(look, showgrid=False, tickvals=list(range(len(columns))), ticktext=list(columns)),
        "yaxis": row_axis(look, rows),
        "margin": {"l": left, "r": 4, "t": 4, "b": 22},
        "hovermode": "closest",
    }


def layer_scale(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the standard deviation of every layer's activations over that in the first record, as a logarithm; hatched without."""
    records = run.mappings
    if not records:
        return _panel(look, run, "layer_scale", [])
    size = np.stack([np.asarray(record.features.std, np.float64) for record in records], 1)
    size = np.where(np.isfinite(size), size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        doublings = np.log2(size / np.where(size[:, :1] > 0, size[:, :1], np.nan))
    doublings = np.clip(doublings, -MAX_DOUBLINGS, MAX_DOUBLINGS)  # a layer that collapsed to a point has no logarithm
    finite = np.abs(doublings[np.isfinite(doublings)])
    high = max(float(np.quantile(finite, 0.98)) if finite.size else 0.0, 1.0)
    factors = [_as_factors(row) for row in doublings.tolist()]
    end = short(2.0**high)
    return _layer_cells(
        run,
        look,
        "layer_scale",
        doublings,
        -high,
        high,
        f"÷\u2009{end}",
        f"×\u2009{end}",
        colours="diverging",
        words=factors,
    )


def _as_factors(doublings: list[float]) -> list[str]:
    return [f"×\u2009{short(2.0**value)}" if np.isfinite(value) else "–" for value in doublings]


def layer_likeness(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, exact: bool = False) -> Figure:
    """Draw CKA between all layers at one epoch.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: by default the last.
        exact: with its numbers as a table in `layout.meta`.
    """
    records = run.mappings
    if not records:
        return _panel(look, run, "layer_likeness", [])
    record, names = records[at_epoch(records, epoch)], layers(records)
    left = left_margin(names)
    rows = [f"{k + 1} {label}" for k, label in enumerate(texts(names, label_length(left)))]
    numbers = [str(k + 1) for k in range(len(names))]
    hover = {"customdata": _pairs(names), "hovertemplate": "%{customdata}: %{z:.2f}<extra></extra>"}
    panel = _panel(
        look,
        run,
        "layer_likeness",
        **_square(look, record.features.cka_layers, rows, numbers, left + 14, hover),
        meta={
            "scale": {"map": "sequential", "low": "0", "high": "1"},
            "epoch": record.update,
        },
    )
    similarity = record.features.cka_layers
    return tabulated(panel, ["layer", *names], lambda: zip(names, *similarity.T, strict=True), exact=exact)


def _pairs(names: Sequence[str]) -> list[list[str]]:
    """Return "a and b" for every pair of names."""
    labels = [text(name) for name in names]
    return [_prefixed(f"{first} and ", labels) for first in labels]


def _prefixed(prefix: str, labels: Sequence[str]) -> list[str]:
    return [prefix + label for label in labels]


# Features → decision.


def readability(run: Recorded, look: Look = LIGHT, *, source: str | None = None) -> Figure:
    """Draw the accuracy of a linear probe in each layer; chance is the palest colour.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        source: "prediction" for probes of the model's own prediction; by default those of the label.
    """
    records = run.mappings
    if not records:
        return _panel(look, run, "readability", [])
    decisions = [record.decision for record in records]
    if source == "prediction":
        accuracies = [decision.own_decision for decision in decisions]
    else:
        accuracies = [decision.readability for decision in decisions]
    values = np.stack(accuracies, 1).astype(np.float64)
    chance = decisions[-1].chance
    return _layer_cells(run, look, "readability", values, chance, 1.0, f"{short(chance)} (chance)", "1")


def surrogates(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw over epochs: R² of the linear surrogate, agreement of both surrogates, accuracy and held-out accuracy."""
    records = run.mappings
    epochs = [record.update for record in records]
    results = [record.result for record in records]
    # Of a dense output it is a share of pixels, tokens or boxes.
    each = f" per {results[-1].unit}" if results and results[-1].unit else ""
    series = [
        ("linear: R²", _surrogate_figure(records, "linear", "r2"), look.run_colour, "solid", 2.25),
        ("linear: agreement", _surrogate_figure(records, "linear", "agreement"), look.run_colour, "2px,3px", 1.5),
        ("SVM: agreement", _surrogate_figure(records, "svm", "agreement"), look["text-3"], "2px,3px", 1.5),
        (f"accuracy{each}", [result.accuracy for result in results], look["text"], "solid", 1.5),
        (f"held-out accuracy{each}", [result.held_out_accuracy for result in results], look["text"], "6px,3px", 1.5),
    ]
    data = []
    for name, values, colour, dash, width in series:
        if not np.isfinite(values).any():
            continue
        # An SVM is not fitted at every epoch.
        more: dict[str, Any] = {"connectgaps": True, "mode": "lines+markers"} if name.startswith("SVM") else {}
        data.append(line(name, epochs, values, colour, width=width, dash=dash, hovertemplate="%{y:.1%}", **more))
    low = min([0.0, *(value for trace in data for value in trace["y"] if value is not None)])
    panel = _panel(
        look,
        run,
        "surrogates",
        data,
        xaxis=update_axis(look, run, epochs),
        yaxis=axis(look, range=[max(low, -1.0), 1.03], nticks=5, tickformat=".0%"),
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"size": 11, "color": look["text-2"]}},
        margin={"l": 44, "r": 10, "t": 30, "b": 22},
    )
    mark_alerts(look, panel, [flag.since for record in records for flag in record.flags if flag.kind == "memorising"])
    return named_axes(look, panel, y="R², share", x_column=run.unit)


def _surrogate_figure(records: Sequence[Mappings], name: str, figure_name: str) -> list[float]:
    """Return one figure of a surrogate over epochs, NaN where there is none."""
    fits = [record.decision.surrogates.get(name) for record in records]
    return [float("nan") if fit is None else float(getattr(fit, figure_name)) for fit in fits]


def surrogate_coefficients(
    run: Recorded,
    look: Look = LIGHT,
    *,
    epoch: int | None = None,
    method: str | None = None,
    exact: bool = False,
) -> Figure:
    """Draw the coefficients by class of the features with the largest ones at an epoch.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: by default the last.
        method: the surrogate, "linear" or "svm"; by default, and for any other name, the linear one.
        exact: with the coefficients of all features as a table in `layout.meta`.
    """
    name = method if method in ("linear", "svm") else "linear"
    records = [record for record in run.mappings if name in record.decision.surrogates]
    if not records:
        return _panel(look, run, "surrogate_coefficients", [])
    record = records[at_epoch(records, epoch)]
    surrogate = record.decision.surrogates[name]
    weights = np.asarray(surrogate.coefficients, np.float64)
    rows = np.argsort(-np.abs(weights).max(1), kind="stable")[:SURROGATE_ROWS]
    high = float(np.abs(weights[rows]).max()) or 1.0
    names = [surrogate.features[f] for f in rows]
    classes = texts([class_name(run, c) for c in surrogate.classes], CLASS_LETTERS)
    left = left_margin(names)
    cells = heat_map(
        look,
        weights[rows],
        -high,
        high,
        colours="diverging",
        xgap=1,
        ygap=1,
        customdata=[_prefixed(f"{text(name)}, ", classes) for name in names],
        hovertemplate="%{customdata}: %{z:.3g}<extra></extra>",
    )
    panel = _panel(
        look,
        run,
        "surrogate_coefficients",
        [cells],
        xaxis=axis(look, showgrid=False, tickvals=list(range(len(classes))), ticktext=classes),
        yaxis=row_axis(look, texts(names, label_length(left))),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={
            "scale": {"map": "diverging", "low": f"−{short(high)}", "high": short(high)},
            "epoch": record.update,
        },
    )
    whole = [class_name(run, c) for c in surrogate.classes]
    return tabulated(
        panel,
        ["feature", *whole],
        lambda: zip(surrogate.features, *surrogate.coefficients.T, strict=True),
        exact=exact,
    )


# Decision → result.


def data_map(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, exact: bool = False) -> Figure:
    """Draw mean confidence in the label against its variability over the epochs so far; suspicious samples in red.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: up to which it is; by default the last.
        exact: with its numbers as a table in `layout.meta`.
    """
    samples = samples_until(run, epoch)
    if samples is None or not np.isfinite(samples.mean_confidence).any():
        return _panel(look, run, "data_map", [])
    record = run.mappings[at_epoch(run.mappings, epoch)]
    suspects = samples.suspects(MARKED_SUSPECTS).tolist()
    words = [
        f"{sample}<br>confidence {percent(float(confidence))}, right in {percent(float(share))} of the {UPDATES[run.unit]}"
        for sample, confidence, share in zip(
            _sample_words(run, record.result), samples.mean_confidence, samples.correctness, strict=True
        )
    ]
    colours = [look["alarm"] if b in suspects else look.run_colour for b in range(len(words))]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": packed(samples.variability),
        "y": packed(samples.mean_confidence),
        "marker": {"size": 7, "color": colours, "opacity": 0.7, "line": {"width": 1, "color": look["page"]}},
        "text": words,
        "hovertemplate": "%{text}<extra></extra>",
    }
    panel = _panel(
        look,
        run,
        "data_map",
        [points],
        xaxis=axis(look, range=[-0.01, 0.51], nticks=6),
        yaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5),
        margin={"l": 44, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
        meta={"suspects": suspects},
    )
    named_axes(look, panel, y="mean confidence", x="variability of the confidence")
    figures = (samples.mean_confidence, samples.variability, samples.correctness)
    columns = ["sample", "mean confidence", "variability", "correctness"]
    return tabulated(panel, columns, lambda: zip(range(len(words)), *figures, strict=True), exact=exact)


def trajectories(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, sample: int | None = None) -> Figure:
    """Draw the confidence in the label over epochs: of one sample, or of those with the lowest mean up to an epoch."""
    records, samples = run.mappings, samples_until(run, epoch)
    if samples is None:
        return _panel(look, run, "trajectories", [])
    size = len(samples.mean_confidence)
    if sample is not None and not 0 <= sample < size:
        raise unknown("sample", sample, map(str, range(size)))
    rows = samples.suspects(MARKED_SUSPECTS).tolist() if sample is None else [sample]
    confidence = np.stack([np.asarray(record.result.confidence, np.float64) for record in records])
    epochs = [record.update for record in records]
    has_epoch = np.isfinite(confidence).all(1).any()
    medians = np.nanmedian(confidence, 1) if has_epoch else np.full(len(epochs), np.nan)
    hover = "%{y:.1%}"
    data = [line(f"sample {b}", epochs, confidence[:, b], look["alarm"], width=1, hovertemplate=hover) for b in rows]
    median = line("median of all", epochs, medians, look["text-3"], width=2, dash="2px,3px", hovertemplate=hover)
    panel = _panel(
        look,
        run,
        "trajectories",
        [*data, median],
        xaxis=update_axis(look, run, epochs),
        yaxis=axis(look, range=[-0.03, 1.03], tickformat=".0%", nticks=5),
        meta={"samples": rows},
    )
    return named_axes(look, panel, y="confidence", x_column=run.unit)


PANELS: dict[str, Callable[..., Figure]] = {
    "layer_map": layer_map,
    "layer_stability": layer_stability,
    "layer_dead": layer_dead,
    "layer_saturation": layer_saturation,
    "layer_participation": layer_participation,
    "layer_spread": layer_spread,
    "layer_scale": layer_scale,
    "layer_likeness": layer_likeness,
    "readability": readability,
    "prediction_depth": prediction_depth,
    "surrogates": surrogates,
    "surrogate_coefficients": surrogate_coefficients,
    "data_map": data_map,
    "trajectories": trajectories,
}
# Panels that the whole figure leaves out: dead units and directions in use show nearly the same.
OMITTED_PANELS = ("layer_saturation", "layer_spread")


def figure(
    run: Recorded,
    look: Look = LIGHT,
    *,
    layer: str | None = None,
    epoch: int | None = None,
    source: Literal["label", "prediction", "held_out", "correct"] | None = None,
) -> Figure:
    """Draw every panel for which the run has records, each under its title and a sentence on how to read it.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        layer: whose map is drawn, by its path; by default the last one before the logits.
        epoch: as the run stood at this epoch; by default at the last.
        source: the property by which samples of the map are coloured: "label", "prediction", "held_out" or "correct".
    """
    panels = []
    for name, draw in PANELS.items():
        if name in OMITTED_PANELS:
            continue
        # `readability` also takes a `source`, which means something else.
        options = {"epoch": epoch, "layer": layer} | ({"source": source} if draw is layer_map else {})
        panel = draw(run, look, **accepted(draw, options))
        if not panel["data"]:
            continue
        title, reading = panel["layout"]["meta"]["title"], panel["layout"]["meta"]["reading"]
        if draw is layer_map:
            title = f"{title}: {text(panel['layout']['meta']['layer'], 30)}"
        note = f"<span style='font-size:12px;color:{look['text-2']}'>{wrapped(reading)}</span>"
        panels.append((f"{title}<br>{note}", panel))
    if not panels:
        return nothing(look, "mappings", why_absent(run, "ProbeMappings"))
    return grid(look, panels, title=text(mapping_health(run, epoch), 140), row_height=330)
