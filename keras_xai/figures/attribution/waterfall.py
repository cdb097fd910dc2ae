"""The waterfall of one sample of a table: from the baseline's score, feature by feature, to the sample's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.gallery import Gallery
from keras_xai.analysis.parts import Part
from keras_xai.analysis.table_rows import Row, rows_of, share_text
from keras_xai.figures.attribution.bars import ROW_HEIGHT, label_margin, row_axes, row_hover, signed_colours
from keras_xai.figures.attribution.title import figure_title
from keras_xai.figures.theme import Figure, Look, chart

ABOVE, BELOW = 60, 72  # pixels beside the rows
RESIDUAL_FROM = 1e-3  # of the whole difference, from which on what the values miss is a row of its own
UNEXPLAINED = "not accounted for"


def waterfall_figure(look: Look, gallery: Gallery, part: Part, sample: int, features: int) -> Figure:
    """Draw the contributions of one sample, largest first, each beginning where the one above it ends.

    The last rows are the sum of all other features and, where the values miss the difference of the scores by more than a
    thousandth of it, what they miss: so the bars always lead from the baseline's score to the sample's.

    Args:
        look: of the figure.
        gallery: with a baseline's score.
        part: its table.
        sample: row of the gallery.
        features: with a row of their own, at most.
    """
    at = gallery.at
    start, end = float(gallery.table.baseline_score[at, sample]), float(gallery.table.score[at, sample])
    rows = _with_residual(rows_of(part, sample, gallery.quantity, features), end - start)
    steps = [row.share if row.share is not None and math.isfinite(row.share) else 0.0 for row in rows]
    ends = start + np.cumsum(steps)
    begins = np.concatenate([[start], ends[:-1]])
    low, high = float(min(start, end, *ends)), float(max(start, end, *ends))
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    negative, positive = signed_colours(look)
    bars = {
        "type": "bar",
        "orientation": "h",
        "base": begins.tolist(),
        "x": steps,
        "y": list(range(len(rows))),
        "marker": {
            "color": [positive if step > 0 else negative for step in steps],
            "opacity": [0.55 if row.feature is None else 1 for row in rows],
        },
        "text": [share_text(math.nan if row.share is None else row.share, max(map(abs, steps))) for row in rows],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "hovertext": [
            f"{row_hover(row)}<br>{before:.4g} → {after:.4g}"
            for row, before, after in zip(rows, begins, ends, strict=True)
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    layout = row_axes(look, rows, (0.0, 1.0), label_margin(rows))
    pad = 0.16 * (high - low)
    layout["xaxis"] |= {
        "range": [low - pad, high + pad],
        "zeroline": low <= 0 <= high,
        "title": _axis_title(look, gallery, sample),
    }
    layout["margin"] |= {"t": ABOVE, "b": BELOW, "r": 24}
    layout["height"] = ABOVE + BELOW + (ROW_HEIGHT + 6) * max(2, len(rows))
    panel = chart(look, [bars], **layout)
    panel["layout"]["shapes"] += _connectors(look, ends[:-1].tolist())
    _mark(look, panel, start, f"baseline {start:.3g}", 1)
    _mark(look, panel, end, f"<b>score {end:.3g}</b>", 0)
    return figure_title(look, panel, gallery, [sample], gallery.title(sample))


def _with_residual(rows: list[Row], difference: float) -> list[Row]:
    """Add what the values miss of the difference of the scores, where that is not nothing."""
    total = sum(row.share for row in rows if row.share is not None and math.isfinite(row.share))
    missing = difference - total
    if abs(missing) <= RESIDUAL_FROM * max(abs(difference), 1e-6):
        return rows
    return [*rows, Row(UNEXPLAINED, None, missing, None)]


def _connectors(look: Look, ends: Sequence[float]) -> list[dict[str, Any]]:
    """Return a thin line from the end of each bar to the beginning of the next."""
    style = {"type": "line", "line": {"color": look["line-strong"], "width": 1}}
    return [{**style, "x0": end, "x1": end, "y0": row - 0.4, "y1": row + 1.4} for row, end in enumerate(ends)]


def _mark(look: Look, panel: Figure, score: float, words: str, y: int) -> None:
    """Mark a score with a dotted line and its name, above the rows (y = 1) or below them (0)."""
    line = {"type": "line", "x0": score, "x1": score, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    panel["layout"]["shapes"].append(line | {"line": {"color": look["text-3"], "width": 1, "dash": "2px,3px"}})
    where = {"x": score, "yref": "paper", "y": y, "yanchor": "bottom" if y else "top", "yshift": 2 if y else -20}
    panel["layout"]["annotations"].append(
        {**where, "text": words, "showarrow": False, "font": {"color": look["text"], "size": 12}}
    )


def _axis_title(look: Look, gallery: Gallery, sample: int) -> dict[str, Any]:
    """Return the title of the axis of scores: "score of malignant (logit)"."""
    space = {"raw": ""}.get(gallery.table.space, f" ({gallery.table.space})")
    return {
        "text": f"score of {gallery.target(sample)}{space}",
        "standoff": 30,
        "font": {"size": 11, "color": look["text-2"]},
    }
