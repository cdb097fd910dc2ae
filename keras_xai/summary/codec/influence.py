"""`RowInfluences` on the wire: a JSON string with layer, loss and alerts, then the arrays that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import ALERT_SOURCES, AlertReference, InfluenceRanks, RowInfluences
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/influence"
MAX_NUMBER = 1 << 31  # of a live row in its source
MAX_ROWS, MAX_RANKS, MAX_ALERTS = 1 << 16, 1 << 7, 1 << 9  # limits against forged files: viewers draw a row for each
_SIDES = ("proponents", "opponents")


def encode(record: RowInfluences) -> Iterator[Value]:
    """Encode an update."""
    alerts = [[alert.source, alert.event, list(alert.features)] for alert in record.alerts]
    body = {"layer": record.layer, "loss": record.loss, "checkpoints": record.checkpoints, "alerts": alerts}
    arrays: dict[str, NDArray[Any]] = {"live": np.asarray(record.live, np.int32)}
    if record.labels is not None:
        arrays["labels"] = np.asarray(record.labels, np.float32)
    for name, ranks in (("probe", record.probe), ("alerts", record.on_alerts)):
        for side in _SIDES:
            arrays[f"{name} {side}"] = np.asarray(getattr(ranks, side), np.int32)
            arrays[f"{name} {side} scores"] = np.asarray(getattr(ranks, f"{side[:-1]}_scores"), np.float32)
    data = plugin_data(PluginData.INFLUENCE)
    yield TAG, data, [json_of({"arrays": list(arrays), **body}), *map(pack, arrays.values())]


def decode(epoch: int, constants: tuple[()], blobs: Any) -> RowInfluences:
    """Decode an update."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    names = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(names, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    live = checks.wholes(checks.entry(arrays, "live"), (None,), 0, MAX_NUMBER)
    if not 0 < len(live) <= MAX_ROWS or len(np.unique(live)) < len(live):
        raise Unreadable(f"expected 1 to {MAX_ROWS:,} different live rows, got {len(live):,}")
    labels = arrays.get("labels")
    alerts = checks.several(checks.entry(body, "alerts"), _alert)
    if len(alerts) > MAX_ALERTS:
        raise Unreadable(f"expected {MAX_ALERTS} alerts at most, got {len(alerts):,}")
    return RowInfluences(
        epoch=checks.epoch(epoch),
        layer=checks.text(checks.entry(body, "layer")),
        loss=checks.text(checks.entry(body, "loss")),
        live=live,
        labels=None if labels is None else checks.floats(labels, live.shape),
        checkpoints=checks.whole(checks.entry(body, "checkpoints"), 1),
        probe=_ranks(arrays, "probe", None, live),
        alerts=alerts,
        on_alerts=_ranks(arrays, "alerts", len(alerts), live),
    )


def _alert(entry: Any) -> AlertReference:
    source, event, features = checks.several(entry, lambda part: part, 3)
    names = checks.several(features, checks.text)
    return AlertReference(checks.word(source, ALERT_SOURCES), checks.epoch(event), names)


def _ranks(arrays: dict[str, NDArray[Any]], name: str, count: int | None, live: NDArray[np.int64]) -> InfluenceRanks:
    """Return the rankings on the rows of the probe, or on alerts."""
    columns: list[NDArray[Any]] = []
    for side, sign in zip(_SIDES, (1, -1), strict=True):
        rows = checks.wholes(checks.entry(arrays, f"{name} {side}"), (count, None), -1, MAX_NUMBER)
        scores = checks.floats(checks.entry(arrays, f"{name} {side} scores"), rows.shape)
        if len(rows) > MAX_ROWS or rows.shape[1] > MAX_RANKS:
            raise Unreadable(f"expected at most {MAX_RANKS} ranks of {MAX_ROWS:,} rows, got shape {rows.shape}")
        if not np.isin(rows, [-1, *live]).all():
            raise Unreadable("expected the numbers of live rows, or -1")
        if not (np.isnan(scores) == (rows < 0)).all() or (sign * scores < 0).any() or np.isinf(scores).any():
            raise Unreadable(f"expected finite scores of {side}, and NaN where there is none")
        columns += [rows, scores]
    if len(columns[0]) != len(columns[2]):
        raise Unreadable("expected as many proponents as opponents")
    return InfluenceRanks(*columns)
