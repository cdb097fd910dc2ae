"""Importance over many samples: the mean magnitude of each feature's attributions, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.formatting import percent
from keras_xai.analysis.table_rows import Row
from keras_xai.figures.attribution.bars import ROW_HEIGHT, label_margin, not_measured, row_axes
from keras_xai.figures.colour import ramp
from keras_xai.figures.theme import Figure, Look, chart, text
from keras_xai.records import Float

ABOVE, BELOW = 64, 52
BAR_COLOUR = 170  # index into the 256 colours of the sequential map


def importance_figure(look: Look, names: Sequence[str], values: Float, features: int, title: str, unit: str) -> Figure:
    """Draw the importance of features (F), the largest first; all others are one row, and unmeasured ones are named.

    Args:
        look: of the figure.
        names: (F).
        values: (F), NaN for a feature that was not measured.
        features: with a row of their own, at most.
        title: of the figure, plotly text.
        unit: that the values are in, below the axis.
    """
    values = np.asarray(values, np.float64)
    measured = np.flatnonzero(np.isfinite(values))
    order = measured[np.argsort(-np.abs(values[measured]), kind="stable")]
    drawn, others = order[:features], order[features:]
    total = float(np.abs(values[measured]).sum())
    rows = [Row(str(names[f]), None, float(values[f]), f) for f in drawn.tolist()]
    if others.size:
        rows.append(
            Row(f"{len(others)} other{'s' if len(others) > 1 else ''}", None, float(values[others].sum()), None)
        )
    unmeasured = np.flatnonzero(~np.isfinite(values))[:features].tolist()
    rows += [Row(str(names[f]), None, float("nan"), f) for f in unmeasured]
    shares = np.asarray([row.share for row in rows], np.float64)
    low, high = min(0.0, float(np.nanmin(shares, initial=0))), max(0.0, float(np.nanmax(shares, initial=0)))
    layout = row_axes(look, rows, (low, high if high > low else 1.0), label_margin(rows))
    layout["xaxis"] |= {
        "title": {"text": text(unit, 120), "font": {"size": 11, "color": look["text-2"]}, "standoff": 12}
    }
    layout["margin"] |= {"t": ABOVE, "b": BELOW, "r": 24}
    layout["height"] = ABOVE + BELOW + (ROW_HEIGHT + 4) * max(2, len(rows))
    panel = chart(look, [_bars(look, rows, total)], **layout)
    panel["layout"]["annotations"] += [not_measured(look, k) for k in np.flatnonzero(np.isnan(shares)).tolist()]
    position = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 16, "l": 16}}
    panel["layout"]["title"] = {"text": title, "font": {"size": 18, "color": look["text"]}, **position}
    panel["layout"]["paper_bgcolor"] = panel["layout"]["plot_bgcolor"] = look["page"]
    return panel


def _bars(look: Look, rows: Sequence[Row], total: float) -> dict[str, Any]:
    shares = [float("nan") if row.share is None else row.share for row in rows]
    parts = [percent(abs(share) / total) if total and np.isfinite(share) else "" for share in shares]
    labels = [
        f"{share:.3g}\u2002{part}".replace("-", "−") if np.isfinite(share) else ""
        for share, part in zip(shares, parts, strict=True)
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "x": [share if np.isfinite(share) else None for share in shares],
        "y": list(range(len(rows))),
        "marker": {
            "color": ramp(look.theme, "sequential")[BAR_COLOUR],
            "opacity": [0.55 if row.feature is None else 1 for row in rows],
        },
        "text": labels,
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "hovertext": [f"{text(row.name)}<br>{label}" for row, label in zip(rows, labels, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
