"""Maps of volumes: one heat map a slice, and a slider over the slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.analysis.attributions import pooled_map, slice_magnitudes
from keras_xai.errors import unknown
from keras_xai.figures.colour import Map
from keras_xai.figures.heat_map import heat_map
from keras_xai.figures.theme import Figure, Look, chart
from keras_xai.records import Float
from keras_xai.spatial import box_means

MAX_SLICES = 32  # of a figure; deeper maps are means of neighbouring slices
MAX_NUMBERS = 200_000  # of a figure: the report holds every slice of every sample
SLIDER_HEIGHT = 84  # pixels
MIN_PIXELS, MAX_PIXELS = 16, 64  # longer side of a slice


def volume_map(look: Look, values: Float, *, samples: int = 1, depth: int | None = None) -> Figure:
    """Draw a map (d, h, w): its slices on top of each other, of which one is visible, on one colour scale.

    Args:
        look: of the figure.
        values: of one sample.
        samples: in the whole figure, which shares out its numbers.
        depth: the slice that is visible; by default the one with the largest magnitude.
    """
    finite = values[np.isfinite(values)]
    high = float(np.quantile(np.abs(finite), 0.995)) if finite.size else 0.0
    high = high or float(np.abs(finite).max(initial=0.0)) or 1.0
    signed = bool((finite < 0).any())
    colours: Map = "diverging" if signed else "ember"
    spans, slices = reduced_slices(values, samples)
    visible = visible_span(spans, depth if depth is not None else int(slice_magnitudes(values[None])[0].argmax()))
    traces = []
    for k, (span, plane) in enumerate(zip(spans, slices, strict=True)):
        hover = f"slice {span_words(span)}, row %{{y}}, column %{{x}}: %{{z:.3g}}<extra></extra>"
        trace = heat_map(look, plane, -high if signed else 0, high, colours=colours, hovertemplate=hover)
        traces.append(trace | {"visible": k == visible, "meta": {"slice": span_words(span)}})
    square = {"visible": False, "constrain": "domain", "fixedrange": True}
    return chart(look, traces, xaxis=square, yaxis={**square, "autorange": "reversed", "scaleanchor": "x"})


def reduced_slices(values: Float, samples: int) -> tuple[list[range], list[Float]]:
    """Return the slices of a map (d, h, w) as a figure holds them, and which of the map's slices each is the mean of."""
    depth = len(values)
    step = -(-depth // MAX_SLICES)
    spans = [range(begin, min(begin + step, depth)) for begin in range(0, depth, step)]
    slices = box_means(values[None], (step, 1, 1))[0] if step > 1 else values
    fitting = int((MAX_NUMBERS / max(1, samples * len(spans))) ** 0.5)
    pixels = min(MAX_PIXELS, max(MIN_PIXELS, fitting))
    return spans, [pooled_map(plane, pixels) for plane in slices]


def span_words(span: range) -> str:
    """Return "7", or "6–7" for a mean of two slices."""
    return str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}"


def visible_span(spans: list[range], depth: int) -> int:
    """Return which of the spans holds a slice.

    Raises:
        InvalidInput: there is no such slice.
    """
    for k, span in enumerate(spans):
        if depth in span:
            return k
    raise unknown("slice", str(depth), map(str, range(spans[-1][-1] + 1)))


def add_slice_slider(look: Look, figure: Figure) -> Figure:
    """Add a slider that shows one slice of all volumes of a figure; nothing where no map has two slices."""
    slices = [trace.get("meta", {}).get("slice") for trace in figure["data"]]
    labels = list(dict.fromkeys(label for label in slices if label is not None))
    if len(labels) < 2:
        return figure
    first = next(k for k, label in enumerate(labels) if _is_visible(figure, label))
    steps: list[dict[str, Any]] = []
    for label in labels:
        visible = [of_trace is None or of_trace == label for of_trace in slices]
        steps.append({"label": label, "method": "restyle", "args": [{"visible": visible}]})
    height = figure["layout"].get("height", 300) + SLIDER_HEIGHT
    margin = dict(figure["layout"].get("margin", {}))
    margin["b"] = margin.get("b", 22) + SLIDER_HEIGHT
    figure["layout"] |= {"height": height, "margin": margin}
    figure["layout"]["sliders"] = [
        {
            "active": first,
            "steps": steps,
            "currentvalue": {"prefix": "slice ", "font": {"size": 12, "color": look["text"]}},
            "font": {"size": 11, "color": look["text-2"]},
            "bgcolor": look["line"],
            "bordercolor": look["line-strong"],
            "activebgcolor": look["text-3"],
            "tickcolor": look["line-strong"],
            "minorticklen": 0,
            "ticklen": 4,
            "pad": {"t": 24, "b": 0},
            "yanchor": "top",
            "y": 0,
        }
    ]
    return figure


def _is_visible(figure: Figure, label: str) -> bool:
    """Return True where a slice of this label is the one that is shown."""
    return any(trace.get("meta", {}).get("slice") == label and trace["visible"] for trace in figure["data"])
