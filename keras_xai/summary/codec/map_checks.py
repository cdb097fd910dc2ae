"""`MapCheck` on the wire: a float32 table [B, 2] of deletion and sensitivity under a tag of its method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.records import MapCheck
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/map_checks/"  # and the method


def encode(record: MapCheck) -> Iterator[Value]:
    """Encode the checks of one method."""
    constants = {"spread": record.spread, "draws": record.draws, "orders": record.orders}
    data = plugin_data(PluginData.MAP_CHECKS, method=record.method, options=constants)
    yield TAG + record.method, data, np.stack([record.deletion, record.sensitivity], 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all checks of one method have in common."""

    method: str
    spread: float
    draws: int
    orders: int

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        constants = options(data)
        spread = checks.amount(checks.entry(constants, "spread"))
        draws, orders = (checks.whole(checks.entry(constants, name), 1) for name in ("draws", "orders"))
        return cls(checks.text(data.method), spread, draws, orders)


def decode(epoch: int, constants: Constants, table: Any) -> MapCheck:
    """Decode the checks of one update."""
    table = checks.floats(table, (None, 2))
    if (table[:, 1] < 0).any():
        raise Unreadable("expected sensitivities of 0 or more, got one below")
    return MapCheck(
        epoch=checks.epoch(epoch),
        method=constants.method,
        deletion=table[:, 0],
        sensitivity=table[:, 1],
        spread=constants.spread,
        draws=constants.draws,
        orders=constants.orders,
    )
