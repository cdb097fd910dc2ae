"""The rows of a table's sample: each feature with its value and its attribution, the largest first."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keras_xai.analysis.parts import Part
from keras_xai.records import Quantity

TABLE_ROWS = 8  # features of a table with a bar of their own; all others together are one row
VALUE_LETTERS = 16  # of a category, at most


class Row(NamedTuple):
    """One row of a sample."""

    name: str
    value: str | None  # of the input: "43", "Zürich"; "" where it is not at hand, None of the others together
    share: float | None  # the attribution; NaN where it was not measured, None where the others have no sum
    feature: int | None  # its column; None of the others together


def rows_of(part: Part, sample: int, quantity: Quantity, count: int = TABLE_ROWS) -> list[Row]:
    """Return the rows of a sample: the largest values, the sum of all others, and what was not measured.

    Only contributions have a sum: slopes do not add up.

    Args:
        part: a table.
        sample: row of the gallery.
        quantity: that the values are.
        count: rows with a feature of their own, at most.
    """
    values = np.asarray(part.values[sample], np.float64)
    measured = np.flatnonzero(np.isfinite(values))
    order = measured[np.argsort(-np.abs(values[measured]), kind="stable")]
    largest, others = order[:count], order[count:]
    rows = [Row(part.names[f], _input(part, sample, f), float(values[f]), f) for f in largest.tolist()]
    if others.size:
        total = float(values[others].sum()) if quantity == "contribution" else None
        rows.append(Row(f"{len(others)} other{'s' if len(others) > 1 else ''}", None, total, None))
    unmeasured = np.flatnonzero(~np.isfinite(values))[:count].tolist()
    return rows + [Row(part.names[f], _input(part, sample, f), math.nan, f) for f in unmeasured]


def _input(part: Part, sample: int, feature: int) -> str:
    return "" if part.inputs is None else input_text(part.inputs[sample, feature])


def input_text(value: Any) -> str:
    """Return the value of an input as text: a category as it is, a number with four significant digits.

    Example:
        >>> input_text("Zürich"), input_text(151.0), input_text(-0.030912), input_text(1234567)
        ('Zürich', '151', '−0.03091', '1,234,567')
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return value if len(value) <= VALUE_LETTERS else f"{value[: VALUE_LETTERS - 1]}…"
    number = float(value)
    if not math.isfinite(number):
        return "–"
    if number == int(number) and abs(number) < 1e9:
        words = f"{int(number):,}"
    elif abs(number) >= 1000 and abs(number) < 1e9:
        words = f"{number:,.0f}"
    else:
        words = f"{number:.4g}"
    return words.replace("-", "−")


def share_text(share: float, high: float = 0.0) -> str:
    """Return an attribution with its sign, and with three significant digits of `high`, so that points stand below each other.

    Args:
        share: NaN for "not measured".
        high: the largest magnitude beside it; by default its own.

    Example:
        >>> share_text(1.346), share_text(-0.0123, 1.346), share_text(-1e-7, 1.346)
        ('+1.35', '−0.01', '−1e-07')
    """
    if not math.isfinite(share):
        return "not measured"
    sign, size = "−" if share < 0 else "+", abs(share)
    high = high or size or 1.0
    if high >= 1e5:
        return f"{sign}{size:.3g}"
    digits = min(6, max(0, 2 - math.floor(math.log10(high))))
    words = f"{size:.{digits}f}"
    return f"{sign}{size:.1g}" if size and not float(words) else f"{sign}{words}"
