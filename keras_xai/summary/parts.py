"""Parts of a long series: what would be more than 32 MiB of one tag goes on under "<tag>/part-1" and so on.

TensorBoard's data server answers with all of a tag at once, and with 256 MiB at most.
"""

from __future__ import annotations

import re

from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.tensors import BLOB_KINDS, Content

PART = 1 << 25  # bytes of one tag
_KEY = 256  # bytes that the key of one blob takes in an answer
_PARTS = re.compile(r"(.+)/part-([1-9]\d{0,8})", re.DOTALL)


def part_of(tag: str, data: PluginData, epoch: int, content: Content) -> str:
    """Return the tag under which a value is written: of a long series each part has one of its own, "…/part-3".

    Which one depends on the epoch and the size alone, so that a training that is resumed goes on where it was. A part
    holds a power of two of epochs: contents of about one size share it.
    """
    size = _KEY * len(content) if data.kind in BLOB_KINDS else _bytes_of(content)
    number = epoch >> (max(1, PART // max(1, size)).bit_length() - 1)
    return f"{tag}/part-{number}" if number else tag


def _bytes_of(content: Content) -> int:
    return sum(map(len, content)) if isinstance(content, list) else int(content.nbytes)


def series_of(tag: str) -> tuple[str, int]:
    """Return the tag of the whole series, and the number of the part."""
    match = _PARTS.fullmatch(tag)
    return (match.group(1), int(match.group(2))) if match else (tag, 0)
