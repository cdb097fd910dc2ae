"""`Epoch` on the wire: one JSON string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_xai.records import Epoch
from keras_xai.summary import checks
from keras_xai.summary.codec.json_body import body_of, step_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/epoch"


def encode(record: Epoch) -> Iterator[Value]:
    """Encode the record of an epoch."""
    yield TAG, plugin_data(PluginData.EPOCH), [body_of(record)]


def decode(epoch: int, constants: object, content: Any) -> Epoch:
    """Decode the record of an epoch."""
    body = checks.parsed(only_string(content))
    return Epoch(
        epoch=checks.epoch(epoch),
        wall_time=checks.amount(checks.entry(body, "wall_time"), 1e12),
        seconds=checks.amount(checks.entry(body, "seconds"), 1e9),
        cost_seconds=checks.amount(checks.entry(body, "cost_seconds"), 1e9),
        learning_rate=checks.number(checks.entry(body, "learning_rate")),
        logs=checks.numbers(checks.entry(body, "logs")),
        costs={name: checks.amount(cost, 1e9) for name, cost in checks.members(body.get("costs", {})).items()},
        notes=checks.several(body.get("notes", []), checks.text),
        once_seconds=checks.amount(body.get("once_seconds", 0.0), 1e9),
        resumed=checks.flag(body.get("resumed", False)),
        step=step_of(body),
    )
