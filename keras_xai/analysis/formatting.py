"""The formats in which all views print numbers."""

from __future__ import annotations

import numpy as np

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
    """Format a number with two significant digits; without an exponent from 0.001 to 100; "–" for NaN and infinity.

    Example:
        >>> short(2.34), short(0.1), short(1.6e-5), short(1e-7)
        ('2.3', '0.10', '1.6e-05', '10⁻⁷')
    """
    if not np.isfinite(value):
        return "–"
    digits, _, exponent = f"{value:.3g}".partition("e")
    if digits == "1" and exponent:
        return power(int(exponent))
    return f"{value:#.2g}".rstrip(".") if 1e-3 <= abs(value) < 100 else f"{value:.3g}"


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
