"""A notebook as a page: its text, its code, and what it printed and drew where that was kept; without its checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def page_of(notebook: Mapping[str, Any], name: str, pictures: Collection[str] = ()) -> str:
    """Return a notebook as Markdown, with a link to its file.

    Args:
        notebook: the format's fourth version, as JSON. Cells with the tag "check" are left out.
        name: of the file, "hospital_mark.ipynb".
        pictures: paths of the figures beside it, "figures/hospital_mark-gap.webp" of the cell whose id is "gap".
    """
    parts = []
    for cell in notebook["cells"]:
        if "check" in cell.get("metadata", {}).get("tags", ()):
            continue
        parts += _parts(cell)
        picture = f"figures/{name.partition('.')[0]}-{cell.get('id')}.webp"
        if picture in pictures:
            parts.append(f"![What this cell draws]({picture})")
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
        yield f"``` {{ .text .output }}\n{text}\n```"
