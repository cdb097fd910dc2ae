"""`Alert` on the wire: one JSON string under a tag of its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_xai.records import VERDICTS, Alert, AlertSource, Carrier, Changed, FeatureMove
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec.json_body import body_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/alert/"  # and the series
# One alert of a series an epoch: rows that merely differ have one of their own beside a shortcut.
SERIES: dict[str, AlertSource] = {
    "clean": "clean",
    "live": "live",
    "data": "data",
    "gap": "gap",
    "gap/rows_differ": "gap",
    "rule": "rule",
}


def encode(record: Alert) -> Iterator[Value]:
    """Encode an alert."""
    series = "gap/rows_differ" if record.verdict == "rows differ" else record.source
    yield TAG + series, plugin_data(PluginData.ALERT, method=record.source), [body_of(record, "source")]


def constants(data: PluginData, series: str) -> AlertSource:
    """Return the constants that all alerts of a tag have in common: their source."""
    if data.method != SERIES[series]:
        raise Unreadable(f"expected the source {SERIES[series]}, got {data.method!r}")
    return SERIES[series]


def decode(epoch: int, source: AlertSource, content: Any) -> Alert:
    """Decode an alert."""
    body = checks.parsed(only_string(content))
    return Alert(
        epoch=checks.epoch(epoch),
        source=source,
        verdict=checks.word(checks.entry(body, "verdict"), VERDICTS),
        learning_rate_rising=checks.flag(checks.entry(body, "learning_rate_rising")),
        features=checks.several(checks.entry(body, "features"), _move),
        score=checks.number(body.get("score")),
        limit=checks.number(body.get("limit")),
        event=None if body.get("event") is None else checks.epoch(body["event"]),
        changed=None if body.get("changed") is None else _changed(body["changed"]),
        rows=checks.several(body.get("rows", []), _carrier),
        sentence=checks.text(body.get("sentence", "")),
    )


def _changed(counts: Any) -> Changed:
    """Decode how many of the live rows differ."""
    rows, labels, of = checks.several(counts, lambda count: checks.whole(count, -1), 3)
    if not max(rows, labels) <= of:
        raise Unreadable(f"expected at most {of} rows that differ, got {max(rows, labels)}")
    return Changed(rows, labels, of)


def _move(feature: Any) -> FeatureMove:
    """Decode one feature of an alert."""
    name, before, after, direction, z = checks.several(feature, lambda entry: entry, 5)
    return FeatureMove(
        name=checks.text(name),
        before=checks.number(before),
        after=checks.number(after),
        direction=checks.whole(direction, -1, 2),
        z=checks.number(z),
    )


def _carrier(row: Any) -> Carrier:
    """Decode one of the rows that carry a feature."""
    name, number, label, share, value = checks.several(row, lambda entry: entry, 5)
    return Carrier(
        checks.text(name), checks.whole(number), checks.number(label), checks.number(share), checks.number(value)
    )
