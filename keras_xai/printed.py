"""Names out of files and programs as they may be printed: what would act on a terminal or a pipeline is shown instead."""

from __future__ import annotations

import re

# What moves a cursor or begins a sequence, ends a line, turns the direction of writing, is not seen at all, and halves of
# characters. What joins letters and signs of one script or emoji stays.
_ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# Pipelines look for commands: "::name" at the begin of a line, "##[name]" and "##vso[name]" anywhere in it.
_COMMAND = re.compile(r"^(\s*):(?=:)|#(?=#\w*\[)")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def escaped(text: object) -> str:
    r"""A text with each character that would act written as its escape; a byte that is no UTF-8 as `\xNN`.

    Example:
        >>> escaped("age\x1b[2J\n")
        'age\\x1b[2J\\n'
    """
    return _ACTING.sub(lambda match: _escape(match.group()), str(text))


def printable(text: object) -> str:
    """A text as one line of a terminal or of a pipeline's log, in which it commands nothing."""
    return _COMMAND.sub(lambda match: f"{match.group(1) or ''}{_hex(ord(match.group()[-1]))}", escaped(text))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte of a file's name that is no UTF-8
        return _hex(code - 0xDC00)
    if code < 0x80:
        return _SHORT.get(character) or _hex(code)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _hex(code: int) -> str:
    return f"\\x{code:02x}"
