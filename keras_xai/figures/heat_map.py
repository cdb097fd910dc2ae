"""Parts that heat maps share: the cells, an axis of labelled rows, an axis of epochs, and hatching for missing cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_xai.errors import InvalidInput
from keras_xai.figures.colour import Map, colourscale
from keras_xai.figures.theme import Look, axis, packed, text, update_axis
from keras_xai.recorded import Recorded

LETTER_WIDTH = 6.2  # pixels of a letter of a label
LABEL_PADDING = 20  # pixels beside a label
MAX_COLUMNS = 1200  # more are narrower than a pixel
MAX_COLUMNS_WITH_GAPS = 120  # with more columns the gaps would be as wide as the cells


def left_margin(labels: Sequence[str], most: int = 200, letter: float = LETTER_WIDTH) -> int:
    """Return the width in pixels that the labels of the rows need, at most `most`."""
    return int(min(most, LABEL_PADDING + letter * max(map(len, labels), default=1)))


def label_length(left: int) -> int:
    """Return the number of letters that fit into a margin of `left` pixels."""
    return (left - 12) // 6


def chosen_rows(rows: int, only: Sequence[int] | None) -> list[int]:
    """Return the numbers of the rows to draw, all of them where `only` is None.

    Raises:
        InvalidInput: there is no such row.
    """
    if only is None:
        return list(range(rows))
    for row in only:
        if not 0 <= row < rows:
            raise InvalidInput(f"only={list(only)!r}: there is no row {row}; they are numbered from 0 to {rows - 1}.")
    return list(dict.fromkeys(only))


def heat_map(
    look: Look, values: ArrayLike, low: float, high: float, *, colours: Map = "sequential", **more: Any
) -> Any:
    """Return the trace of a heat map.

    Args:
        look: of the figure.
        values: (rows, columns).
        low: lower end of the colour scale.
        high: its upper end.
        colours: the colour map.
        **more: settings of plotly's trace.
    """
    return {
        "type": "heatmap",
        "z": packed(values),
        "zmin": low,
        "zmax": high,
        "colorscale": colourscale(look.theme, colours),
        "showscale": False,
        **more,
    }


def drawn_columns(updates: Sequence[int], always: Sequence[int] = ()) -> NDArray[np.int64]:
    """Return the indices of the columns that are drawn: all; of more than `MAX_COLUMNS` every n-th, the first and the last.

    Args:
        updates: of the columns, sorted.
        always: updates whose columns are drawn as well.
    """
    count = len(updates)
    if count <= MAX_COLUMNS:
        return np.arange(count)
    spaced = np.linspace(0, count - 1, MAX_COLUMNS).round().astype(np.int64)
    return np.union1d(spaced, np.flatnonzero(np.isin(updates, list(always))))


def column_gap(columns: Sequence[Any]) -> int:
    """Return the pixels between two columns."""
    return 1 if len(columns) <= MAX_COLUMNS_WITH_GAPS else 0


def row_axis(look: Look, labels: Sequence[str], ticks: Sequence[Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the axis of rows from top to bottom.

    Args:
        look: of the figure.
        labels: plotly text.
        ticks: positions of the labels; default one a row.
        **more: settings of plotly's axis.
    """
    rows = len(labels) if ticks is None else len(ticks)
    return axis(
        look,
        **{
            "range": [rows - 0.5, -0.5],
            "showgrid": False,
            "tickvals": list(range(rows)) if ticks is None else list(ticks),
            "ticktext": list(labels),
            **more,
        },
    )


def cell_axis(look: Look, run: Recorded, updates: list[int]) -> dict[str, Any]:
    """Return the axis of updates of a heat map: a cell reaches half way to its neighbours."""
    out = update_axis(look, run, updates)
    if not updates:
        return {**out, "range": [0, 1]}
    if run.unit == "step":
        edges = cell_edges(updates)
        return {**out, "range": [float(edges[0]), float(edges[-1])]}
    width = min(np.diff(updates), default=1)
    return {**out, "range": [updates[0] - width / 2, updates[-1] + width / 2]}


def cell_edges(updates: Sequence[int]) -> NDArray[np.float64]:
    """Return the edges (E + 1) of the cells of updates (E): half way between neighbours, and as far beyond the first and last.

    Example:
        >>> cell_edges([10, 20, 25]).tolist(), cell_edges([3]).tolist()
        ([5.0, 15.0, 22.5, 27.5], [2.5, 3.5])
    """
    at = np.asarray(updates, np.float64)
    half = np.diff(at) / 2 if len(at) > 1 else np.full(1, 0.5)
    inner = at[:-1] + half[: len(at) - 1]
    return np.concatenate([at[:1] - half[:1], inner, at[-1:] + half[-1:]])


def row_names(names: Sequence[str], columns: int) -> list[list[str]]:
    """Return the name of its row for every cell (rows, columns), for the hover text."""
    return [[text(name)] * columns for name in names]


def hatched(
    look: Look, updates: Sequence[int], is_measured: NDArray[np.bool_], rows: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Return a trace of hatched bars, one for every unbroken stretch of cells without a value; [] where there is none.

    Args:
        look: of the figure.
        updates: of the columns.
        is_measured: (rows, E) True for cells with a value.
        rows: the positions of the rows on their axis; default their numbers.
    """
    borders = cell_edges(updates) if len(updates) else np.zeros(1)
    starts, lengths, positions = [], [], []
    for row, measured in enumerate(is_measured):
        edges = np.flatnonzero(np.diff(np.concatenate([[1], measured.astype(int), [1]])))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            starts.append(float(borders[begin]))
            lengths.append(float(borders[end] - borders[begin]))
            positions.append(rows[row] if rows else row)
    if not positions:
        return []
    pattern = {"shape": "/", "fgcolor": look["line-strong"], "bgcolor": look["page"], "fillmode": "overlay"}
    marker = {
        "color": look["page"],
        "line": {"width": 0},
        "pattern": {**pattern, "size": 6, "solidity": 0.25},
    }
    bar = {"type": "bar", "orientation": "h", "width": 0.94, "hoverinfo": "skip", "marker": marker}
    return [{**bar, "base": starts, "x": lengths, "y": positions}]
