"""Colours: the tokens of both themes, and three perceptually uniform colour maps.

No colour is written anywhere else: the tab gets them by the route `theme`, and its stylesheet is tested to agree.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import Float

Theme = Literal["light", "dark"]
Map = Literal["sequential", "diverging", "ember"]
THEMES: tuple[Theme, ...] = ("light", "dark")
MAPS: tuple[Map, ...] = ("sequential", "diverging", "ember")

TOKENS: dict[Theme, dict[str, str]] = {
    "light": {
        "page": "#ffffff",
        "rail": "#fafafa",
        "hover": "#f2f5f8",
        "line": "#ebebeb",
        "line-strong": "#d0d4d9",
        "grid": "#f0f1f3",
        "text": "#212121",
        "text-2": "#616161",
        "text-3": "#707070",
        "accent": "#1976d2",
        "accent-soft": "#e3effb",
        "alarm": "#c62828",
        "good": "#2e7d32",
    },
    "dark": {
        "page": "#303030",
        "rail": "#2a2a2a",
        "hover": "#3a3a3a",
        "line": "#434343",
        "line-strong": "#5c5c5c",
        "grid": "#3a3a3a",
        "text": "#f5f5f5",
        "text-2": "#bdbdbd",
        "text-3": "#9e9e9e",
        "accent": "#42a5f5",
        "accent-soft": "#26405a",
        "alarm": "#ff8a75",
        "good": "#81c784",
    },
}
# Colours of runs: far from each other, from the alarm colour and from the accent (the selected epoch or sample), also to people
# who do not see red, green or blue. The two themes have the same hues in the same order, about.
RUNS: dict[Theme, tuple[str, ...]] = {
    "light": (
        *("#00a563", "#6363b0", "#d16e0b", "#9a4279", "#374200", "#bb79a5"),
        *("#006e0b", "#8484e7", "#846e58", "#630058", "#63424d", "#42379a"),
    ),
    "dark": (
        *("#79c6bb", "#9a63c6", "#fdb06e", "#d1799a", "#b0a521", "#dcb0fd"),
        *("#588f63", "#8f9ad1", "#b06e00", "#c6e7fd", "#f2e763", "#79fdbb"),
    ),
}
# Dashes of the lines of runs, a full turn of the colours each; and of their second lines, which are dotted.
RUN_DASHES = ("solid", "9px,3px", "9px,3px,2px,3px", "3px,1px")
RUN_DOTS = ("2px,3px", "2px,2px,2px,8px", "2px,2px,2px,2px,2px,8px", "1px,5px")
# Colours of classes, in their order: far from the alarm colour and from each other, also for eyes that lack one kind of cone.
CLASSES: dict[Theme, tuple[str, ...]] = {
    "light": (
        *("#1565c0", "#e07b00", "#6c195e", "#04a3a7", "#756676"),
        *("#9583fa", "#24319b", "#b3836a", "#3485b8", "#744582"),
    ),
    "dark": (
        *("#64b5f6", "#f0d94a", "#4ffcec", "#a96699", "#707bee"),
        *("#808800", "#a3beba", "#a097aa", "#70dbfe", "#72b02f"),
    ),
}
CLASS_SHIFTS = (0.0, 0.13, -0.13)  # of the lightness, each time the colours of classes come round
# Stops of the colour maps: "sequential" begins near the colour of the page, "diverging" has a neutral middle, "ember" is for
# maps on top of an image.
STOPS: dict[Theme, dict[Map, tuple[str, ...]]] = {
    "light": {
        "sequential": ("#f2f6f9", "#c5dcea", "#84b4d2", "#4189b8", "#1b5f99", "#0b3a70", "#081d44"),
        "diverging": ("#0a3d7a", "#2b76b9", "#9cc4e4", "#f6f6f4", "#efbf8b", "#c86f23", "#763605"),
        "ember": ("#fff3d6", "#fdc870", "#f08a2c", "#c94f1c", "#8a2417", "#420a16"),
    },
    "dark": {
        "sequential": ("#353a3f", "#284f6c", "#2b75a8", "#5aa5d2", "#a3d5ee", "#effaff"),
        "diverging": ("#a9d3f7", "#4b97da", "#2d567b", "#363636", "#80501f", "#dd8b38", "#fbd7a4"),
        "ember": ("#2b2222", "#6e2118", "#b8451b", "#ea8730", "#fbc76a", "#fff6dc"),
    },
}

# Ottosson 2020, "A perceptual color space for image processing": linear sRGB → LMS → OKLab.
_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def run_colour(theme: Theme, index: int) -> str:
    """Return the colour of run number `index`; after twelve colours they repeat, with another dash."""
    return RUNS[theme][index % len(RUNS[theme])]


def run_dash(index: int, *, dotted: bool = False) -> str:
    """Return plotly's dash of the line of run number `index`: solid for the first twelve; of its second line if `dotted`."""
    dashes = RUN_DOTS if dotted else RUN_DASHES
    return dashes[index // len(RUNS["light"]) % len(dashes)]


def class_colours(theme: Theme, count: int, classes: NDArray[Any] | None = None) -> list[str]:
    """Return the colours of classes; each keeps its own, however many there are.

    From the eleventh on they are those of the first ten, lighter and then darker; from the thirty-first on they repeat.

    Args:
        theme: of the figure.
        count: number of classes.
        classes: those whose colours are returned, as numbers; default all.
    """
    numbers = np.arange(count) if classes is None else np.asarray(classes).astype(int)
    colours = _shifted_classes(theme)
    return [colours[number % len(colours)] for number in numbers]


@cache
def _shifted_classes(theme: Theme) -> tuple[str, ...]:
    lab = oklab(CLASSES[theme])
    shifted = [srgb(lab + [shift, 0.0, 0.0]) for shift in CLASS_SHIFTS]
    return tuple(colour for colours in shifted for colour in colours)


def oklab(colours: tuple[str, ...]) -> Float:
    """Convert n hex colours to OKLab (n, 3), in which Euclidean distance is perceived distance."""
    srgb = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _LMS.T) @ _LAB.T)


def srgb(lab: Float) -> list[str]:
    """Convert OKLab (n, 3) to hex colours."""
    linear = np.clip((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_LMS).T, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [f"#{row.tobytes().hex()}" for row in np.rint(255 * values).astype(np.uint8)]


@cache
def ramp(theme: Theme, name: Map, steps: int = 256) -> tuple[str, ...]:
    """Return a colour map as `steps` hex colours, at equal perceived distances along the path through its stops.

    The two halves of a diverging map are spaced separately, so that zero is its neutral middle.
    """
    path = oklab(STOPS[theme][name])
    if name == "diverging":
        middle = len(path) // 2
        first_half = _evenly_spaced(path[: middle + 1], steps // 2)
        return (*first_half, *_evenly_spaced(path[middle:], steps - steps // 2))
    return tuple(_evenly_spaced(path, steps))


def _evenly_spaced(path: Float, steps: int) -> list[str]:
    """Return hex colours at equal distances along a path through OKLab stops (n, 3)."""
    fractions = np.linspace(0, len(path) - 1, 1000)
    fine = np.stack([np.interp(fractions, np.arange(len(path)), path[:, axis]) for axis in range(3)], axis=1)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    even_lengths = np.linspace(0, lengths[-1], steps)
    return srgb(np.stack([np.interp(even_lengths, lengths, fine[:, axis]) for axis in range(3)], axis=1))


def colourscale(theme: Theme, name: Map, steps: int = 32) -> list[tuple[float, str]]:
    """Return a colour map as plotly's `colorscale`: pairs of a position from 0 to 1 and a colour."""
    colours = ramp(theme, name, steps)
    return [(i / (steps - 1), colour) for i, colour in enumerate(colours)]
