"""Tiles of images: the map over its picture, the map alone, what the map leaves of the picture, and the picture."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.attributions import pooled_map
from keras_xai.figures.attribution.picture import data_uri, levels, painted
from keras_xai.figures.colour import Map, ramp
from keras_xai.figures.heat_map import heat_map
from keras_xai.figures.theme import Figure, Look, chart
from keras_xai.records import Float

Display = Literal["overlay", "map", "masked", "input"]
DISPLAYS: tuple[Display, ...] = get_args(Display)

CLIPPED_ABOVE = 0.99  # quantile of the magnitudes at which the colours end, so that one pixel does not dim the others
ALPHA_FROM = 0.06  # share of the scale below which a map lets its picture through
ALPHA_SLOPE = 1.5
OPACITY = 0.85
STOPS = 16  # of a colour scale with transparency
SQUARE: dict[str, Any] = {"visible": False, "constrain": "domain", "fixedrange": True}


def clip_of(values: NDArray[Any]) -> float:
    """Return the magnitude that has the strongest colour; 1 where all is zero or nothing is finite."""
    finite = np.abs(values[np.isfinite(values)])
    high = float(np.quantile(finite, CLIPPED_ABOVE)) if finite.size else 0.0
    return high or float(finite.max(initial=0.0)) or 1.0


def scale_of(look: Look, display: Display, *, signed: bool, magnitudes: bool) -> list[tuple[float, str]]:
    """Return the colour scale of a map: over a picture transparent where the map is weak, alone opaque.

    Args:
        look: of the figure.
        display: of the map.
        signed: the scale reaches from −high to high, else from 0.
        magnitudes: both signs have the same colours.
    """
    name: Map = "diverging" if signed and not magnitudes else "ember"
    colours = ramp(look.theme, name)
    scale = []
    for stop in np.linspace(0, 1, 2 * (STOPS // 2) + 1):
        size = abs(2 * stop - 1) if signed else stop
        index = stop if name == "diverging" else size
        alpha = {"map": 1.0, "masked": 1 - _strength(size)}.get(display, OPACITY * _strength(size))
        colour = look["page"] if display == "masked" else colours[round(255 * index)]
        red, green, blue = bytes.fromhex(colour[1:])
        scale.append((round(float(stop), 4), f"rgba({red},{green},{blue},{alpha:.3g})"))
    return scale


def _strength(size: float) -> float:
    return float(np.clip((size - ALPHA_FROM) * ALPHA_SLOPE, 0, 1))


def map_trace(
    look: Look,
    values: Float,
    sides: tuple[int, int],
    high: float,
    *,
    display: Display,
    signed: bool,
    magnitudes: bool,
    smooth: bool,
    hover: str = "",
) -> dict[str, Any]:
    """Return the heat map of values (h, w) over a picture of other sides, in the pixels of the picture."""
    (height, width), (rows, columns) = values.shape, sides
    dy, dx = rows / height, columns / width
    where = {"x0": dx / 2 - 0.5, "dx": dx, "y0": dy / 2 - 0.5, "dy": dy}
    trace = heat_map(
        look,
        values,
        -high if signed else 0,
        high,
        hovertemplate=f"{hover}row %{{y:.0f}}, column %{{x:.0f}}: %{{z:.3g}}<extra></extra>",
    )
    scale = scale_of(look, display, signed=signed, magnitudes=magnitudes)
    return {**trace, **where, "colorscale": scale, **({"zsmooth": "best"} if smooth else {})}


def image_tile(
    look: Look,
    values: Float,
    inputs: NDArray[Any] | None,
    sample: int,
    *,
    sides: tuple[int, ...] = (),
    display: Display = "overlay",
    magnitudes: bool = False,
    smooth: bool = False,
    pixels: int = 64,
) -> Figure:
    """Draw a map (h, w), over its picture where that is at hand.

    Args:
        look: of the figure.
        values: of one sample.
        inputs: (B, H, W, C) of all samples, whose range is black to white; None where they are not at hand.
        sample: whose picture it is.
        sides: (H, W) of the picture; by default those of the map.
        display: the map over a faint picture, alone, the picture where the map is strong, or the picture.
        magnitudes: colours say how strong a value is, whatever its sign.
        smooth: the cells of the map are wider than pixels, and are blended.
        pixels: of the longer side of map and picture, at most.
    """
    rows, columns = (sides or values.shape)[:2]
    if inputs is None:
        display = "map"
    panel = chart(
        look,
        [],
        xaxis={**SQUARE, "range": [-0.5, columns - 0.5]},
        yaxis={**SQUARE, "range": [rows - 0.5, -0.5], "scaleanchor": "x"},
    )
    frame = {"type": "rect", "x0": -0.5, "x1": columns - 0.5, "y0": -0.5, "y1": rows - 0.5, "layer": "above"}
    panel["layout"]["shapes"].append(frame | {"line": {"color": look["line"], "width": 1}})
    if inputs is not None and display != "map":
        colours = painted(look, levels(inputs)[sample], faint=display == "overlay", pixels=pixels)
        where = {"xref": "x", "yref": "y", "x": -0.5, "y": -0.5, "sizex": columns, "sizey": rows}
        source = {"source": data_uri(colours), "sizing": "stretch", "layer": "below"}
        panel["layout"]["images"] = [{**where, **source}]
    if display == "input":
        return panel
    signed = bool((values < 0).any())
    small, is_finite = pooled_map(values, pixels), bool(np.isfinite(values).all())
    panel["data"] = [
        map_trace(
            look,
            small,
            (rows, columns),
            clip_of(small),
            display=display,
            signed=signed,
            magnitudes=magnitudes,
            smooth=smooth and is_finite,
        )
    ]
    return panel
