"""`ProbePredictions` as blobs: a JSON string, which names the arrays behind it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.calibration import CERTAINTY_BINS, TRUTH_BINS
from keras_xai.records import ANSWERS, Answer, PredictionCounts, ProbePredictions
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/predictions"
# Limits against forged files: viewers go through every row, label and cell.
MAX_ROWS, MAX_COLUMNS, MAX_CELLS, MAX_VALUES = 1 << 16, 1 << 16, 1 << 16, 1 << 11
UNITS = ("", "pixel", "voxel", "token", "box")  # that a dense output has a prediction for
_MAX_CLASS = 2**31
_OF_ROWS = ("right", "true_probability", "loss")  # (B) each


def encode(record: ProbePredictions) -> Iterator[Value]:
    """Encode a record: a JSON string with the single numbers, then a map for each array that it names."""
    arrays: dict[str, NDArray[Any]] = {"rows": np.stack([getattr(record, name) for name in _OF_ROWS], 1)}
    optional = {
        "prediction": record.prediction,
        "probability": record.probability,
        "true": record.true,
        "numbers": record.rows,
        "slice_loss": record.slice_loss,
    }
    arrays |= {name: array for name, array in optional.items() if array is not None}
    body: dict[str, Any] = {}
    if record.counts is not None:
        body["total"] = record.counts.total
        for name in ("cells", "certainty_bins", "truth_bins"):
            arrays[name] = getattr(record.counts, name)
    constants = {"answer": record.answer, "classes": record.classes, "size": record.size}
    more = {"unit": record.unit, "margin": record.margin}
    data = plugin_data(
        PluginData.PREDICTIONS, options=constants | {name: value for name, value in more.items() if value}
    )
    blobs = [pack(_as_written(array)) for array in arrays.values()]
    yield TAG, data, [json_of({"arrays": list(arrays), **body}), *blobs]


def _as_written(array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers as int32, all others as float32."""
    return array.astype(np.int32 if array.dtype.kind in "iub" else np.float32)


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all predictions of a run have in common."""

    answer: Answer
    classes: int
    size: int
    unit: str
    margin: bool

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        """Check the constants of the tag."""
        constants = options(data)
        return cls(
            answer=checks.word(checks.entry(constants, "answer"), ANSWERS),
            classes=checks.whole(checks.entry(constants, "classes"), 1, _MAX_CLASS),
            size=checks.whole(checks.entry(constants, "size"), 1, _MAX_CLASS),
            unit=checks.word(constants.get("unit", ""), UNITS),
            margin=checks.flag(constants.get("margin", False)),
        )


def decode(epoch: int, constants: Constants, blobs: Any) -> ProbePredictions:
    """Decode a record."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    body = checks.parsed(bytes(blobs[0]))
    names = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(names, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    figures = checks.floats(checks.entry(arrays, "rows"), (None, len(_OF_ROWS)))
    rows = len(figures)
    if not 0 < rows <= min(MAX_ROWS, constants.size):
        raise Unreadable(f"expected at most {min(MAX_ROWS, constants.size):,} rows, got {rows:,}")
    checks.shares(figures[:, :2], (rows, 2))
    return ProbePredictions(
        epoch=checks.epoch(epoch),
        answer=constants.answer,
        classes=constants.classes,
        size=constants.size,
        right=figures[:, 0],
        true_probability=figures[:, 1],
        loss=figures[:, 2],
        prediction=_answers(constants, arrays.get("prediction"), rows, -1),
        probability=_probability(constants, arrays.get("probability"), rows),
        true=_answers(constants, arrays.get("true"), rows, 0),
        counts=_counts(constants, body, arrays),
        rows=_row_numbers(constants, arrays.get("numbers"), rows),
        slice_loss=_slice_loss(arrays.get("slice_loss")),
        unit=constants.unit,
        margin=constants.margin,
    )


def _answers(constants: Constants, array: Any, rows: int, low: int) -> NDArray[Any] | None:
    """Check predictions or labels: classes (B); 0 or 1, or numbers, of (B, K)."""
    if array is None:
        return None
    if constants.answer == "class":
        return checks.wholes(array, (rows,), low, constants.classes)
    shape = rows, _columns(constants)
    return checks.wholes(array, shape, low, 2) if constants.answer == "labels" else checks.floats(array, shape)


def _probability(constants: Constants, array: Any, rows: int) -> NDArray[np.floating[Any]] | None:
    if array is None:
        return None
    return checks.shares(array, (rows,) if constants.answer == "class" else (rows, _columns(constants)))


def _columns(constants: Constants) -> int:
    """Return the number of labels or numbers of a row."""
    if constants.classes > MAX_COLUMNS:
        raise Unreadable(f"expected at most {MAX_COLUMNS:,} labels or numbers a row, got {constants.classes:,}")
    return constants.classes


def _row_numbers(constants: Constants, array: Any, rows: int) -> NDArray[np.int64] | None:
    return None if array is None else checks.wholes(array, (rows,), 0, constants.size)


def _slice_loss(array: Any) -> NDArray[np.floating[Any]] | None:
    if array is None:
        return None
    loss = checks.floats(array, (None,))
    if len(loss) > MAX_VALUES:
        raise Unreadable(f"expected values of at most {MAX_VALUES:,} slices, got {len(loss):,}")
    return loss


def _counts(constants: Constants, body: Mapping[str, Any], arrays: Mapping[str, Any]) -> PredictionCounts | None:
    if "total" not in body:
        return None
    total = checks.whole(body["total"])
    cells = checks.wholes(checks.entry(arrays, "cells"), (None, 4), -1, _MAX_CLASS)
    if len(cells) > MAX_CELLS:
        raise Unreadable(f"expected at most {MAX_CELLS:,} cells, got {len(cells):,}")
    many = constants.answer == "labels"
    labels, classes = (_columns(constants), 2) if many else (1, constants.classes)
    checks.wholes(cells[:, 0], (len(cells),), 0, labels)
    checks.wholes(cells[:, 1], (len(cells),), 0, classes)
    checks.wholes(cells[:, 2], (len(cells),), -1, classes)
    checks.wholes(cells[:, 3], (len(cells),), 0, _MAX_CLASS)
    bins = checks.finite(checks.entry(arrays, "certainty_bins"), (CERTAINTY_BINS, 3))
    if (bins < 0).any() or (bins[:, 1:] > bins[:, :1] * 1.001 + 1e-3).any():
        raise Unreadable("expected bins of counts, and of sums that are no more than these")
    truth = checks.wholes(checks.entry(arrays, "truth_bins"), (TRUTH_BINS,), 0, _MAX_CLASS)
    return PredictionCounts(total, cells, bins, truth)


def shape(record: ProbePredictions) -> Hashable:
    """Return the shapes that records must share to be stacked over updates."""
    arrays = (record.right, record.prediction, record.probability, record.true)
    return tuple(None if array is None else array.shape for array in arrays)
