"""The numbers of a panel as a table, and the names of its axes: what the tab writes into a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_xai.figures.theme import Figure, Look

TITLE_WIDTH = 15  # pixels beside a value axis
TITLE_SIZE = 11


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
    meta["table"] = {"columns": list(columns), "rows": [[_cell(value) for value in row] for row in rows()]}
    return panel


def _cell(value: Any) -> Any:
    """Return a number as Python's; of 32 bits the shortest decimal one that is read back as the same."""
    if isinstance(value, np.floating):
        return float(str(value))
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
