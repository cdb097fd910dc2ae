"""What a plotly figure of ours holds, as arrays."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np


def unpacked(value: Any) -> Any:
    """A list, or plotly's binary form, as an array."""
    if not isinstance(value, dict):
        return np.asarray(value, np.float64)
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return array.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else array


def picture(source: str) -> Any:
    """The pixels of one of our PNGs, (h, w) or (h, w, 3): rows of bytes, each the difference to the one above it."""
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    begin = content.index(b"IDAT")
    length = int.from_bytes(content[begin - 4 : begin], "big")
    rows = np.frombuffer(zlib.decompress(content[begin + 4 : begin + 4 + length]), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 2).all()
    pixels = np.cumsum(rows[:, 1:].astype(np.int64), 0) % 256
    return pixels if content[25] == 0 else pixels.reshape(height, width, 3)


def traces(figure: Any) -> list[dict[str, Any]]:
    """The traces of a figure, a plain dict or plotly's."""
    return figure["data"] if isinstance(figure, dict) else figure.to_plotly_json()["data"]


def words(figure: Any) -> str:
    """All text of a figure: its title and its annotations."""
    layout = figure["layout"] if isinstance(figure, dict) else figure.to_plotly_json()["layout"]
    title = layout.get("title", {}).get("text", "")
    return "\n".join([title, *(mark.get("text", "") for mark in layout.get("annotations", []))])
