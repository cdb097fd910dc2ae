"""The numbers of a panel as a table, and the names of its axes: what the tab writes into a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.formatting import short
from keras_xai.figures.theme import Figure, Look, shortest

TITLE_WIDTH = 15  # pixels beside a value axis
TITLE_SIZE = 11
FEW_DECADES, MANY_DECADES = 2, 6  # of a logarithmic axis


def tabulated(
    panel: Figure, columns: Sequence[str], rows: Callable[[], Iterable[Sequence[Any]]], *, exact: bool
) -> Figure:
    """Add the numbers of a panel whose traces do not hold them as they were recorded, where they are asked for.

    Args:
        panel: to whose `layout.meta` they are added as `table`.
        columns: names of the columns.
        rows: makes the rows.
        exact: whether they are asked for; else `meta.coarse` says that they can be.
    """
    meta = panel["layout"].setdefault("meta", {})
    if not exact:
        meta["coarse"] = True
        return panel
    meta["table"] = {"columns": list(columns), "rows": [_cells(row) for row in rows()]}
    return panel


def _cells(row: Iterable[Any]) -> list[Any]:
    return [_cell(value) for value in row]


def _cell(value: Any) -> Any:
    """Return a number as Python's, in its shortest form."""
    if isinstance(value, np.floating):
        return shortest(float(value))
    return value.item() if isinstance(value, np.generic) else value


def named_axes(look: Look, panel: Figure, *, y: str, x: str = "", x_column: str = "") -> Figure:
    """Name the axes of a panel, in the chart and in its table.

    Args:
        look: of the figure.
        panel: with axes.
        y: title of the value axis, with its unit.
        x: title of the other axis; by default it has none, as an axis of updates, whose first label names their unit.
        x_column: name of its column, by default `x`.
    """
    layout = panel["layout"]
    font = {"size": TITLE_SIZE, "color": look["text-3"]}
    margin = layout["margin"] = {"l": 44, "r": 10, "t": 12, "b": 22} | layout.get("margin", {})
    layout["yaxis"]["title"] = {"text": y, "font": font, "standoff": 4}
    layout["margin"] = margin | {"l": margin["l"] + TITLE_WIDTH}
    if x:
        layout["xaxis"]["title"] = {"text": x, "font": font, "standoff": 4}
        layout["margin"]["b"] += TITLE_WIDTH
    layout.setdefault("meta", {})["columns"] = {"x": x_column or x, "y": y}
    return panel


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Return the labels of a logarithmic axis: 1, 2 and 5 of few decades, each power of ten of more, every other of many.

    Args:
        low: least value, above 0.
        high: largest value.

    Example:
        >>> log_ticks(0.3, 4.0)["ticktext"], log_ticks(0.002, 400.0)["ticktext"]
        (['0.5', '1', '2'], ['0.01', '0.1', '1', '10', '100'])
    """
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    digits = (1, 2, 5) if np.log10(high / low) <= FEW_DECADES else (1,)
    step = 1 if last - first <= MANY_DECADES else 2
    values = [digit * 10.0**exponent for exponent in range(first, last + 1, step) for digit in digits]
    inside = [value for value in values if low <= value <= high]
    return {"tickmode": "array", "tickvals": inside, "ticktext": [short(value) for value in inside]}
