"""Parts of a long series: after about 32 MiB of one tag it continues under "<tag>/part-1" and so on.

TensorBoard's data server sends all of a tag in one answer, of 256 MiB at most.
"""

from __future__ import annotations

import re

from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.tensors import BLOB_KINDS, Content

PART_BYTES = 1 << 25  # of one tag
_KEY_BYTES = 256  # of the key of one blob, which is what an answer holds of it
_PARTS = re.compile(r"(.+)/part-([1-9]\d{0,8})", re.DOTALL)


def part_of(tag: str, data: PluginData, ordinal: int, content: Content) -> str:
    """Return the tag under which a value is written: that of the series, or of one of its parts, "…/part-3".

    The part depends on the ordinal of the update, from 0, and the size of the content alone, so that a resumed training
    continues in the same one. Each part holds a power of two of updates, so that small differences in size hardly ever change
    the number of a part.
    """
    size = _KEY_BYTES * len(content) if data.kind in BLOB_KINDS else _bytes_of(content)
    number = ordinal >> (max(1, PART_BYTES // max(1, size)).bit_length() - 1)
    return f"{tag}/part-{number}" if number else tag


def _bytes_of(content: Content) -> int:
    return sum(map(len, content)) if isinstance(content, list) else int(content.nbytes)


def series_of(tag: str) -> tuple[str, int]:
    """Return the tag of a series and the number of the part, from the tag of a part; 0 for the first."""
    match = _PARTS.fullmatch(tag)
    return (match.group(1), int(match.group(2))) if match else (tag, 0)
