"""`TrainingFlags` and `DataScreen` on the wire: one JSON string each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value, only_string
from keras_xai.training_records import (
    RULES,
    SCREEN_STATISTICS,
    Copies,
    DataScreen,
    TrainingFlag,
    TrainingFlags,
)
from keras_xai.updates import BEFORE

TAG = f"{PLUGIN_NAME}/training/flags"
TAG_OF_SCREEN = f"{PLUGIN_NAME}/training/screen"
SOURCES = ("live rows", "probe rows")


def encode(record: TrainingFlags) -> Iterator[Value]:
    """Encode the flags of an update."""
    data = plugin_data(PluginData.TRAINING_FLAGS, options={"thresholds": dict(record.thresholds)})
    yield TAG, data, [json_of({"flags": record.flags, "unjudged": record.unjudged})]


def thresholds_of(data: PluginData) -> Mapping[str, float]:
    """Return the thresholds, which all updates of a run have in common."""
    return checks.numbers(checks.entry(options(data), "thresholds"))


def decode(update: int, thresholds: Mapping[str, float], content: Any) -> TrainingFlags:
    """Decode the flags of an update."""
    body = checks.parsed(only_string(content))
    unjudged = checks.members(checks.entry(body, "unjudged"))
    return TrainingFlags(
        epoch=checks.epoch(update),
        flags=checks.several(checks.entry(body, "flags"), lambda flag: _flag(flag, update)),
        unjudged={checks.word(kind, RULES): checks.text(reason) for kind, reason in unjudged.items()},
        thresholds=thresholds,
    )


def _flag(flag: Any, update: int) -> TrainingFlag:
    name, kind, since, value, limit, sentence, advice = checks.several(flag, lambda entry: entry, 7)
    return TrainingFlag(
        name=checks.text(name),
        kind=checks.word(kind, RULES),
        since=checks.whole(since, BEFORE, update + 1),
        value=checks.number(value),
        limit=checks.number(limit),
        sentence=checks.text(sentence),
        advice=checks.text(advice),
    )


def encode_screen(record: DataScreen) -> Iterator[Value]:
    """Encode the screen of a run's data."""
    body = {
        "names": record.names,
        "power": record.power,
        "statistic": record.statistic,
        "tells": record.tells,
        "constant": record.constant,
        "copies": [copies.names for copies in record.copies],
        "rows": record.rows,
        "source": record.source,
        "classes": record.classes,
    }
    yield TAG_OF_SCREEN, plugin_data(PluginData.TRAINING_FLAGS), [json_of(body)]


def decode_screen(update: int, constants: tuple[()], content: Any) -> DataScreen:
    """Decode the screen of a run's data."""
    body = checks.parsed(only_string(content))
    names = checks.several(checks.entry(body, "names"), checks.text)
    count = len(names)
    power = np.asarray(checks.several(checks.entry(body, "power"), checks.number, count), np.float32)
    copies = checks.several(checks.entry(body, "copies"), lambda group: Copies(checks.several(group, checks.text)))
    if not all(set(group.names) <= set(names) for group in copies):
        raise Unreadable("copies of a column that is not screened")
    return DataScreen(
        epoch=checks.epoch(update),
        names=names,
        power=checks.shares(power, (count,)),
        statistic=checks.word(checks.entry(body, "statistic"), SCREEN_STATISTICS),
        tells=np.asarray(checks.several(checks.entry(body, "tells"), lambda t: checks.whole(t, -1), count), np.int64),
        constant=np.asarray(checks.several(checks.entry(body, "constant"), checks.flag, count), bool),
        copies=copies,
        rows=checks.whole(checks.entry(body, "rows")),
        source=checks.word(checks.entry(body, "source"), SOURCES),
        classes=checks.several(checks.entry(body, "classes"), checks.text),
    )
