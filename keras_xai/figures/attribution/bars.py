"""Tiles of tables: each feature with its value, and a bar whose length is proportional to its attribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.table_rows import Row, share_text
from keras_xai.figures.colour import ramp
from keras_xai.figures.theme import Figure, Look, axis, chart, text

POSITIVE_COLOUR, NEGATIVE_COLOUR = 209, 46  # indices into the 256 colours of the diverging map
ROW_HEIGHT = 20  # pixels
NAME_LETTERS, VALUE_LETTERS = 22, 10  # of a row's label, at most
LETTER_WIDTH = 6.3  # pixels
MAX_LEFT, MIN_LEFT = 240, 60  # pixels of the margin with the labels
NUMBER_SHARE = 0.24  # of the range of the bars, room for a number at their ends


def signed_colours(look: Look) -> tuple[str, str]:
    """Return the colours of negative and of positive values."""
    colours = ramp(look.theme, "diverging")
    return colours[NEGATIVE_COLOUR], colours[POSITIVE_COLOUR]


def row_label(look: Look, row: Row) -> str:
    """Return the name of a row and the value of its input, as plotly text."""
    value = f' <span style="color:{look["text-3"]}">= {text(row.value, VALUE_LETTERS)}</span>' if row.value else ""
    return text(row.name, NAME_LETTERS) + value


def row_hover(row: Row) -> str:
    """Return the whole name of a row, the value of its input and its attribution, as plotly text."""
    value = f"<br>= {text(row.value)}" if row.value else ""
    share = "no sum" if row.share is None else share_text(row.share)
    return f"{text(row.name)}{value}<br>{share}"


def label_margin(rows: Sequence[Row]) -> int:
    """Return the pixels that the labels of some rows take."""
    lengths = [
        min(len(row.name), NAME_LETTERS) + (3 + min(len(row.value), VALUE_LETTERS) if row.value else 0) for row in rows
    ]
    return int(min(MAX_LEFT, max(MIN_LEFT, 14 + LETTER_WIDTH * max(lengths, default=0))))


def row_axes(look: Look, rows: Sequence[Row], reach: tuple[float, float], left: int) -> dict[str, Any]:
    """Return axes and margins of a chart with a row for each feature, over a range of values with numbers at the bars' ends."""
    pad = NUMBER_SHARE * (reach[1] - reach[0])
    low = reach[0] - (pad if reach[0] < 0 else 0)
    return {
        "xaxis": axis(
            look,
            range=[low, reach[1] + (pad if reach[1] > 0 else 0)],
            zeroline=True,
            zerolinecolor=look["line-strong"],
            nticks=5,
        ),
        "yaxis": axis(
            look,
            range=[max(len(rows), 2) - 0.4, -0.6],
            tickvals=list(range(len(rows))),
            ticktext=[row_label(look, row) for row in rows],
            showgrid=False,
        ),
        "margin": {"l": left, "r": 10, "t": 12, "b": 22},
        "hovermode": "closest",
    }


def bars_tile(look: Look, rows: Sequence[Row], reach: tuple[float, float], left: int) -> Figure:
    """Draw the rows of one sample, with its number at the end of each bar.

    Args:
        look: of the figure.
        rows: from top to bottom.
        reach: lowest and highest value of the axis, which samples side by side share.
        left: pixels of the margin with the labels, see `label_margin`.
    """
    negative, positive = signed_colours(look)
    shares = [0.0 if row.share is None else row.share for row in rows]
    high = max(map(abs, reach))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [None if row.share is None or not np.isfinite(row.share) else row.share for row in rows],
        "y": list(range(len(rows))),
        "marker": {
            "color": [positive if share > 0 else negative for share in shares],
            "opacity": [0.55 if row.feature is None else 1 for row in rows],
        },
        "text": ["" if row.share is None else share_text(row.share, high) for row in rows],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "hovertext": [row_hover(row) for row in rows],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    panel = chart(look, [bars], **row_axes(look, rows, reach, left))
    panel["layout"]["annotations"] += [not_measured(look, k) for k, share in enumerate(shares) if np.isnan(share)]
    return panel


def not_measured(look: Look, row: int) -> dict[str, Any]:
    """Return the words in the place of a bar that is not there: plotly draws none."""
    words = {"text": "not measured", "showarrow": False, "font": {"color": look["text-3"]}}
    return {**words, "x": 0, "y": row, "xanchor": "left", "xshift": 4}
