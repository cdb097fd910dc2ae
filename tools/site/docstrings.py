"""Reads docstrings as the reference shows them: `Example:` is a section of code, fields have the comments behind them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import griffe

COUNTED = {"epoch": "counted from 0", "update": "the number of the update"}  # fields whose name says it


class HouseStyle(griffe.Extension):
    """Runs on every object that is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Name the section of examples as Google's style does."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """List the fields of a record, each with the comment behind it."""
        fields = [attribute for attribute in cls.attributes.values() if is_field(attribute)]
        if cls.docstring and fields and not re.search(r"^(Args|Attributes):$", cls.docstring.value, re.MULTILINE):
            lines = [f"    {field.name}: {description(field)}" for field in fields]
            cls.docstring.value = "\n".join([cls.docstring.value.rstrip(), "", "Attributes:", *lines])


def is_field(attribute: griffe.Attribute) -> bool:
    """True for a public field of a dataclass or a named tuple: one with a type, which is no class variable or property."""
    is_plain = not attribute.labels & {"property", "cached"} and "ClassVar" not in str(attribute.annotation)
    return attribute.annotation is not None and is_plain and not attribute.name.startswith("_")


def description(field: griffe.Attribute) -> str:
    """Return what a field holds, from the comment behind it or above it; the class says it above where there is none."""
    comment = " ".join(field.source.partition("  # ")[2].split())
    return comment or comment_above(field) or COUNTED.get(field.name, "see above")


def comment_above(field: griffe.Attribute) -> str:
    """Return the lines of comment that end right above a field, as one."""
    above = Path(str(field.filepath)).read_text(encoding="utf-8").splitlines()[: (field.lineno or 1) - 1]
    comments = itertools.takewhile(lambda line: line.strip().startswith("# "), reversed(above))
    return " ".join(line.strip().removeprefix("# ") for line in reversed(list(comments)))
