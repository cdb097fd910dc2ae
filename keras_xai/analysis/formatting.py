"""The formats in which all views print numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np

LEAST_PLAIN = Decimal("0.001")  # smaller numbers, and those from the next on, are powers of ten
LEAST_POWER = Decimal(1_000_000)
FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"  # as wide as a figure, and as a point
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)
_PLAIN = re.compile(r"−?[\d,]+(\.\d+)?")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(value: float) -> str:
    """Format a share with two significant digits: 53 %, 4.6 %, 0.21 %; "–" for NaN and infinity.

    Example:
        >>> percent(0.046)
        '4.6\\xa0%'
    """
    if not np.isfinite(value):
        return "–"
    digits = 2
    if value >= 0.0995:
        digits = 0
    elif value >= 0.00995:
        digits = 1
    return f"{100 * value:.{digits}f}\u00a0%"


def signed_percent(share: float) -> str:
    """Format a signed share; the minus is as wide as the plus.

    Example:
        >>> signed_percent(-0.046)
        '−4.6\\xa0%'
    """
    return f"−{percent(-share)}" if share < 0 else percent(share)


def power(exponent: int, base: int = 10) -> str:
    """Format a power: 10⁻³.

    Example:
        >>> power(-3)
        '10⁻³'
    """
    return f"{base}{str(exponent).translate(SUPERSCRIPTS)}"


def short(value: float) -> str:
    """Format a number with three significant digits, and from 1,000 on as a whole one; "–" for NaN and infinity.

    Below 0.001 and from a million on it is a power of ten. The tab's script has the same function.

    Example:
        >>> short(2.345), short(-0.09766), short(0.5), short(5650.2), short(1.6e-5), short(1e-7)
        ('2.35', '−0.0977', '0.5', '5,650', '1.6×10⁻⁵', '10⁻⁷')
    """
    if not np.isfinite(value):
        return "–"
    exact = abs(Decimal(float(value)))
    rounded = _THREE_DIGITS.create_decimal(exact)
    if not rounded:
        return "0"
    if rounded < LEAST_PLAIN or rounded >= LEAST_POWER:
        mantissa, _, exponent = f"{rounded:.2e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        words = power(int(exponent)) if mantissa == "1" else f"{mantissa}×{power(int(exponent))}"
    elif rounded >= 1000:
        words = f"{exact.quantize(Decimal(1), ROUND_HALF_UP):,}"
    else:
        digits = f"{rounded:f}"
        words = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"−{words}" if value < 0 else words


def aligned(numbers: Sequence[str]) -> list[str]:
    """Return formatted numbers with their decimal points below each other where all are set flush right.

    What is missing behind a point is filled with spaces of its width; the tab's script has the same function.

    Example:
        >>> aligned(["2.35", "−0.0977", "12"])
        ['2.35\u2007\u2007', '−0.0977', '12\u2008\u2007\u2007\u2007\u2007']
    """
    decimals = [len(number.partition(".")[2]) if _PLAIN.fullmatch(number) else None for number in numbers]
    most = max((count for count in decimals if count is not None), default=0)
    padded = []
    for number, count in zip(numbers, decimals, strict=True):
        if count is None or count == most:
            padded.append(number)
        else:
            padded.append(number + (POINT_SPACE if count == 0 else "") + FIGURE_SPACE * (most - count))
    return padded


def called(name: str) -> str:
    """Return a name as it stands in a sentence: in quotes where it has neither a letter nor a digit, as tokens may.

    Example:
        >>> called("dose"), called(",")
        ('dose', '“,”')
    """
    return name if any(letter.isalnum() for letter in name) else f"“{name}”"


def count(number: int, noun: str) -> str:
    """Format a count with its noun: 1 alert, 2 alerts.

    Example:
        >>> count(1, "alert"), count(2000, "alert")
        ('1 alert', '2,000 alerts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
