"""The title of a figure of attributions: the method, the moment, what its colours mean, and what cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_xai.analysis.gallery import Gallery
from keras_xai.figures.attribution.bars import signed_colours
from keras_xai.figures.colour import ramp
from keras_xai.figures.theme import Figure, Look, text

SIDE_LETTERS = 60


def title_of(look: Look, gallery: Gallery, samples: Sequence[int], name: str = "") -> str:
    """Return the lines of a title.

    Args:
        look: of the figure.
        gallery: that is drawn.
        samples: rows of the gallery that are drawn.
        name: of the only sample, where there is one.
    """
    head = text(gallery.method_title)
    lines = [", ".join(filter(None, [head, gallery.when]))]
    if name:
        lines.append(small(text(name), look["text"], 14))
    if samples:
        lines.append(small(legend(look, gallery, samples), look["text-2"], 13))
    warning = gallery.warning(samples[0]) if name else ""
    if warning:
        lines.append(small(warning, look["alarm"], 13))
    if gallery.not_finite:
        lines.append(small(f"The scores are not finite since {gallery.not_finite}.", look["alarm"], 13))
    if gallery.missing():
        lines.append(small(text(gallery.missing()), look["text-2"], 13))
    return "<br>".join(lines)


def legend(look: Look, gallery: Gallery, samples: Sequence[int]) -> str:
    """Return the meaning of the colours, each beside a square of its colour."""
    low, high = (text(side, SIDE_LETTERS) for side in gallery.sides(samples))
    is_picture = gallery.parts[0].form in ("map", "volume")
    if gallery.magnitudes:
        return swatch(ramp(look.theme, "sequential")[200], "strong")
    if is_picture and (gallery.quantity != "contribution" or not _has_negative(gallery, samples)):
        return swatch(ramp(look.theme, "ember")[150], f"strong {high}" if high.startswith("for ") else "strong")
    negative, positive = signed_colours(look)
    return f"{swatch(negative, low)}\u2003{swatch(positive, high)}"


def _has_negative(gallery: Gallery, samples: Sequence[int]) -> bool:
    return any(bool((np.asarray(part.values[list(samples)]) < 0).any()) for part in gallery.parts)


def small(words: str, colour: str, size: int) -> str:
    """Return a line of plotly text in a size and a colour."""
    return f'<span style="font-size:{size}px;color:{colour}">{words}</span>'


def swatch(colour: str, words: str) -> str:
    """Return words behind a square of a colour."""
    return f'<span style="color:{colour}">■</span> {words}'


def figure_title(
    look: Look, panel: Figure, gallery: Gallery, samples: Sequence[int], name: str = "", more: str = ""
) -> Figure:
    """Put a title above a panel that is a figure by itself, and the theme's page below it.

    Args:
        look: of the figure.
        panel: the figure, whose upper margin has room for the title.
        gallery: that is drawn.
        samples: rows of the gallery that are drawn.
        name: of the only sample, where there is one.
        more: a further line.
    """
    words = "<br>".join(filter(None, [title_of(look, gallery, samples, name), more]))
    position = {"x": 0, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 16, "l": 16}}
    panel["layout"]["title"] = {"text": words, "font": {"size": 18, "color": look["text"]}, **position}
    lines = words.count("<br>")
    panel["layout"]["margin"]["t"] += 20 * lines
    panel["layout"]["height"] += 20 * lines
    panel["layout"]["paper_bgcolor"] = panel["layout"]["plot_bgcolor"] = look["page"]
    return panel
