"""Reads docstrings as the reference shows them: `Example:` is a section of code, the comment behind a field its description."""

from __future__ import annotations

import re
from typing import Any

import griffe


class HouseStyle(griffe.Extension):
    """Runs on every object that is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Name the section of examples as Google's style does."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the comment behind a field of a record as its description."""
        if attr.docstring is None and attr.parent is not None and attr.parent.is_class:
            _, _, comment = attr.source.partition("  # ")
            if comment:
                attr.docstring = griffe.Docstring(comment.strip(), parent=attr)
