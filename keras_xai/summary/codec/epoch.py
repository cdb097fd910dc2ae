"""`Epoch` on the wire: one JSON string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from keras_xai.records import Epoch
from keras_xai.summary import checks
from keras_xai.summary.codec.json_body import fields_of
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value, only_string
from keras_xai.updates import Unit

TAG = f"{PLUGIN_NAME}/epoch"
OF_STEPS = ("ends_epoch", "iterations")  # fields that only runs which count in steps have


def encode(record: Epoch) -> Iterator[Value]:
    """Encode the record of an update."""
    if record.step is None:
        yield TAG, plugin_data(PluginData.EPOCH), [json_of(fields_of(record, *OF_STEPS))]
        return
    body = {"epoch": record.epoch, **fields_of(record)}
    yield TAG, plugin_data(PluginData.EPOCH, options={"unit": "step"}), [json_of(body)]


def unit_of(data: PluginData) -> Unit:
    """Return what the updates of a run are counted in."""
    unit: Unit = checks.word(options(data).get("unit", "epoch"), get_args(Unit))
    return unit


def decode(update: int, unit: Unit, content: Any) -> Epoch:
    """Decode the record of an update."""
    body = checks.parsed(only_string(content))
    update = checks.epoch(update)
    in_steps = unit == "step"
    iterations = body.get("iterations")
    return Epoch(
        epoch=checks.epoch(checks.entry(body, "epoch")) if in_steps else update,
        wall_time=checks.amount(checks.entry(body, "wall_time"), 1e12),
        seconds=checks.amount(checks.entry(body, "seconds"), 1e9),
        cost_seconds=checks.amount(checks.entry(body, "cost_seconds"), 1e9),
        learning_rate=checks.number(checks.entry(body, "learning_rate")),
        logs=checks.numbers(checks.entry(body, "logs")),
        costs={name: checks.amount(cost, 1e9) for name, cost in checks.members(body.get("costs", {})).items()},
        notes=checks.several(body.get("notes", []), checks.text),
        once_seconds=checks.amount(body.get("once_seconds", 0.0), 1e9),
        resumed=checks.flag(body.get("resumed", False)),
        step=update if in_steps else None,
        ends_epoch=checks.flag(body.get("ends_epoch", True)),
        iterations=None if iterations is None else checks.whole(iterations),
    )
