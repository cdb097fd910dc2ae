"""The strongest proponents and opponents among training rows, as bars; images of the rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.table_rows import Row
from keras_xai.figures.attribution.bars import ROW_HEIGHT, label_margin, row_axes, signed_colours
from keras_xai.figures.attribution.picture import data_uri, painted
from keras_xai.figures.theme import Figure, Look, chart, text

ABOVE, BELOW = 72, 52
PICTURE_HEIGHT = 44  # pixels of a row with a picture
PICTURE_PIXELS = 96  # of a picture's longer side, at most


class InfluenceBar(NamedTuple):
    """One training row of the figure."""

    name: str  # "row 512: class 3"
    score: float
    picture: NDArray[np.uint8] | None  # (H, W, C)


def influence_figure(look: Look, bars: Sequence[InfluenceBar], title: str, subtitle: str) -> Figure:
    """Draw training rows, one below the other: proponents to the right, opponents to the left.

    Args:
        look: of the figure.
        bars: from top to bottom; may be empty.
        title: of the figure, plotly text.
        subtitle: below it, plotly text.
    """
    has_pictures = any(bar.picture is not None for bar in bars)
    rows = [Row(bar.name, None, bar.score, k) for k, bar in enumerate(bars)]
    scores = [bar.score for bar in bars]
    low, high = min([0.0, *scores]), max([0.0, *scores])
    height = PICTURE_HEIGHT if has_pictures else ROW_HEIGHT + 4
    left = label_margin(rows) + (PICTURE_HEIGHT + 8 if has_pictures else 0)
    layout = row_axes(look, rows, (low, high if high > low else 1.0), left)
    layout["xaxis"] |= {
        "title": {
            "text": "influence: what a step on the row takes from the loss, by the length of the step",
            "font": {"size": 11, "color": look["text-2"]},
            "standoff": 12,
        }
    }
    if has_pictures:
        layout["yaxis"]["ticklabelstandoff"] = PICTURE_HEIGHT + 8
        layout["images"] = [_image(look, bar.picture, k) for k, bar in enumerate(bars) if bar.picture is not None]
    layout["margin"] |= {"t": ABOVE, "b": BELOW, "r": 24}
    layout["height"] = ABOVE + BELOW + height * max(2, len(rows))
    panel = chart(look, [_bars(look, bars)], **layout)
    position = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 16, "l": 16}}
    lines = f'{title}<br><span style="font-size:12px;color:{look["text-2"]}">{subtitle}</span>'
    panel["layout"]["title"] = {"text": lines, "font": {"size": 18, "color": look["text"]}, **position}
    panel["layout"]["paper_bgcolor"] = panel["layout"]["plot_bgcolor"] = look["page"]
    return panel


def _bars(look: Look, bars: Sequence[InfluenceBar]) -> dict[str, Any]:
    negative, positive = signed_colours(look)
    labels = [f"{bar.score:.3g}".replace("-", "−") for bar in bars]
    return {
        "type": "bar",
        "orientation": "h",
        "x": [bar.score for bar in bars],
        "y": list(range(len(bars))),
        "width": 0.6,
        "marker": {"color": [positive if bar.score > 0 else negative for bar in bars]},
        "text": labels,
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "hovertext": [f"{text(bar.name)}<br>{label}" for bar, label in zip(bars, labels, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _image(look: Look, picture: NDArray[np.uint8], row: int) -> dict[str, Any]:
    """Return a picture to the left of the bars, as high as its row."""
    return {
        "source": data_uri(painted(look, picture, faint=False, pixels=PICTURE_PIXELS)),
        "xref": "paper",
        "yref": "y",
        "x": -0.008,
        "y": row,
        "xanchor": "right",
        "yanchor": "middle",
        "sizex": 0.2,
        "sizey": 0.9,
        "sizing": "contain",
    }
