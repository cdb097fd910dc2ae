"""`StepSizes` on the wire: one JSON string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_xai.records import STEP_LIMITS, StepSizes
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/step_sizes"


def encode(record: StepSizes) -> Iterator[Value]:
    """Encode the steps of an update."""
    body = {"multiples": list(record.multiples), "losses": list(record.losses), "missing": record.missing}
    yield TAG, plugin_data(PluginData.STEP_SIZES), [json_of(body)]


def decode(epoch: int, constants: object, content: Any) -> StepSizes:
    """Decode the steps of an update."""
    body = checks.parsed(only_string(content))
    multiples = checks.several(checks.entry(body, "multiples"), checks.amount)
    lowest, highest = STEP_LIMITS
    if not all(lowest <= multiple <= highest for multiple in multiples):
        raise Unreadable(f"expected multiples of a step from {lowest:g} to {highest:g}")
    losses = checks.several(checks.entry(body, "losses"), checks.number, len(multiples))
    return StepSizes(checks.epoch(epoch), multiples, losses, checks.text(checks.entry(body, "missing")))
