"""`Shares` on the wire: a float32 table [F + 2, 2] of share and direction; then the score; then the digest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_xai.records import Digest, Shares, Source
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import named_source, options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/importance/"  # and the source


def encode(record: Shares) -> Iterator[Value]:
    """Encode an update of one source."""
    direction = np.zeros(len(record.names)) if record.direction is None else record.direction
    # float32 holds whole numbers of 24 bits exactly
    digest = (np.nan, np.nan) if record.digest is None else record.digest
    rows = np.stack([record.share, direction], 1)
    table = np.concatenate([rows, [[record.score, 0.0], digest]]).astype(np.float32)
    constants = {"burn_in": record.burn_in, "attribution": record.method}
    data = plugin_data(
        PluginData.IMPORTANCE, names=record.names, method=record.source, limit=record.limit, options=constants
    )
    yield TAG + record.source, data, table


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all updates of one source have in common."""

    source: Source
    names: tuple[str, ...]
    limit: float
    burn_in: int
    method: str

    @classmethod
    def of(cls, data: PluginData, source: Source) -> Constants:
        constants = options(data)
        if not data.names or not data.limit > 0:
            raise Unreadable(f"expected names and a limit above 0, got {len(data.names)} names and {data.limit:g}")
        burn_in, method = checks.whole(constants.get("burn_in", 8)), checks.text(constants.get("attribution", ""))
        return cls(named_source(data, source), tuple(data.names), data.limit, burn_in, method)


def decode(epoch: int, constants: Constants, table: Any) -> Shares:
    """Decode an update of one source."""
    count = len(constants.names)
    table = checks.floats(table, (count + 2, 2))
    # Of the source "data" it is a movement in units of a feature's usual range, and can be above 1.
    share = checks.shares(table[:-2, 0], (count,), 1e3 if constants.source == "data" else 1.0)
    score = float(table[-2, 0])
    if score < 0 or math.isinf(score):
        raise Unreadable(f"expected a score that is finite and not below 0, or NaN, got {score:g}")
    digest = None
    if not np.isnan(table[-1]).all():
        digest = Digest(*checks.wholes(table[-1], (2,), 0, 2**24).tolist())
    direction = checks.wholes(table[:-2, 1], (count,), -1, 2)
    return Shares(
        epoch=checks.epoch(epoch),
        source=constants.source,
        names=constants.names,
        share=share,
        score=score,
        limit=constants.limit,
        direction=direction.astype(np.int8),
        burn_in=constants.burn_in,
        method=constants.method,
        digest=digest,
    )
