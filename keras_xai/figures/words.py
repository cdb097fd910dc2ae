"""Numbers as the views print them."""

from __future__ import annotations

import numpy as np

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(value: float) -> str:
    """A share with two telling digits: 53 %, 4.6 %, 0.21 %."""
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.{0 if value >= 0.0995 else 1 if value >= 0.00995 else 2}f}\u00a0%"


def power(exponent: int, base: int = 10) -> str:
    """10⁻³"""
    return f"{base}{str(exponent).translate(SUPERSCRIPT)}"


def short(value: float) -> str:
    """Two telling digits, plain as long as that is readable: 2.3, 0.10, 1.6e-05; a power of ten as one: 10⁻⁷."""
    if not np.isfinite(value):
        return "–"
    digits, _, exponent = f"{value:.3g}".partition("e")
    if digits == "1" and exponent:
        return power(int(exponent))
    return f"{value:#.2g}".rstrip(".") if 1e-3 <= abs(value) < 100 else f"{value:.3g}"


def count(number: int, noun: str) -> str:
    """1 alert, 2 alerts"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
