"""Tiles of series: the line of each channel in a lane of its own, over steps shaded by their attribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import count
from keras_xai.figures.heat_map import heat_map, row_axis
from keras_xai.figures.theme import Figure, Look, axis, chart, packed, text
from keras_xai.records import Float
from keras_xai.spatial import box_means

LANES = 6  # channels with a lane of their own in a gallery
LANE_HEIGHT = 44  # pixels
MAX_STEPS = 600  # of a lane's shades; longer series are means of neighbouring steps
MAX_POINTS = 1200  # of a lane's line; a longer one is drawn by its smallest and largest values
NAME_LETTERS = 18
LINE_REACH = 0.36  # of the lane, to both sides of its middle


def lanes_tile(
    look: Look,
    values: Float,
    inputs: NDArray[Any] | None,
    names: Sequence[str],
    high: float,
    *,
    steps: int = 0,
    lanes: int = LANES,
) -> Figure:
    """Draw the attributions of a series, one lane a channel.

    Args:
        look: of the figure.
        values: (T, C), or (t) of a layer's own steps: then all lanes have the same shades.
        inputs: (T, C) the series; None where it is not at hand.
        names: (C) of the channels.
        high: the magnitude of the strongest shade.
        steps: T of the series; by default that of the values.
        lanes: channels that are drawn, at most: those with the largest attribution, or of a layer's steps the first.
    """
    steps = steps or len(values)
    of_layer = values.ndim == 1
    channels = values.shape[-1] if not of_layer else 1
    if of_layer and inputs is not None:
        channels = len(names)
    drawn_channels = _strongest(values, channels, lanes)
    z = values[:, None].repeat(len(drawn_channels), 1) if of_layer else values[:, drawn_channels]
    drawn = None if inputs is None else np.asarray(inputs, np.float64)[:, drawn_channels]
    labels = ["layer"] if of_layer and inputs is None else [names[c] for c in drawn_channels]
    data = [_shades(look, z, drawn, labels, high, steps)]
    if drawn is not None:
        data.append(_line(look, drawn))
    panel = chart(
        look,
        data,
        xaxis=axis(look, showgrid=False, range=[-0.5, steps - 0.5], nticks=6),
        yaxis=row_axis(look, [text(label, NAME_LETTERS) for label in labels]),
        margin={"l": 116, "r": 10, "t": 12, "b": 22},
        hovermode="closest",
        meta={"lanes": len(drawn_channels)},
    )
    if channels > len(drawn_channels):
        more = f"and {count(channels - len(drawn_channels), 'more channel')}"
        where = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "paper", "y": 1, "yanchor": "bottom"}
        font = {"color": look["text-3"], "size": 10}
        panel["layout"]["annotations"].append({**where, "text": more, "font": font, "showarrow": False})
    return panel


def _strongest(values: Float, channels: int, lanes: int) -> list[int]:
    """Return the channels that are drawn, in their order."""
    if channels <= lanes or values.ndim == 1:
        return list(range(min(channels, lanes)))
    magnitude = np.abs(np.nan_to_num(values)).sum(0)
    return sorted(np.argsort(-magnitude, kind="stable")[:lanes].tolist())


def _shades(
    look: Look, z: Float, drawn: NDArray[Any] | None, labels: Sequence[str], high: float, steps: int
) -> dict[str, Any]:
    """Return the shades (t, lanes) as a heat map over the steps of the series, with the series' values to hover."""
    box = -(-len(z) // MAX_STEPS)
    small = _means(z, box)
    width = steps / len(z) * box
    centres = (np.arange(len(small)) + 0.5) * width - 0.5
    hover = "step %{x:.0f}: %{z:.3g}"
    trace = heat_map(look, small.T, -high, high, colours="diverging", ygap=5)
    if drawn is not None and len(drawn) == len(z):
        trace["customdata"] = packed(_means(drawn, box).T)
        hover = "step %{x:.0f} = %{customdata:.4g}: %{z:.3g}"
    if box > 1:
        hover = f"{hover} (mean of {box} steps)"
    trace["hovertemplate"] = f"%{{y}}, {hover}<extra></extra>" if len(labels) > 1 else f"{hover}<extra></extra>"
    return trace | {"x": centres.tolist()}


def _means(values: NDArray[Any], box: int) -> NDArray[Any]:
    return values if box == 1 else np.asarray(box_means(values.T, (box,)).T)


def _line(look: Look, drawn: NDArray[Any]) -> dict[str, Any]:
    """Return the lines of all lanes as one trace: each between the smallest and the largest value of its channel."""
    positions: list[NDArray[Any]] = []
    heights: list[NDArray[Any]] = []
    for lane, values in enumerate(drawn.T):
        at, points = _thinned(values)
        low, high = float(np.nanmin(points)), float(np.nanmax(points))
        share = (points - low) / (high - low) if high > low else np.full(len(points), 0.5)
        positions += [at, np.array([np.nan])]
        heights += [lane + LINE_REACH - 2 * LINE_REACH * share, np.array([np.nan])]
    style = {"color": look["text"], "width": 1.25}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": packed(np.concatenate(positions)),
        "y": packed(np.concatenate(heights)),
        "line": style,
        "hoverinfo": "skip",
    }


def _thinned(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return positions and values of a line; of more points than are seen the smallest and largest of each stretch."""
    if len(values) <= MAX_POINTS:
        return np.arange(len(values), dtype=np.float64), values
    edges = np.linspace(0, len(values), MAX_POINTS // 2 + 1).astype(int)
    extremes: list[int] = []
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        stretch = values[begin:end]
        extremes += sorted({begin + int(stretch.argmin()), begin + int(stretch.argmax())})
    return np.asarray(extremes, np.float64), values[extremes]
