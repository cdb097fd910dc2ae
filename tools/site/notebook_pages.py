"""A notebook as a page: its text, its code, and what it printed where that was kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def page_of(notebook: Mapping[str, Any], name: str) -> str:
    """Return a notebook (the format's fourth version, as JSON) as Markdown, with a link to the file of this name."""
    parts = [part for cell in notebook["cells"] for part in _parts(cell)]
    note = f'*A notebook: <a href="{name}" download>{name}</a>.*'
    return "\n\n".join([parts[0], note, *parts[1:]]) + "\n"


def _parts(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"]).strip()
    if not source:
        return
    if cell["cell_type"] == "code":
        yield f"```python\n{source}\n```"
        for output in cell.get("outputs", ()):
            yield from _output(output)
    elif cell["cell_type"] == "markdown":
        yield source


def _output(output: Mapping[str, Any]) -> Iterator[str]:
    """What a cell printed, or its picture; anything else is left out."""
    data = output.get("data", {})
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    if "image/png" in data:
        yield f"![](data:image/png;base64,{''.join(data['image/png']).strip()})"
    elif text:
        yield f"```text\n{text}\n```"
