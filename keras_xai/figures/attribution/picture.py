"""Pictures of the inputs, as PNG data URIs below a map."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.attributions import pooled_map
from keras_xai.figures.theme import Look

LEVELS = 255
PIXELATED_UP_TO = 96  # pixels: the pixels of smaller pictures are shown as squares, larger ones are photographs
MIN_PIXELS = 128  # of a picture with square pixels, which are repeated up to so many
GREY = {"light": (25, 255), "dark": (240, 35)}  # ink and paper of pictures without colour


def levels(inputs: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pictures as bytes, 0 for the smallest value of all and 255 for the largest."""
    low, high = float(inputs.min()), float(inputs.max())
    return np.round(LEVELS * (np.asarray(inputs, np.float64) - low) / ((high - low) or 1.0)).astype(np.uint8)


def painted(look: Look, picture: NDArray[np.uint8], *, faint: bool, pixels: int) -> NDArray[np.uint8]:
    """Return the colours of a picture (H, W, C): as it is, or of one channel as ink on paper; fainter below a map.

    Args:
        look: of the figure.
        picture: of one sample.
        faint: below a map.
        pixels: of its longer side, at most.

    Returns:
        (h, w) grey, or (h, w, 3).
    """
    ink, paper = GREY[look.theme]
    channels = picture.shape[-1]
    bands = picture[..., :3] if channels >= 3 else picture[..., :1]
    planes = [pooled_map(np.asarray(bands[..., c], np.float64), pixels) for c in range(bands.shape[-1])]
    values = np.stack(planes, -1)
    if channels >= 3:
        values = paper + (values - paper) * 0.6 if faint else values
    else:
        values = paper + (ink - paper) * (values / LEVELS) * (0.55 if faint else 0.92)
    colours = np.clip(np.round(values), 0, LEVELS).astype(np.uint8)
    return colours if channels >= 3 else colours[..., 0]


def data_uri(colours: NDArray[np.uint8]) -> str:
    """Return a picture, grey (h, w) or colours (h, w, 3), as the data URI of a PNG.

    Pixels of a small picture are repeated, since a browser smooths what it enlarges.
    """
    longer = max(colours.shape[:2])
    if longer <= PIXELATED_UP_TO:
        times = -(-MIN_PIXELS // longer)
        colours = colours.repeat(times, 0).repeat(times, 1)
    return f"data:image/png;base64,{base64.b64encode(png(colours)).decode('ascii')}"


def png(colours: NDArray[np.uint8]) -> bytes:
    """Encode grey (h, w) or colours (h, w, 3) as a PNG, each row as the difference to the one above it."""
    height, width = colours.shape[:2]
    rows = colours.reshape(height, -1)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # wraps around, as the format asks
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), differences], 1)  # 2: the filter "up"
    header = struct.pack(">2I5B", width, height, 8, 0 if colours.ndim == 2 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
