"""`Stop` on the wire: one JSON string under a tag of its part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_xai.records import Stop
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec.json_body import body_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/stop/"  # and the part


def encode(record: Stop) -> Iterator[Value]:
    """Encode the record that a part of the watch ended."""
    yield TAG + record.part, plugin_data(PluginData.STOP, method=record.part), [body_of(record, "part")]


def constants(data: PluginData, part: str) -> str:
    """Return the part of the watch that a tag is named for."""
    if not part or data.method != part:
        raise Unreadable(f"expected the part {part!r}, got {data.method!r}")
    return part


def decode(epoch: int, part: str, content: Any) -> Stop:
    """Decode the record that a part of the watch ended."""
    body = checks.parsed(only_string(content))
    return Stop(checks.epoch(epoch), part, checks.text(checks.entry(body, "reason")))
