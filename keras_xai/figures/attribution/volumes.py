"""Tiles of volumes: one heat map a slice over the slice itself, and a slider over the slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.attributions import pooled_map, slice_magnitudes
from keras_xai.errors import unknown
from keras_xai.figures.attribution.maps import SQUARE, Display, map_trace
from keras_xai.figures.attribution.picture import GREY, levels, painted
from keras_xai.figures.theme import Figure, Look, chart, packed
from keras_xai.records import Float
from keras_xai.spatial import box_means

MAX_SLICES = 32  # of a figure; deeper maps are means of neighbouring slices
MAX_NUMBERS = 200_000  # of a figure: the report holds every slice of every sample
SLIDER_HEIGHT = 84  # pixels
CLIPPED_ABOVE = 0.995  # quantile of the magnitudes of a volume at which the colours end
MIN_PIXELS, MAX_PIXELS = 16, 64  # longer side of a slice


def volume_tile(
    look: Look,
    values: Float,
    inputs: NDArray[Any] | None = None,
    sample: int = 0,
    *,
    display: Display = "overlay",
    magnitudes: bool = False,
    smooth: bool = False,
    samples: int = 1,
    depth: int | None = None,
) -> Figure:
    """Draw a map (d, h, w): its slices on top of each other, of which one is visible, on one colour scale.

    Args:
        look: of the figure.
        values: of one sample.
        inputs: (B, D, H, W, C) of all samples; of colours their mean is shown. None where they are not at hand.
        sample: whose slices lie below the map.
        display: the map over a faint slice, alone, the slice where the map is strong, or the slice.
        magnitudes: colours say how strong a value is, whatever its sign.
        smooth: the cells of the map are wider than voxels, and are blended.
        samples: in the whole figure, which shares out its numbers.
        depth: the slice that is visible; by default the one with the largest magnitude.
    """
    finite = values[np.isfinite(values)]
    high = float(np.quantile(np.abs(finite), CLIPPED_ABOVE)) if finite.size else 0.0
    high = high or float(np.abs(finite).max(initial=0.0)) or 1.0
    pictures = None if inputs is None else levels(inputs)[sample]
    if pictures is None:
        display = "map"
    spans, slices = reduced_slices(values, samples)
    sides = values.shape[1:] if pictures is None else pictures.shape[1:3]
    rule = {
        "signed": bool((finite < 0).any()),
        "magnitudes": magnitudes,
        "smooth": smooth and finite.size == values.size,
    }
    visible = visible_span(spans, depth if depth is not None else int(slice_magnitudes(values[None])[0].argmax()))
    traces = []
    for k, (span, plane) in enumerate(zip(spans, slices, strict=True)):
        state = {"visible": k == visible, "meta": {"slice": span_words(span)}}
        if pictures is not None and display != "map":
            below = pictures[round((span[0] + span[-1]) / 2) * len(pictures) // len(values)]
            pixels = max(max(plane.shape), pixels_of(samples, len(spans)))
            traces.append(_slice(look, below, sides, faint=display == "overlay", pixels=pixels) | state)
        if display != "input":
            hover = f"slice {span_words(span)}, "
            trace = map_trace(look, plane, sides, high, display=display, hover=hover, **rule)
            traces.append(trace | state)
    return chart(
        look,
        traces,
        xaxis={**SQUARE, "range": [-0.5, sides[1] - 0.5]},
        yaxis={**SQUARE, "range": [sides[0] - 0.5, -0.5], "scaleanchor": "x"},
    )


def _slice(
    look: Look, picture: NDArray[np.uint8], sides: tuple[int, int], *, faint: bool, pixels: int
) -> dict[str, Any]:
    """Return a slice (H, W, C) as a heat map of bytes, which can be hidden as its map is."""
    grey = np.asarray(picture, np.float64).mean(-1, keepdims=True) if picture.shape[-1] >= 3 else picture
    colours = painted(look, np.asarray(grey, np.uint8)[..., :1], faint=faint, pixels=pixels)
    ink, paper = sorted(GREY[look.theme])
    scale = [(0.0, f"rgb({ink},{ink},{ink})"), (1.0, f"rgb({paper},{paper},{paper})")]
    (height, width), (rows, columns) = colours.shape, sides
    dy, dx = rows / height, columns / width
    return {
        "type": "heatmap",
        "z": packed(colours, "u1"),
        "zmin": ink,
        "zmax": paper,
        "colorscale": scale,
        "showscale": False,
        "hoverinfo": "skip",
        "x0": dx / 2 - 0.5,
        "dx": dx,
        "y0": dy / 2 - 0.5,
        "dy": dy,
    }


def reduced_slices(values: Float, samples: int) -> tuple[list[range], list[Float]]:
    """Return the slices of a map (d, h, w) as a figure holds them, and which of the map's slices each is the mean of."""
    depth = len(values)
    step = -(-depth // MAX_SLICES)
    spans = [range(begin, min(begin + step, depth)) for begin in range(0, depth, step)]
    slices = box_means(values[None], (step, 1, 1))[0] if step > 1 else values
    pixels = pixels_of(samples, len(spans))
    return spans, [pooled_map(plane, pixels) for plane in slices]


def pixels_of(samples: int, slices: int) -> int:
    """Return the longer side of a slice, at most, in a figure of so many samples and slices."""
    fitting = int((MAX_NUMBERS / max(1, samples * slices)) ** 0.5)
    return min(MAX_PIXELS, max(MIN_PIXELS, fitting))


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
