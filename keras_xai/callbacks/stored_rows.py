"""The inputs of rows that are looked at beside the fixed gallery, written once each and within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.outputs.dense import Dense
from keras_xai.probe import Probe
from keras_xai.records import Mappings, Part, StoredSamples
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, box_means, kind_of_input
from keras_xai.summary.codec.probe import coded_texts
from keras_xai.summary.reader import Log
from keras_xai.tree import leaves, like

MAX_ROWS = 512  # of a run
MAX_BYTES = 1 << 23  # of a run, before they are compressed
MAX_SIDE = 128  # pixels of an image
MAX_VOXELS = 1 << 16  # of a volume


class StoredRows:
    """Writes inputs and labels of rows of one probe, each row once.

    Args:
        probe: the whole one.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._written: set[int] = set()
        self._may_write = probe.store == "inputs" and probe.x is not None
        self._bytes = 0
        self._words: list[list[str] | None] = []
        if self._may_write:
            self._arrays = [coded_texts(array) for array in probe.inputs]
            self._words = [words for _, words in self._arrays]
            has_texts = any(words is not None for words in self._words)
            self._may_write = not has_texts or probe.is_columns

    def resume(self, past: Log | None) -> None:
        """Leave out the rows that stand in the records of the run that is continued, and count their bytes."""
        stored = None if past is None else past.stored_samples
        if stored is not None and len(stored.rows):
            self._written |= set(stored.rows.tolist())
            self._bytes += len(stored.rows) * self._row_bytes(leaves(stored.x))

    def record(self, update: int, part: Part, rows: Iterable[int]) -> StoredSamples | None:
        """Return a record of those of some rows that are not written yet; None where there are none, or no room.

        Args:
            update: its number.
            part: what they are written for.
            rows: row numbers of the probe, the most important first.
        """
        new = [int(row) for row in rows if int(row) not in self._written][: MAX_ROWS - len(self._written)]
        if not self._may_write or not new:
            return None
        numbers = np.asarray(new, np.int64)
        arrays = [self._reduced(codes[numbers], k) for k, (codes, _) in enumerate(self._arrays)]
        per_row = self._row_bytes(arrays)
        room = (MAX_BYTES - self._bytes) // max(1, per_row)
        if room < len(numbers):
            numbers, arrays = numbers[:room], [array[:room] for array in arrays]
        if not len(numbers):
            return None
        self._bytes += per_row * len(numbers)
        self._written |= set(numbers.tolist())
        probe = self._probe
        has_maps = isinstance(probe.output, Dense)
        return StoredSamples(
            epoch=update,
            part=part,
            rows=numbers,
            x=like(probe.x, arrays),
            y=None if probe.y is None or has_maps else probe.y[numbers],
            classes=None if probe.classes is None else probe.classes[numbers],
            words=tuple(None if words is None else tuple(words) for words in self._words),
            kind=probe.kind,
        )

    def _row_bytes(self, arrays: Iterable[NDArray[Any]]) -> int:
        """Return the bytes that a row of some inputs takes in the file: one a pixel, four a number."""
        is_spatial = self._probe.kind in SPATIAL_KINDS
        return sum(array[0].size * (1 if is_spatial and array.ndim > 3 else 4) for array in arrays)

    def _reduced(self, samples: NDArray[np.generic], index: int) -> NDArray[np.generic]:
        """Return samples of an input, images and volumes averaged down to the size at which they are looked at."""
        probe = self._probe
        kind = "" if probe.is_columns else kind_of_input(probe.kind, probe.shapes[index], probe.shapes)
        if kind not in SPATIAL_KINDS:
            return samples
        shape = samples.shape[1:]
        axes = SpatialShape.of_kind(kind, shape).axes
        sides = [1] * len(shape)
        if kind == "image":
            side = -(-max(shape[axis - 1] for axis in axes) // MAX_SIDE)
            sides = [side if axis + 1 in axes else 1 for axis in range(len(shape))]
        else:
            while np.prod([-(-shape[axis - 1] // sides[axis - 1]) for axis in axes]) > MAX_VOXELS:
                longest = max(axes, key=lambda axis: -(-shape[axis - 1] // sides[axis - 1]))
                sides[longest - 1] *= 2
        return samples if max(sides) == 1 else box_means(samples.astype(np.float32), sides)


class LabelQualities:
    """The mean over updates of each row's label quality, see `records.Mappings`: the lowest are suspects."""

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None

    def add(self, record: Mappings) -> None:
        """Count those (B) of an update; NaN where a row has no label."""
        values = np.asarray(record.label_quality, np.float64)
        self._sum = values if self._sum is None or self._sum.shape != values.shape else self._sum + values

    def lowest(self, count: int) -> list[int]:
        """Return at most so many rows, the lowest mean first."""
        if self._sum is None:
            return []
        order = np.argsort(self._sum, kind="stable")
        rows: list[int] = order[np.isfinite(self._sum[order])][:count].tolist()
        return rows
