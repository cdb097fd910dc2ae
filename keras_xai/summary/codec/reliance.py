"""`Reliance` on the wire: a float32 table [1 + R, 9] of the counts of rows, then a feature's number and figures a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import BLINDNESSES, RELIANCE_FIGURES, Reliance
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/reliance"
COLUMNS = 1 + len(RELIANCE_FIGURES)
MAX_NUMBER = 2**24  # that float32 holds exactly
# Of each figure; a gap is a difference of two shares.
RANGES: dict[str, tuple[float, float]] = {
    "z": (0.0, np.inf),
    "gap": (-2.0, 2.0),
    "live": (-1.0, 1.0),
    "probe": (-1.0, 1.0),
    "live_share": (0.0, 1.0),
    "probe_share": (0.0, 1.0),
    "live_error": (0.0, np.inf),
    "probe_error": (0.0, np.inf),
}
ROUNDING = 1e-3


def encode(record: Reliance) -> Iterator[Value]:
    """Encode an update."""
    figures = [getattr(record, name) for name in RELIANCE_FIGURES]
    rows = np.stack([np.asarray(record.features, np.float64), *figures], 1)
    counts = np.zeros((1, COLUMNS))
    counts[0, :4] = record.strata, record.live_rows, record.probe_rows, BLINDNESSES.index(record.blind)
    data = plugin_data(PluginData.RELIANCE, names=record.names, limit=record.limit)
    yield TAG, data, np.concatenate([counts, rows]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all updates have in common."""

    names: tuple[str, ...]
    limit: float

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        if not data.names or not data.limit > 0:
            raise Unreadable(f"expected names and a limit above 0, got {len(data.names)} names and {data.limit:g}")
        return cls(tuple(data.names), data.limit)


def decode(epoch: int, constants: Constants, table: Any) -> Reliance:
    """Decode an update."""
    table = checks.floats(table, (None, COLUMNS))
    if not 1 <= len(table) <= 1 + len(constants.names):
        raise Unreadable(f"expected at most {len(constants.names)} features, got {len(table) - 1}")
    counts = checks.wholes(table[0, :4], (4,), 0, MAX_NUMBER).tolist()
    features = checks.wholes(table[1:, 0], (None,), 0, len(constants.names))
    if len(set(features.tolist())) < len(features):
        raise Unreadable("expected each feature once")
    figures: dict[str, Any] = {}
    for column, name in enumerate(RELIANCE_FIGURES, 1):
        figures[name] = _within(table[1:, column], name, *RANGES[name])
    strata, live_rows, probe_rows, blindness = counts
    if blindness >= len(BLINDNESSES):
        raise Unreadable(f"expected a reason under {len(BLINDNESSES)}, got {blindness}")
    return Reliance(
        epoch=checks.epoch(epoch),
        names=constants.names,
        features=features,
        strata=strata,
        live_rows=live_rows,
        probe_rows=probe_rows,
        blind=BLINDNESSES[blindness],
        limit=constants.limit,
        **figures,
    )


def _within(values: NDArray[Any], name: str, low: float, high: float) -> NDArray[Any]:
    """Return figures that are between two bounds, or NaN."""
    if np.isinf(values).any() or (values < low - ROUNDING).any() or (values > high + ROUNDING).any():
        raise Unreadable(f"expected {name} from {low:g} to {high:g}, or NaN")
    return values
