"""A table as a heat map: names of rows, and cells of text, those that hold a share coloured by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent
from keras_xai.figures.heat_map import heat_map, label_length, left_margin, row_axis
from keras_xai.figures.theme import Figure, Look, axis, chart, text

CELL_LETTERS = 16  # of a text in a cell, at most


def share_table(
    look: Look,
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.floating[Any]],
    meta: dict[str, Any],
    texts: Sequence[Sequence[str]] = (),
) -> Figure:
    """Return a table of shares.

    Args:
        look: of the figure.
        rows: their names.
        columns: their names.
        values: (rows, columns) 0 to 1, by which a cell is coloured; NaN for a cell of text alone.
        meta: title and reading of the panel.
        texts: (rows, columns) what stands in the cells; by default the shares.
    """
    left = left_margin(rows)
    cells = list(map(_cells, texts or map(_percents, values.tolist())))
    # Of a heat map without a single number plotly draws no text either.
    is_text = not np.isfinite(values).any()
    further: dict[str, Any] = {"colorscale": [[0, look["page"]], [1, look["page"]]]} if is_text else {}
    trace = heat_map(
        look,
        np.zeros_like(values) if is_text else values,
        0,
        1,
        xgap=1,
        ygap=1,
        text=cells,
        texttemplate="%{text}",
        customdata=[[text(row)] * len(columns) for row in rows],
        hovertemplate="%{customdata}, %{x}: %{text}<extra></extra>",
        x=list(columns),
        **further,
    )
    return chart(
        look,
        [trace],
        meta=meta,
        xaxis=axis(look, showgrid=False, side="top", type="category"),
        yaxis=row_axis(look, [text(row, label_length(left)) for row in rows]),
        margin={"l": left, "r": 4, "t": 24, "b": 4},
        hovermode="closest",
    )


def _percents(row: Sequence[float]) -> list[str]:
    return [percent(value) for value in row]


def _cells(row: Sequence[str]) -> list[str]:
    return [text(cell, CELL_LETTERS) for cell in row]
