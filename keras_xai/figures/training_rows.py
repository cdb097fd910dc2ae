"""Suspects of all training rows: the rows whose labels are to be looked at first, as `TrainingRows` gathered them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent, short
from keras_xai.analysis.outputs import class_name
from keras_xai.figures.grid import grid
from keras_xai.figures.share_table import share_table
from keras_xai.figures.tables import tabulated
from keras_xai.figures.theme import LIGHT, Figure, Look, chart, nothing, text
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.row_records import TrainingRows

MAX_ROWS, MAX_EXPORTED = 12, 1000
TITLE = "Suspects of all training rows"
READINGS = {
    "class": "Lowest label quality first: the label's probability over the first epochs, against the mean of its class at 50 %.",
    "labels": "Lowest label quality first: the mean probability of a row's labels over the first epochs.",
    "value": "The largest mean loss first.",
}


def row_suspects(run: Recorded, look: Look = LIGHT, *, exact: bool = False) -> Figure:
    """Draw the training rows whose labels are believed least, of numbers those with the largest loss, as a table.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        exact: with the first thousand rows as a table in `layout.meta`.
    """
    table = run.training_rows
    if table is None:
        return chart(look, [], meta={"title": TITLE, "reading": ""})
    meta = {"title": TITLE, "reading": f"{text(coverage(table), 400)} {READINGS[table.task]}"}
    suspects = table.suspects(MAX_ROWS)
    if not suspects.size:
        return chart(look, [], meta=meta | {"absent": "no training row has a finite figure"})
    columns, values, texts = _cells(run, table, suspects)
    panel = share_table(look, [f"row {row:,}" for row in suspects.tolist()], columns, values, meta, texts)
    exported = [
        "row",
        "label",
        "read as",
        "label quality",
        "early probability",
        "correctness",
        "visits",
        "mean loss",
        "last loss",
    ]
    return tabulated(panel, exported, lambda: _rows(run, table), exact=exact)


def coverage(table: TrainingRows) -> str:
    """Return in sentences which rows the table has, how long they were watched, and what it lacks."""
    visits = np.asarray(table.visits)
    epochs, visited = int(visits.max(initial=0)), int((visits > 0).sum())
    whole = "" if visited == len(visits) else f" of {len(visits):,}"
    sentences = [f"{visited:,}{whole} training rows, seen in up to {epochs} epoch{'' if epochs == 1 else 's'}."]
    if table.unmatched:
        words = (
            "of rows that are none of x with its label" if table.has_numbers else "of rows for which there was no room"
        )
        sentences.append(f"{table.unmatched:,} visits {words} are left out.")
    if not table.has_numbers:
        sentences.append("Rows are numbered as they first came; TrainingRows(log_dir, x, y) numbers them as x.")
    if table.missing:
        sentences.append(f"Incomplete: {table.missing}.")
    return " ".join(sentences)


def _cells(
    run: Recorded, table: TrainingRows, rows: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.float64], list[list[str]]]:
    """Return names of columns, shares (rows, columns) and texts of the cells."""
    visits = [f"{count:,}" for count in table.visits[rows].tolist()]
    nothing_to_colour = np.full(len(rows), np.nan)
    if table.task == "value":
        losses = [list(map(short, column[rows].tolist())) for column in (table.loss, table.last_loss)]
        labels = [short(value) for value in table.label[rows].tolist()]
        return (
            ["label", "mean loss", "last loss", "visits"],
            np.stack([nothing_to_colour] * 4, 1),
            _transposed(labels, *losses, visits),
        )
    shares = np.stack([table.label_quality, table.early_probability, table.correctness], 1)[rows].astype(np.float64)
    percents = [list(map(_share, column)) for column in shares.T.tolist()]
    if table.task == "labels":
        values = np.column_stack([shares[:, 1:], nothing_to_colour])
        return ["quality", "labels right", "visits"], values, _transposed(*percents[1:], visits)
    labels = [_class(run, value) for value in table.label[rows].tolist()]
    read_as = [_class(run, value) for value in table.read_as[rows].tolist()]
    values = np.column_stack([nothing_to_colour, nothing_to_colour, shares, nothing_to_colour])
    columns = ["label", "read as", "quality", "probability", "epochs right", "visits"]
    return columns, values, _transposed(labels, read_as, *percents, visits)


def _share(value: float) -> str:
    """Return a share in words; none at all is not two digits of nothing."""
    return "0\u00a0%" if value == 0 else percent(value)


def _transposed(*columns: Sequence[str]) -> list[list[str]]:
    return [list(row) for row in zip(*columns, strict=True)]


def _class(run: Recorded, value: float) -> str:
    """Return the name of a class; "–" where there is none."""
    return class_name(run, int(value)) if np.isfinite(value) and value >= 0 else "–"


def _rows(run: Recorded, table: TrainingRows) -> list[list[object]]:
    """Return a row of the exported table for each suspect."""
    quality, has_classes = table.label_quality, table.task == "class"
    rows: list[list[object]] = []
    for row in table.suspects(MAX_EXPORTED).tolist():
        label = _class(run, table.label[row]) if has_classes else table.label[row]
        shares = [quality[row], table.early_probability[row], table.correctness[row]]
        counts_and_losses = [table.visits[row], table.loss[row], table.last_loss[row]]
        rows.append([row, label, _class(run, table.read_as[row]), *shares, *counts_and_losses])
    return rows


PANELS: dict[str, Callable[..., Figure]] = {"row_suspects": row_suspects}


def figure(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the suspects of all training rows, as the table stood when it was written last.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
    """
    panel = row_suspects(run, look)
    if run.training_rows is None:
        return nothing(look, "training rows", why_absent(run, "TrainingRows"))
    if not panel["data"]:
        return nothing(look, "suspects", panel["layout"]["meta"]["absent"])
    rows = len(panel["data"][0]["text"])
    return grid(look, [("", panel)], columns=1, title=TITLE, row_height=60 + 24 * rows)
