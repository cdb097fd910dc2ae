"""Predictions at an update: confusion matrix, calibration, certainty, precision and recall, slices; of numbers the errors.

Each panel has a title and a sentence on how to read it in `layout.meta` (`title`, `reading`), from `READING`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent, short
from keras_xai.analysis.prediction_metrics import (
    Calibration,
    ClassMetrics,
    calibration,
    cells,
    class_metrics,
    confusion_matrix,
    errors,
    is_whole,
    label_metrics,
    matrix_classes,
    predicted_classes,
    slice_rows,
    truth_histogram,
)
from keras_xai.analysis.predictions import at_update, output_name, sentence, shown_output, slices_of, why_none
from keras_xai.errors import unknown
from keras_xai.figures.grid import grid, wrapped
from keras_xai.figures.heat_map import heat_map, label_length, left_margin, row_axis
from keras_xai.figures.options import accepted
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, nothing, packed, text
from keras_xai.recorded import Recorded
from keras_xai.records import Float, ProbePredictions

CLASS_LETTERS = 14  # of a class name in a label, at most
MAX_TABLE_ROWS = 24  # classes, labels or values of slices that have a row
MAX_RESIDUAL_BINS = 30
SHARES = (-0.07, 1.07)  # of an axis of shares, with room for the dots at its ends
MATRIX_NUMBERS = 12  # classes up to which the counts stand in their cells

READING = {
    "confusion": ("Confusion matrix", "Rows are true classes, columns predicted ones; colour is the share of the row."),
    "class_metrics": (
        "Precision, recall and F1",
        "Precision: how much of what is read so is so. Recall: how much of what is so is read so.",
    ),
    "calibration": (
        "Calibration",
        "A dot is a bin of certainty; below the diagonal the model is too sure.",
    ),
    "truth_histogram": (
        "Certainty against truth",
        "Rows by the probability that the model gives to their true class; far left it is sure and wrong.",
    ),
    "predicted_against_true": (
        "Predicted against true",
        "A point is a row of the probe; on the diagonal the prediction is the truth.",
    ),
    "residuals": ("Residuals", "Predicted less true: how the errors are distributed, and to which side they lean."),
    "predicted_classes": (
        "Predicted classes",
        "Share of the rows that are read as each class, and the mean probability of the prediction in them.",
    ),
    "slice_metrics": (
        "Slices of the probe",
        "Accuracy and the mean probability of the true class in the rows of each value, the least accurate first.",
    ),
}


def _panel(
    look: Look,
    name: str,
    data: list[dict[str, Any]],
    meta: dict[str, Any] | None = None,
    title: str = "",
    **layout: Any,
) -> Figure:
    default, reading = READING[name]
    return chart(look, data, meta={"title": title or default, "reading": reading, **(meta or {})}, **layout)


def confusion(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, label: int | None = None) -> Figure:
    """Draw true against predicted classes at an update; of many classes those that are most often confused.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: by default the last.
        label: of several labels a row the number of the one that is drawn, by default the first.
    """
    record = at_update(run, epoch)
    counted = None if record is None else cells(record, _checked_label(record, label))
    if record is None or counted is None or not counted.total or not is_whole(record):
        return _panel(look, "confusion", [])
    classes = 2 if record.answer == "labels" else record.classes
    drawn = matrix_classes(counted, classes)
    counts, share = confusion_matrix(counted, drawn)
    names = [text(name, CLASS_LETTERS) for name in _class_names(run, record, drawn, label)]
    left = left_margin(names, 120)
    more: dict[str, Any] = {}
    if len(drawn) <= MATRIX_NUMBERS:
        more = {"text": [_cell_texts(row) for row in counts.tolist()], "texttemplate": "%{text}"}
    trace = heat_map(
        look,
        share,
        0,
        1,
        xgap=1,
        ygap=1,
        customdata=[_cell_words(true, names, row) for true, row in zip(names, counts.tolist(), strict=True)],
        hovertemplate="%{customdata} (%{z:.0%})<extra></extra>",
        **more,
    )
    title = READING["confusion"][0] + (f" ({len(drawn)} of {classes:,} classes)" if len(drawn) < classes else "")
    if record.answer == "labels":
        title += f": {text(output_name(run, record, label or 0), CLASS_LETTERS)}"
    below = {"tickangle": -90 if max(map(len, names)) * len(names) > 60 else 0, "title": _axis_title(look, "predicted")}
    return _panel(
        look,
        "confusion",
        [trace],
        title=title,
        xaxis=axis(look, showgrid=False, tickvals=list(range(len(names))), ticktext=names, **below),
        yaxis=row_axis(look, names, title=_axis_title(look, "true")),
        margin={"l": left + 18, "r": 4, "t": 4, "b": 40 + (6 * max(map(len, names)) if below["tickangle"] else 0)},
        hovermode="closest",
        meta={"scale": {"map": "sequential", "low": "0 %", "high": "100 %"}, "epoch": record.update},
    )


def _axis_title(look: Look, title: str) -> dict[str, Any]:
    return {"text": title, "font": {"size": 11, "color": look["text-3"]}, "standoff": 6}


def _cell_texts(row: Sequence[int]) -> list[str]:
    return [f"{count:,}" if count else "" for count in row]


def _cell_words(true: str, names: Sequence[str], row: Sequence[int]) -> list[str]:
    return [f"{true} read as {name}: {count:,}" for name, count in zip(names, row, strict=True)]


def _checked_label(record: ProbePredictions | None, label: int | None) -> int:
    """Return the number of a label that a run has.

    Raises:
        InvalidInput: it has no such label.
    """
    count = record.classes if record is not None and record.answer == "labels" else 1
    if label is not None and not 0 <= label < count:
        raise unknown("label", label, map(str, range(count)))
    return label or 0


def _class_names(run: Recorded, record: ProbePredictions, classes: NDArray[Any], label: int | None) -> list[str]:
    """Return the names of classes; of one label of several "not smiling" and "smiling"."""
    if record.answer == "labels":
        name = output_name(run, record, label or 0)
        return [f"not {name}", name]
    return [output_name(run, record, int(k)) for k in classes]


def class_table(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw precision, recall and F1 of every class or label at an update, those with the lowest F1 first."""
    record = at_update(run, epoch)
    metrics = None if record is None else metrics_of(record)
    if record is None or metrics is None or not metrics.classes.size:
        return _panel(look, "class_metrics", [])
    order = np.argsort(np.nan_to_num(metrics.f1, nan=-1), kind="stable")[:MAX_TABLE_ROWS]
    rows = [f"{output_name(run, record, int(metrics.classes[k]))}  ({metrics.support[k]:,})" for k in order]
    values = np.stack([column[order] for column in metrics[1:4]], 1)
    title = READING["class_metrics"][0]
    if len(order) < len(metrics.classes):
        title += f" (lowest {len(order)} of {len(metrics.classes):,})"
    return _table(look, "class_metrics", rows, ("precision", "recall", "F1"), values, title)


def predicted_table(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw, of a probe without labels, the share of rows that are read as each class at an update, the largest first."""
    record = at_update(run, epoch)
    shares = None if record is None else predicted_classes(record)
    if record is None or shares is None:
        return _panel(look, "predicted_classes", [])
    order = np.argsort(-shares.counts, kind="stable")[:MAX_TABLE_ROWS]
    rows = [f"{output_name(run, record, int(shares.classes[k]))}  ({shares.counts[k]:,})" for k in order]
    values = np.stack([shares.counts / shares.counts.sum(), shares.certainty], 1)[order]
    title = READING["predicted_classes"][0]
    return _table(look, "predicted_classes", rows, ("share", "certainty"), values, title)


def metrics_of(record: ProbePredictions) -> ClassMetrics | None:
    """Return precision, recall and F1 of every class, or of every label; None where nothing is counted."""
    if record.answer == "labels":
        return label_metrics(record)
    counted = cells(record)
    return None if counted is None or not is_whole(record) else class_metrics(counted)


def _table(
    look: Look,
    name: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Float,
    title: str,
    texts: Sequence[Sequence[str]] = (),
) -> Figure:
    """Return a table of shares whose cells are coloured by their value; `texts` stand in them, by default the shares."""
    left = left_margin(rows)
    names = [text(row, label_length(left)) for row in rows]
    cells_text = texts or [_percents(row) for row in values.tolist()]
    trace = heat_map(
        look,
        values,
        0,
        1,
        xgap=1,
        ygap=1,
        text=[list(row) for row in cells_text],
        texttemplate="%{text}",
        customdata=[[text(row)] * len(columns) for row in rows],
        hovertemplate="%{customdata}, %{x}: %{text}<extra></extra>",
        x=list(columns),
    )
    return _panel(
        look,
        name,
        [trace],
        title=title,
        xaxis=axis(look, showgrid=False, side="top", type="category"),
        yaxis=row_axis(look, names),
        margin={"l": left, "r": 4, "t": 24, "b": 4},
        hovermode="closest",
    )


def _percents(row: Sequence[float]) -> list[str]:
    return [percent(value) for value in row]


def reliability(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw accuracy against certainty at an update, in 15 bins of equal width; a dot's area is the number of predictions."""
    record = at_update(run, epoch)
    bins = None if record is None else calibration(record)
    if record is None or bins is None:
        return _panel(look, "calibration", [])
    filled = np.flatnonzero(bins.counts)
    dots = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": bins.certainty[filled].tolist(),
        "y": bins.accuracy[filled].tolist(),
        "line": {"color": look.run_colour, "width": 1.5},
        "marker": {"size": (22 * np.sqrt(bins.counts[filled] / bins.counts.max())).tolist(), "color": look.run_colour},
        "text": [f"{n:,}" for n in bins.counts[filled].tolist()],
        "hovertemplate": "sure %{x:.1%}, right %{y:.1%}, of %{text}<extra></extra>",
    }
    panel = _panel(
        look,
        "calibration",
        [dots],
        title=f"Calibration (ECE {short(bins.error)})",
        xaxis=axis(
            look, range=SHARES, tickformat=".0%", nticks=5, showgrid=False, title=_axis_title(look, "certainty")
        ),
        yaxis=axis(look, range=SHARES, tickformat=".0%", nticks=5, title=_axis_title(look, "accuracy")),
        margin={"l": 58, "r": 10, "t": 12, "b": 40},
        hovermode="closest",
        meta={
            "epoch": record.update,
            "reading": f"{READING['calibration'][1]} {_ece_words(record, bins)}",
            "table": _numbers_of(
                {"certainty": bins.certainty, "accuracy": bins.accuracy, "predictions": bins.counts}, filled
            ),
        },
    )
    dashed = {"color": look["text-3"], "width": 1, "dash": "4px,3px"}
    panel["layout"]["shapes"].append({"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": dashed})
    return panel


def _ece_words(record: ProbePredictions, bins: Calibration) -> str:
    """Return of what the calibration error is, and how large chance alone makes it."""
    noun = record.unit or ("label" if record.answer == "labels" else "row")
    plural = {"box": "boxes"}.get(noun, f"{noun}s")
    chance = f"; by chance alone it would be {short(bins.floor)}" if np.isfinite(bins.floor) else ""
    return f"ECE of {bins.total:,} {plural} in {len(bins.counts)} bins{chance}."


def certainty(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw how many rows, or positions, get which probability of their true class at an update; those that are wrong in red."""
    record = at_update(run, epoch)
    counted = None if record is None else truth_histogram(record)
    if record is None or counted is None:
        return _panel(look, "truth_histogram", [])
    bins = len(counted.right)
    centres, edges = [(k + 0.5) / bins for k in range(bins)], np.linspace(0, 1, bins + 1)
    columns = (
        {"right": counted.right, "wrong": counted.wrong} if counted.wrong is not None else {"count": counted.right}
    )
    name = "right" if counted.wrong is not None else record.unit
    data = [_bars(name, centres, counted.right, look.run_colour, 1 / bins)]
    if counted.wrong is not None:
        data.append(_bars("wrong", centres, counted.wrong, look["alarm"], 1 / bins))
    return _panel(
        look,
        "truth_histogram",
        data,
        barmode="stack",
        xaxis=axis(
            look,
            range=[0, 1],
            tickformat=".0%",
            tickvals=[0, 0.25, 0.5, 0.75, 1],
            showgrid=False,
            title=_axis_title(look, "probability of the true class"),
        ),
        yaxis=axis(look, rangemode="tozero", nticks=5, title=_axis_title(look, record.unit or "rows")),
        margin={"l": 58, "r": 22, "t": 26, "b": 40},
        showlegend=counted.wrong is not None,
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"size": 11, "color": look["text-2"]},
        },
        hovermode="x",
        meta={"epoch": record.update, "table": _numbers_of({"from": edges[:-1], "to": edges[1:], **columns})},
    )


def _numbers_of(columns: dict[str, Any], rows: Any = slice(None)) -> dict[str, Any]:
    """Return what a panel draws as a table, for those who take its numbers out: some rows of columns of numbers."""
    values = [np.asarray(column)[rows].tolist() for column in columns.values()]
    return {"columns": list(columns), "rows": [list(row) for row in zip(*values, strict=True)]}


def _bars(name: str, centres: Sequence[float], values: Any, colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": list(centres),
        "y": [int(value) for value in values],
        "width": 0.9 * width,
        "marker": {"color": colour},
        "hovertemplate": "%{x:.3g}: %{y} " + name + "<extra></extra>",
    }


def predicted_against_true(
    run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, label: int | None = None
) -> Figure:
    """Draw predicted against true numbers at an update.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: by default the last.
        label: the number of the output; by default the one that is explained.
    """
    record, column = _numbers(run, epoch, label)
    if record is None or record.true is None or record.prediction is None:
        return _panel(look, "predicted_against_true", [])
    true, predicted = (np.asarray(array, np.float64)[:, column] for array in (record.true, record.prediction))
    finite = np.isfinite(true) & np.isfinite(predicted)
    if not finite.any():
        return _panel(look, "predicted_against_true", [])
    low = float(min(true[finite].min(), predicted[finite].min()))
    high = float(max(true[finite].max(), predicted[finite].max()))
    edge = 0.04 * (high - low) or 1.0
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": packed(true[finite]),
        "y": packed(predicted[finite]),
        "marker": {"size": 6, "color": look.run_colour, "opacity": 0.7},
        "customdata": packed((predicted - true)[finite]),
        "text": [f"row {row}" for row in record.row_numbers[finite].tolist()],
        "hovertemplate": "%{text}: predicted %{y:.4g}, true %{x:.4g}, residual %{customdata:.3g}<extra></extra>",
    }
    span = [low - edge, high + edge]
    columns = {"row": record.row_numbers, "true": true, "predicted": predicted}
    panel = _panel(
        look,
        "predicted_against_true",
        [points],
        title=f"{READING['predicted_against_true'][0]}{_of_output(run, record, column)} (R² {_r2(record, column)})",
        xaxis=axis(look, range=span, nticks=6, title=_axis_title(look, "true")),
        yaxis=axis(look, range=span, nticks=6, title=_axis_title(look, "predicted")),
        margin={"l": 64, "r": 10, "t": 12, "b": 40},
        hovermode="closest",
        meta={"epoch": record.update, "table": _numbers_of(columns, finite)},
    )
    dashed = {"color": look["text-3"], "width": 1, "dash": "4px,3px"}
    panel["layout"]["shapes"].append(
        {"type": "line", "x0": span[0], "y0": span[0], "x1": span[1], "y1": span[1], "line": dashed}
    )
    return panel


def _numbers(run: Recorded, epoch: int | None, label: int | None) -> tuple[ProbePredictions | None, int]:
    """Return the predictions of numbers, and the output that is drawn.

    Raises:
        InvalidInput: the run has no such output.
    """
    record = at_update(run, epoch)
    if record is None or record.answer != "value":
        return None, 0
    if label is not None and not 0 <= label < record.classes:
        raise unknown("output", label, map(str, range(record.classes)))
    return record, shown_output(run, record) if label is None else label


def _r2(record: ProbePredictions, column: int) -> str:
    measured = errors(record)
    return "–" if measured is None else short(float(measured.r2[column])).replace("-", "−")


def _of_output(run: Recorded, record: ProbePredictions, column: int) -> str:
    return f": {text(output_name(run, record, column), CLASS_LETTERS)}" if record.classes > 1 else ""


def residuals(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, label: int | None = None) -> Figure:
    """Draw how many rows have which residual, predicted less true, at an update; options as of `predicted_against_true`."""
    record, column = _numbers(run, epoch, label)
    if record is None or record.true is None or record.prediction is None:
        return _panel(look, "residuals", [])
    residual = (record.prediction - record.true)[:, column].astype(np.float64)
    residual = residual[np.isfinite(residual)]
    if not residual.size:
        return _panel(look, "residuals", [])
    reach = float(np.abs(residual).max()) or 1.0
    bins = max(5, min(MAX_RESIDUAL_BINS, 2 * round(len(residual) ** 0.5)) | 1)  # odd: one bin holds 0
    rows_in_bin, edges = np.histogram(residual, bins, (-reach, reach))
    centres = ((edges[:-1] + edges[1:]) / 2).tolist()
    panel = _panel(
        look,
        "residuals",
        [_bars("rows", centres, rows_in_bin, look.run_colour, float(edges[1] - edges[0]))],
        title=READING["residuals"][0] + _of_output(run, record, column),
        xaxis=axis(look, showgrid=False, nticks=6, title=_axis_title(look, "predicted − true")),
        yaxis=axis(look, rangemode="tozero", nticks=5, title=_axis_title(look, "rows")),
        margin={"l": 58, "r": 10, "t": 12, "b": 40},
        hovermode="x",
        meta={
            "epoch": record.update,
            "table": _numbers_of({"from": edges[:-1], "to": edges[1:], "rows": rows_in_bin}),
        },
    )
    dashed = {"color": look["text-3"], "width": 1, "dash": "4px,3px"}
    panel["layout"]["shapes"].append(
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": dashed}
    )
    return panel


def slice_table(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw accuracy, mean probability of the true class and loss of every value of the slices at an update."""
    record = at_update(run, epoch)
    rows = [] if record is None else slice_rows(record, slices_of(run, record))
    rows = [row for row in rows if np.isfinite([row.accuracy, row.loss]).any()][:MAX_TABLE_ROWS]
    if not rows:
        return _panel(look, "slice_metrics", [])
    values = np.asarray([[row.accuracy, row.confidence, np.nan] for row in rows], np.float64)
    texts = [[percent(row.accuracy), percent(row.confidence), short(row.loss)] for row in rows]
    names = [f"{row.slice} = {row.value}  ({row.rows:,})" for row in rows]
    title = READING["slice_metrics"][0]
    return _table(look, "slice_metrics", names, ("accuracy", "confidence", "loss"), values, title, texts)


PANELS: dict[str, Callable[..., Figure]] = {
    "confusion": confusion,
    "class_metrics": class_table,
    "predicted_classes": predicted_table,
    "calibration": reliability,
    "truth_histogram": certainty,
    "predicted_against_true": predicted_against_true,
    "residuals": residuals,
    "slice_metrics": slice_table,
}


def figure(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, label: int | None = None) -> Figure:
    """Draw every panel for which the run has predictions, each under its title and a sentence on how to read it.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: as the run stood at this epoch; by default at the last.
        label: of several labels or numbers a row the number of the one that is drawn; by default the explained one.
    """
    panels = []
    for draw in PANELS.values():
        panel = draw(run, look, **accepted(draw, {"epoch": epoch, "label": label}))
        if not panel["data"]:
            continue
        meta = panel["layout"]["meta"]
        note = f"<span style='font-size:12px;color:{look['text-2']}'>{wrapped(meta['reading'])}</span>"
        panels.append((f"{meta['title']}<br>{note}", panel))
    if not panels:
        words = sentence(run, epoch)
        return nothing(look, "predictions", why_none(run) if not words else words.rstrip("."))
    return grid(look, panels, title=text(sentence(run, epoch), 140), row_height=330)
