"""Slices of the probe: accuracy by value over epochs, importance by value, and what each layer tells of a slice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_xai.analysis.formatting import percent
from keras_xai.analysis.slices import (
    gap_sentence,
    important_features,
    least_accurate,
    slices_at,
    slices_sentence,
    why_no_accuracy,
)
from keras_xai.figures.colour import class_colours
from keras_xai.figures.grid import TITLE_LETTERS, WIDE_LETTERS, grid, wrapped
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
from keras_xai.figures.line_ends import LABEL_LETTERS, labels_at_ends
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
    mark_resumed,
    nothing,
    numbers,
    text,
    texts,
    update_axis,
)
from keras_xai.recorded import Recorded
from keras_xai.records import Slices, SliceValue
from keras_xai.slice_accuracy import wilson_interval

MAX_LINES = 8  # values that are drawn: of more neither colours nor labels can be told apart
MAX_COLUMNS, MAX_FEATURES = 12, 13
MAX_READOUT_ROWS = 24
WHOLE = "all rows"

READING = {
    "slice_accuracy": (
        "Accuracy by slice",
        "Share of right rows, the least accurate values; the band holds 95 % for the lowest, dashed is the whole probe.",
    ),
    "slice_importance": (
        "Importance by slice",
        "Share of each feature in the rows of a value: a column unlike the others relies on something else.",
    ),
    "slice_readout": (
        "Slices that layers tell",
        "Accuracy of a linear probe of the layer for the slice, each sample left out; the scale begins at chance.",
    ),
}


def _panel(
    look: Look, name: str, data: list[dict[str, Any]], meta: dict[str, Any] | None = None, **layout: Any
) -> Figure:
    title, reading = READING[name]
    return chart(look, data, meta={"title": title, "reading": reading, **(meta or {})}, **layout)


def slice_accuracy(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw the accuracy of the least accurate values over epochs, with the whole probe as a dashed line.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: at which the values are the least accurate; by default the last.
    """
    records, chosen = run.slices, slices_at(run, epoch)
    if chosen is None:
        return _panel(look, "slice_accuracy", [])
    accuracies = np.asarray([record.accuracy for record in records], np.float64)  # (E, V)
    drawn = [k for k in least_accurate(chosen, MAX_LINES) if np.isfinite(accuracies[:, k]).any()]
    if not drawn:
        return _panel(look, "slice_accuracy", [], {"absent": why_no_accuracy(chosen)})
    epochs, colours = [record.update for record in records], class_colours(look.theme, len(drawn))
    band = _interval(records, drawn[0])
    data = _band(look, epochs, band)
    labels = []
    for k, colour in reversed(list(zip(drawn, colours, strict=True))):
        accuracy = accuracies[:, k]
        confidence = numbers([record.confidence[k] for record in records])
        name = f"{_name(chosen.values[k])}, {chosen.values[k].rows} rows"
        hover = "%{y:.1%}, confidence %{customdata:.1%}"
        data.append(_line(name, epochs, accuracy, colour, customdata=confidence, hovertemplate=hover))
        labels.append((_name(chosen.values[k]), float(accuracy[-1]), colour))
    overall = [record.overall_accuracy for record in records]
    data.append(_line(WHOLE, epochs, overall, look["text"], dash="6px,3px", width=2.25, hovertemplate="%{y:.1%}"))
    labels.append((WHOLE, overall[-1], look["text"]))
    low = float(np.nanmin([np.nanmin(accuracies[:, drawn]), *band[0]]))
    span = [max(0.0, low - 0.05), 1.02]
    right = 16 + int(6 * max(min(len(name), LABEL_LETTERS) for name, *_ in labels))
    panel = _panel(
        look,
        "slice_accuracy",
        data,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=span, nticks=6, tickformat=".0%"),
        margin={"l": 44, "r": right, "t": 12, "b": 22},
    )
    panel["layout"]["annotations"] += labels_at_ends(labels, span)
    mark_resumed(look, panel, run.history)
    mark_alerts(look, panel, [alert.update for alert in run.alerts if alert.source == "rule"])
    panel["layout"]["meta"]["labelled"] = True
    return named_axes(look, panel, y="accuracy", x_column=run.unit)


def _name(value: SliceValue) -> str:
    return f"{value.slice} = {value.value}"


def _line(name: str, epochs: Sequence[int], values: ArrayLike, colour: str, **more: Any) -> dict[str, Any]:
    """Return a line over epochs; a single epoch is a point."""
    return line(name, epochs, values, colour, mode="lines" if len(epochs) > 1 else "markers", **more)


def _interval(records: Sequence[Slices], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % interval of the accuracy of a value over epochs: its lower and its upper end."""
    rows = np.asarray([record.values[k].rows for record in records])
    return wilson_interval(np.asarray([record.accuracy[k] for record in records], np.float64), rows)


def _band(
    look: Look, epochs: Sequence[int], interval: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """Return the lines between which an interval is shaded."""
    edge: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip", "meta": {"follows": False}}
    lower = line("95 %", epochs, interval[0], look["grid"], width=0, **edge)
    upper = line("95 %", epochs, interval[1], look["grid"], width=0, fill="tonexty", fillcolor=look["grid"], **edge)
    return [lower, upper]


def slice_importance(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, exact: bool = False) -> Figure:
    """Draw the share of the most important features in the rows of each value at an epoch.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: of the record that is drawn; by default the last.
        exact: with the shares of all features and values as a table in `layout.meta`.
    """
    records = [record for record in run.slices if record.importance is not None and record.update <= _until(epoch)]
    if not records or records[-1].importance is None:
        return _panel(look, "slice_importance", [])
    record, importance = records[-1], records[-1].importance
    values = least_accurate(record, MAX_COLUMNS)
    features = important_features(record, values, MAX_FEATURES)
    if not features:
        return _panel(look, "slice_importance", [], {"absent": "no importance by slice was finite"})
    share = np.stack([importance.overall, *(importance.share[k] for k in values)], 1)[features].astype(np.float64)
    names = [importance.features[f] for f in features]
    columns = [WHOLE, *(_name(record.values[k]) for k in values)]
    high = float(np.nanmax(share, initial=0.0)) or 1.0
    left = left_margin(names, 190, letter=6)
    cells = heat_map(
        look,
        100 * share,
        0,
        100 * high,
        xgap=1,
        ygap=1,
        customdata=[_cell_names(name, columns) for name in names],
        hovertemplate="%{customdata}: %{z:.2f} %<extra></extra>",
        hoverongaps=False,
    )
    ticks = {"tickvals": list(range(len(columns))), "ticktext": texts(columns, LABEL_LETTERS)}
    longest = max(min(len(column), LABEL_LETTERS) for column in columns)
    title, reading = READING["slice_importance"]
    spoken = text(gap_sentence(record), 200)
    panel = _panel(
        look,
        "slice_importance",
        [cells],
        {
            "title": f"{title}, {record.moment}",
            "reading": f"{spoken} {reading}" if spoken else reading,
            "cells": True,
            "scale": {"map": "sequential", "low": "0 %", "high": percent(high)},
        },
        xaxis=axis(look, range=[-0.5, len(columns) - 0.5], showgrid=False, tickangle=-35, **ticks),
        yaxis=row_axis(look, texts(names, label_length(left))),
        margin={"l": left, "r": 10, "t": 4, "b": 22 + int(3.6 * longest)},
        hovermode="closest",
    )
    return tabulated(
        panel,
        ["feature", WHOLE, *(_name(value) for value in record.values)],
        lambda: zip(importance.features, importance.overall, *importance.share, strict=True),
        exact=exact,
    )


def _cell_names(feature: str, columns: Sequence[str]) -> list[str]:
    return [f"{text(feature)}<br>{text(column)}" for column in columns]


def _until(epoch: int | None) -> float:
    return np.inf if epoch is None else epoch


def slice_readout(run: Recorded, look: Look = LIGHT, *, exact: bool = False) -> Figure:
    """Draw how well a linear probe tells each slice from each layer, over epochs; chance is the palest colour.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        exact: with its numbers as a table in `layout.meta`.
    """
    records = [record for record in run.slices if record.readout is not None]
    if not records or records[-1].readout is None:
        return _panel(look, "slice_readout", [])
    readout, epochs = records[-1].readout, [record.update for record in records]
    rows = list(itertools.product(range(len(readout.slices)), range(len(readout.layers))))[:MAX_READOUT_ROWS]
    accuracy = np.asarray([record.readout.readability for record in records if record.readout is not None], np.float64)
    values = np.asarray([accuracy[:, layer, s] for s, layer in rows])
    chance = np.asarray([float(readout.chance[s]) for s, _ in rows])
    with np.errstate(all="ignore"):
        beyond = (values - chance[:, None]) / (1 - chance[:, None])  # 0 is chance, 1 all right
    names = [f"{readout.slices[s]}: {readout.layers[layer]}" for s, layer in rows]
    left = left_margin(names)
    hover = _readout_hover(names, values, chance)
    cells = heat_map(
        look,
        beyond,
        0,
        1,
        x=epochs,
        xgap=column_gap(epochs),
        ygap=1,
        customdata=hover,
        hovertemplate=f"%{{customdata}}<br>{run.unit} %{{x}}<extra></extra>",
        hoverongaps=False,
    )
    panel = _panel(
        look,
        "slice_readout",
        [cells, *hatched(look, epochs, np.isfinite(beyond))],
        {"cells": True, "scale": {"map": "sequential", "low": "chance", "high": "100 %"}},
        xaxis=cell_axis(look, run, epochs),
        yaxis=row_axis(look, texts(names, label_length(left))),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
    )
    cells_of_rows = itertools.product(range(len(names)), range(len(epochs)))
    return tabulated(
        panel,
        ["slice and layer", run.unit, "accuracy", "chance"],
        lambda: ([names[row], epochs[at], values[row, at], chance[row]] for row, at in cells_of_rows),
        exact=exact,
    )


def _readout_hover(names: Sequence[str], values: NDArray[Any], chance: NDArray[Any]) -> list[list[str]]:
    """Return the hover text of each cell: the row, the accuracy, and what chance gives."""
    cells = row_names(names, values.shape[1])
    for row, accuracies in enumerate(values):
        for column, accuracy in enumerate(accuracies):
            cells[row][column] += f": {percent(accuracy)}, chance {percent(chance[row])}"
    return cells


PANELS: dict[str, Callable[..., Figure]] = {
    "slice_accuracy": slice_accuracy,
    "slice_importance": slice_importance,
    "slice_readout": slice_readout,
}


def figure(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw accuracy, importance and readout by slice of the probe; without what was not recorded.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: as the run stood at this epoch; by default at the last.
    """
    record = slices_at(run, epoch)
    if record is None:
        return nothing(look, "slices", "the probe has no slices; give Probe(slices={name: value of each row})")
    panels = []
    for draw in PANELS.values():
        panel = draw(run, look, **accepted(draw, {"epoch": epoch}))
        if panel["data"]:
            meta = panel["layout"]["meta"]
            note = (
                f"<span style='font-size:12px;color:{look['text-2']}'>{wrapped(meta['reading'], WIDE_LETTERS)}</span>"
            )
            panels.append((f"{meta['title']}<br>{note}", panel))
    title = text(slices_sentence(record), 220)
    if not panels:
        return nothing(look, "slices", title)
    return grid(look, panels, columns=1, title=wrapped(title, TITLE_LETTERS), row_height=300)
