"""Tiles of texts: the words in their order, each shaded by its attribution."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_xai.analysis.formatting import count, short
from keras_xai.analysis.table_rows import share_text
from keras_xai.figures.colour import ramp
from keras_xai.figures.theme import Figure, Look, chart, text
from keras_xai.records import Float

LINE_LETTERS = 118  # of a line of a tile that is as wide as the figure
LINE_HEIGHT = 25  # pixels
WORD_LETTERS = 40  # of a word, at most
INK = {"light": "#ffffff", "dark": "#1c1c1c"}  # on a strong shade
STRONG = 0.5  # share of the scale from which on the ink changes


class Placed(NamedTuple):
    """One word where it stands: the line, and where in it the word begins, in letters."""

    word: str
    value: float
    line: int
    begin: float
    width: float


def placed(words: Sequence[str], values: Float, letters: int = LINE_LETTERS) -> list[Placed]:
    """Break words into lines; padding, which has no word, is left out."""
    line, begin = 0, 0.0
    out = []
    for word, value in zip(words, values.tolist(), strict=True):
        if not word:
            continue
        width = 1.2 + _letters(word)
        if begin and begin + width > letters:
            line, begin = line + 1, 0.0
        out.append(Placed(word, value, line, begin, width))
        begin += width + 0.5
    return out


def _letters(word: str) -> float:
    """Return the width of a word in letters of usual width."""
    cut = word[:WORD_LETTERS]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in cut)
    narrow = sum(letter in "iljtf.,;:'!|()[] " for letter in cut)
    capital = sum(letter in "mwMW" or letter.isupper() for letter in cut)
    return len(cut) + 0.8 * wide - 0.4 * narrow + 0.25 * capital


def words_tile(
    look: Look, words: Sequence[str], values: Float, high: float, *, magnitudes: bool = False, lines: int | None = None
) -> Figure:
    """Draw a text whose words carry their attribution as shade.

    Args:
        look: of the figure.
        words: (T); "" is padding.
        values: (T).
        high: the magnitude of the strongest shade.
        magnitudes: values have no sign.
        lines: that are drawn, at most; the last one says how many words follow.
    """
    marks = placed(words, values)
    drawn = [mark for mark in marks if lines is None or mark.line < lines]
    height = max([mark.line for mark in drawn], default=0) + 1
    panel = chart(
        look,
        [_trace(look, drawn, high, magnitudes=magnitudes)] if drawn else [],
        xaxis={"visible": False, "range": [0, LINE_LETTERS], "fixedrange": True},
        yaxis={"visible": False, "range": [height, 0], "fixedrange": True},
        margin={"l": 0, "r": 0, "t": 4, "b": 4},
        hovermode="closest",
        meta={"lines": height},
    )
    if len(drawn) < len(marks):
        left = len(marks) - len(drawn)
        note = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "paper", "y": 0, "yanchor": "top"}
        words_left = {"text": f"and {count(left, 'word')} more", "font": {"color": look["text-3"]}, "showarrow": False}
        panel["layout"]["annotations"].append({**note, **words_left})
    return panel


def _trace(look: Look, marks: Sequence[Placed], high: float, *, magnitudes: bool) -> dict[str, Any]:
    """Return the words as bars with text inside: their widths are those of the words, their colours the shades."""
    shares = [mark.value / high if np.isfinite(mark.value) else 0.0 for mark in marks]
    numbers = [short(abs(mark.value)) if magnitudes else share_text(mark.value) for mark in marks]
    return {
        "type": "bar",
        "orientation": "h",
        "base": [round(mark.begin, 2) for mark in marks],
        "x": [round(mark.width, 2) for mark in marks],
        "y": [mark.line + 0.5 for mark in marks],
        "width": 0.86,
        "text": [text(mark.word, WORD_LETTERS) for mark in marks],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {
            "size": 13,
            "color": [INK[look.theme] if abs(share) > STRONG else look["text"] for share in shares],
        },
        "marker": {"color": [_shade(look, share, magnitudes=magnitudes) for share in shares], "line": {"width": 0}},
        "customdata": [float(mark.value) if np.isfinite(mark.value) else None for mark in marks],
        "hovertext": [f"{text(mark.word)}<br>{number}" for mark, number in zip(marks, numbers, strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _shade(look: Look, share: float, *, magnitudes: bool) -> str:
    """Return the colour of a share of the scale, −1 to 1; nothing for 0."""
    size = min(1.0, abs(share))
    if size == 0:
        return "rgba(0,0,0,0)"
    if magnitudes:
        return ramp(look.theme, "sequential")[round(255 * size)]
    return ramp(look.theme, "diverging")[round(127.5 + 127.5 * float(np.clip(share, -1, 1)))]
