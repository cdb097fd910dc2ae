"""The names of lines beside their ends, in the place of a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.figures.theme import text

LABEL_LETTERS = 26
LABEL_GAP = 0.062  # between two labels, of the height of the chart


def labels_at_ends(labels: Sequence[tuple[str, float, str]], span: Sequence[float]) -> list[dict[str, Any]]:
    """Return the names of lines beside their ends, moved apart where they would overlap."""
    ends = sorted((end, name, colour) for name, end, colour in labels if np.isfinite(end))
    heights = apart([(end - span[0]) / (span[1] - span[0]) for end, *_ in ends], LABEL_GAP)
    annotations = []
    for (_, name, colour), height in zip(ends, heights, strict=True):
        annotations.append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "left",
                "xshift": 6,
                "yref": "paper",
                "y": height,
                "yanchor": "middle",
                "text": text(name, LABEL_LETTERS),
                "showarrow": False,
                "font": {"size": 11, "color": colour},
            }
        )
    return annotations


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move sorted heights apart to at least a gap, and all of them down where the last would leave 1.

    Example:
        >>> [round(height, 2) for height in apart([0.5, 0.51, 0.99], 0.1)]
        [0.5, 0.6, 0.99]
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    ceiling = 1.0
    for place in range(len(moved) - 1, -1, -1):
        moved[place] = min(moved[place], ceiling)
        ceiling = moved[place] - gap
    return moved
