"""`Gradients` on the wire: a float32 table [V, statistics + flags + steps + bins], and why nothing was captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import FLAGS, STATISTICS, Flag, Gradients
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/weight_gradients"
TAG_OF_MISSING = f"{PLUGIN_NAME}/weight_gradients/missing"


def encode(record: Gradients) -> Iterator[Value]:
    """Encode gradients, and the reason where none were captured."""
    since = np.full((len(record.names), len(FLAGS)), np.nan)
    for flag in record.flags:
        since[record.names.index(flag.name), FLAGS.index(flag.kind)] = flag.since
    columns = [np.stack([record.statistics[s] for s in STATISTICS], 1), since]
    columns += [np.full((len(record.names), 1), record.steps), record.histogram]
    constants = {"sizes": list(record.sizes), "thresholds": dict(record.thresholds)}
    data = plugin_data(PluginData.GRADIENTS, names=record.names, bin_edges=record.bin_edges.tolist(), options=constants)
    yield TAG, data, np.concatenate(columns, 1).astype(np.float32)
    if record.missing:
        yield TAG_OF_MISSING, plugin_data(PluginData.GRADIENTS_NOTE), [record.missing.encode()]


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all gradients of a run have in common."""

    names: tuple[str, ...]
    edges: NDArray[np.float32]
    sizes: tuple[int, ...]
    thresholds: Mapping[str, float]

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        constants, names = options(data), checks.unique(data.names)
        edges = np.asarray(data.bin_edges, np.float32)
        if len(edges) == 1 or not (np.isfinite(edges).all() and (edges > 0).all() and (np.diff(edges) > 0).all()):
            raise Unreadable(f"expected rising edges of bins above 0, got {len(edges)} others")
        sizes = checks.several(constants.get("sizes", []), checks.whole)
        if len(sizes) not in (0, len(names)):
            raise Unreadable(f"expected the sizes of {len(names)} variables, got {len(sizes)}")
        return cls(names, edges, sizes, checks.numbers(constants.get("thresholds", {})))


def decode(epoch: int, constants: Constants, table: Any, missing: str = "") -> Gradients:
    """Decode gradients; `missing`, which is decoded from a tag of its own, says why none were captured."""
    epoch, names = checks.epoch(epoch), constants.names
    bins = max(0, len(constants.edges) - 1)
    # A file of an older version, with fewer kinds of flags, has fewer columns.
    columns = np.shape(table)[1] if np.ndim(table) == 2 else 0
    flags = min(len(FLAGS), max(0, columns - len(STATISTICS) - 1 - bins))
    table = checks.floats(table, (len(names), len(STATISTICS) + flags + 1 + bins))
    statistics, since, steps, counts = np.split(table, np.cumsum([len(STATISTICS), flags, 1]), axis=1)
    steps = checks.wholes(steps[:, 0], (len(names),), 0, 2**31)
    histogram = checks.finite(counts, (len(names), None))
    if (histogram < 0).any():
        raise Unreadable("expected counts in a histogram, got some below 0")
    raised = np.argwhere(~np.isnan(since))
    checks.wholes(since[~np.isnan(since)], (len(raised),), 0, int(np.float32(epoch)) + 1)
    return Gradients(
        epoch=epoch,
        names=names,
        statistics={name: statistics[:, k] for k, name in enumerate(STATISTICS)},
        histogram=histogram,
        bin_edges=constants.edges,
        steps=int(steps[0]) if len(names) else 0,
        flags=tuple(Flag(names[v], FLAGS[k], int(since[v, k])) for v, k in raised),
        missing=missing,
        sizes=constants.sizes,
        thresholds=constants.thresholds,
    )


def decode_missing(epoch: int, constants: object, content: Any) -> tuple[int, str]:
    """Decode an epoch, and the reason why no gradients were captured in it."""
    return checks.epoch(epoch), only_string(content).decode(errors="replace")
