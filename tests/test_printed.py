"""Names act on no terminal and command no pipeline."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_xai.printed import escaped, printable
from keras_xai.records import Alert

ACTING = [
    ("age\x1b]0;owned\x07", r"age\x1b]0;owned\x07"),
    ("a\nb\r\tc", r"a\nb\r\tc"),
    ("\x7f\x9b2J", r"\x7f\u009b2J"),
    ("\u202egpj.exe", r"\u202egpj.exe"),
    ("a\u2028b\u2066", r"a\u2028b\u2066"),
    ("caf\udce9", r"caf\xe9"),
    ("\ud800", r"\ud800"),
    ("a\u200bb\ufeff\U000e0041", r"a\u200bb\ufeff\U000e0041"),
]
COMMANDS = [
    ("::error title=x::y", r"\x3a:error title=x::y"),
    ("  ::add-mask::quiet", r"  \x3a:add-mask::quiet"),
    ("age ##[error]x", r"age \x23#[error]x"),
    ("##vso[task.setvariable]x", r"\x23#vso[task.setvariable]x"),
]


@pytest.mark.parametrize(("text", "shown"), [*ACTING, *COMMANDS])
def test_what_would_act_is_shown(text, shown):
    """Escape sequences, line ends, directions, bytes that are no UTF-8, halves of characters, commands of pipelines."""
    assert printable(text) == shown
    assert escaped(text) == (shown if (text, shown) in ACTING else text)


@pytest.mark.parametrize(
    "text",
    ["", "age", "größe", "年齢", "עברית", "👩\u200d💻", "می\u200cخواهم", "std::x", "# of items", "a ## b", "R² → 1"],
)
def test_names_of_any_language_stay(text):
    """Nothing is escaped that only looks unusual."""
    assert printable(text) == text


@given(st.text(alphabet=st.characters()))
def test_any_text_is_one_harmless_line(text):
    """It can be encoded, has no control characters, begins no command, and escaping it again changes nothing."""
    shown = printable(text)
    shown.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not shown.lstrip().startswith("::")
    assert not re.search(r"##\w*\[", shown)
    assert printable(shown) == shown


def test_an_alert_in_words_is_one_line():
    """Its features are names out of a file."""
    alert = Alert(9, "clean", "reliance moved", False, (("age\x1b[2J\n::error::x", 0.1, 0.5, 1, 9.0),), np.nan, np.nan)
    assert r"age\x1b[2J\n::error::x (10.00%" in str(alert)
    assert len(str(alert).splitlines()) == 1
