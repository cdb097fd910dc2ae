"""The beeswarm of a table: each sample a point in the row of each feature, coloured by the feature's value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.gallery import Gallery
from keras_xai.analysis.parts import Part
from keras_xai.analysis.table_rows import input_text, share_text
from keras_xai.figures.attribution.title import figure_title
from keras_xai.figures.colour import RUNS, oklab, srgb
from keras_xai.figures.theme import Figure, Look, axis, chart, numbers, text
from keras_xai.records import Float

ROW_HEIGHT = 34  # pixels
ABOVE, BELOW = 48, 52
BINS = 120  # of the range of values; the points of a bin stand above each other
ROW_REACH = 0.4  # of a row, to both sides of its middle
NAME_LETTERS = 26
KEY_LETTERS = 12
EXTREMES = (5, 95)  # percentiles of a feature's values that have the first and the last colour
COLOURS_OF_VALUES = 16
CATEGORIES = 6  # with a colour of their own


def beeswarm_figure(
    look: Look, gallery: Gallery, part: Part, samples: Sequence[int], features: int, highlight: int | None = None
) -> Figure:
    """Draw the attributions of some samples, the feature with the largest mean magnitude first.

    Colours go from the 5th to the 95th percentile of a feature's values; categories have a colour each, named at the right.

    Args:
        look: of the figure.
        gallery: the attributions.
        part: its table.
        samples: rows of the gallery.
        features: with a row of their own, at most.
        highlight: a row of the gallery that is marked in each row, one of `samples`.
    """
    rows = list(samples)
    values = np.asarray(part.values, np.float64)[rows]  # (B, F)
    is_measured = np.asarray(np.isfinite(values).any(0))
    means = np.where(is_measured, np.abs(np.nan_to_num(values)).mean(0), -1.0)
    order = np.argsort(-means, kind="stable")[:features].tolist()
    finite = values[:, order][np.isfinite(values[:, order])]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    low, high = (low, high) if high > low else (-1.0, 1.0)
    data: list[dict[str, Any]] = []
    keys = []
    for row, f in enumerate(order):
        inputs = None if part.inputs is None else part.inputs[rows, f]
        colours, key = _colours(look, inputs, len(rows))
        keys.append(key)
        offsets = swarm_offsets(values[:, f], low, high)
        data.append(_points(look, part.names[f], values[:, f], row + offsets, inputs, colours, rows))
        if highlight is not None:
            k = rows.index(highlight)
            data.append(_marked(look, part.names[f], values[k, f], row + offsets[k], colours[k], highlight))
    pad = 0.04 * (high - low)
    widest = max((len(key) for key in keys), default=0)
    panel = chart(
        look,
        data,
        xaxis=axis(
            look,
            range=[low - pad, high + pad],
            zeroline=True,
            zerolinecolor=look["line-strong"],
            title=_axis_title(look, gallery, rows),
        ),
        yaxis=axis(
            look,
            range=[len(order) - 0.5, -0.5],
            tickvals=list(range(len(order))),
            ticktext=[text(part.names[f], NAME_LETTERS) for f in order],
            showgrid=False,
        ),
        margin={"l": _left([part.names[f] for f in order]), "r": 24 + (96 if widest else 0), "t": ABOVE, "b": BELOW},
        height=ABOVE + BELOW + ROW_HEIGHT * max(2, len(order)),
        hovermode="closest",
    )
    for row, (key, f) in enumerate(zip(keys, order, strict=True)):
        panel["layout"]["annotations"] += _notes(look, row, key, measured=bool(is_measured[f]))
    return figure_title(look, panel, gallery, [], more=_key(look, part, len(order), len(rows), highlight))


def swarm_offsets(values: Float, low: float, high: float) -> Float:
    """Return how far each point of a row is moved up or down, so that points of nearly the same value lie beside each other.

    Example:
        >>> swarm_offsets(np.array([0.5, 0.5, 0.5, 0.9]), 0.0, 1.0).round(2).tolist()
        [0.0, 0.4, -0.4, 0.0]
    """
    offsets = np.zeros(len(values))
    bins = np.floor((np.nan_to_num(values) - low) / (high - low) * BINS).astype(int)
    counts = np.bincount(bins - bins.min(), minlength=1)
    most = max(int(counts.max()), 1)
    step = min(ROW_REACH, 2 * ROW_REACH / max(most - 1, 1))
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        places = np.arange(len(members))
        offsets[members] = step * ((places + 1) // 2) * np.where(places % 2, 1.0, -1.0) + 0.0  # no −0
    return offsets


def _colours(look: Look, inputs: NDArray[Any] | None, size: int) -> tuple[list[str], list[str]]:
    """Return the colour of each point by the feature's value, and the words that name the colours of categories."""
    if inputs is None:
        return [look["text-3"]] * size, []
    if inputs.dtype.kind in "OUS" and any(isinstance(value, (str, bytes)) for value in inputs.tolist()):
        words = [input_text(value) for value in inputs.tolist()]
        by_count = sorted(set(words), key=lambda word: (-words.count(word), word))
        palette = dict(zip(by_count[:CATEGORIES], RUNS[look.theme], strict=False))
        key = [f'<span style="color:{colour}">●</span> {text(word, KEY_LETTERS)}' for word, colour in palette.items()]
        return [palette.get(word, look["text-3"]) for word in words], key
    numeric = np.asarray(inputs, np.float64)
    low, high = np.percentile(numeric, EXTREMES)
    if not high > low:
        low, high = float(numeric.min()), float(numeric.max())
    share = np.clip((numeric - low) / (high - low), 0, 1) if high > low else np.full(size, 0.5)
    colours = value_colours(look)
    return [colours[round(float(part) * (COLOURS_OF_VALUES - 1))] for part in share], []


def value_colours(look: Look) -> list[str]:
    """Return the colours of a feature's values, from low to high: other ones than those of against and for."""
    ends = oklab(RUNS[look.theme][:2])
    return srgb(np.linspace(ends[0], ends[1], COLOURS_OF_VALUES))


def _points(
    look: Look, name: str, values: Float, heights: Float, inputs: Any, colours: list[str], rows: list[int]
) -> dict[str, Any]:
    words = [""] * len(rows) if inputs is None else [f" = {text(input_text(value))}" for value in inputs.tolist()]
    hover = [
        f"{text(name)}{value}<br>{share_text(share)}<br>sample {row}"
        for value, share, row in zip(words, values.tolist(), rows, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(name),
        "x": numbers(values),
        "y": np.round(heights, 4).tolist(),
        "marker": {"color": colours, "size": 6, "opacity": 0.8, "line": {"width": 0}},
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _marked(look: Look, name: str, value: float, height: float, colour: str, sample: int) -> dict[str, Any]:
    """Return one sample's point, larger and outlined."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"sample {sample}",
        "x": numbers([value]),
        "y": [float(height)],
        "marker": {"color": colour, "size": 12, "line": {"width": 2, "color": look["text"]}},
        "hovertext": [f"{text(name)}<br>{share_text(value)}<br>sample {sample}"],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "meta": {"highlight": sample},
    }


def _notes(look: Look, row: int, key: list[str], *, measured: bool) -> list[dict[str, Any]]:
    """Return the names of a feature's categories at the right of its row, or that it was not measured."""
    font = {"color": look["text-2"], "size": 10}
    notes = []
    if key:
        lines = (
            "<br>".join(key[:3])
            if len(key) <= 3
            else "<br>".join("  ".join(key[k : k + 2]) for k in range(0, len(key), 2))
        )
        where = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": row, "align": "left"}
        notes.append({**where, "text": lines, "showarrow": False, "font": font})
    if not measured:
        where = {"x": 0, "xanchor": "left", "xshift": 6, "y": row}
        notes.append({**where, "text": "not measured", "showarrow": False, "font": font})
    return notes


def _key(look: Look, part: Part, drawn: int, size: int, highlight: int | None) -> str:
    """Return the meaning of the points' colours, and how many samples and features there are."""
    colours = value_colours(look)[:: COLOURS_OF_VALUES // 5]
    squares = "".join(f'<span style="color:{colour}">●</span>' for colour in colours)
    words = [f"value of the feature: low {squares} high" if part.inputs is not None else ""]
    words.append(f"{size:,} samples")
    if len(part.names) > drawn:
        words.append(f"{drawn} of {len(part.names):,} features")
    if highlight is not None:
        words.append(f"◯ sample {highlight}")
    line = "\u2003".join(filter(None, words))
    return f'<span style="font-size:13px;color:{look["text-2"]}">{line}</span>'


def _axis_title(look: Look, gallery: Gallery, rows: Sequence[int]) -> dict[str, Any]:
    """Return what a value says: "contribution, against malignant ← → for malignant"."""
    low, high = gallery.sides(rows)
    return {"text": text(f"{low} ← → {high}", 120), "font": {"size": 11, "color": look["text-2"]}, "standoff": 12}


def _left(names: Sequence[str]) -> int:
    letters = max((min(len(name), NAME_LETTERS) for name in names), default=0)
    return int(min(220, max(70, 20 + math.ceil(6.3 * letters))))
