"""The answer of the route `predictions`: what the model predicts for the rows of the probe at one update."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.prediction_metrics import (
    MAX_MATRIX_CLASSES,
    Cells,
    cells,
    confusion_matrix,
    errors,
    is_whole,
    matrix_classes,
    predicted_classes,
    slice_rows,
)
from keras_xai.analysis.predictions import (
    at_update,
    gallery_rows,
    lost_since,
    not_finite,
    output_name,
    sentence,
    shown_output,
    slices_of,
    why_none,
)
from keras_xai.figures.predictions import metrics_of
from keras_xai.plugin.framing import framed
from keras_xai.records import ProbePredictions
from keras_xai.run import Run

MAX_CONFUSIONS = 20  # pairs of classes that are listed, the most frequent first
MAX_TABLE_ROWS = 200  # classes or labels that have a row of metrics


def predictions(run: Run, epoch: int | None) -> bytes:
    """Return the predictions at an update: words and metrics in the header, the figures of every recorded row as arrays.

    `prediction`, `true` (B) or (B, K), `probability` likewise, `true_probability`, `loss`, `right` and `row` (B). The header's
    `names` are those of classes, labels or outputs that occur, by their numbers; `gallery` are the rows of the probe that the
    gallery shows, in its order. A run without predictions has no `epoch`, and says why in `absent`.
    """
    record = at_update(run, epoch)
    if record is None:
        return framed({"epoch": None, "absent": why_none(run)}, {})
    output = shown_output(run, record) if record.answer == "value" else 0
    header: dict[str, Any] = {
        "epoch": record.update,
        "sentence": sentence(run, epoch),
        "finite": not not_finite(record) and lost_since(run, epoch) is None,
        "answer": record.answer,
        "binary": record.answer == "class" and record.classes == 2,
        "classes": record.classes,
        "size": record.size,
        "unit": record.unit,
        "shown": output,
        "names": {index: output_name(run, record, index) for index in _occurring(record)},
        "matrices": [_matrix(record, label) for label in _labels(record)],
        "confusions": _confusions(record),
        "metrics": _metrics(record),
        "errors": _errors(record),
        "predicted": _predicted(record),
        "slices": [row._asdict() for row in slice_rows(record, slices_of(run, record))],
        "gallery": gallery_rows(run, record),
        "stored": run.probe is None or run.probe.x is not None,
    }
    arrays: dict[str, NDArray[Any]] = {"row": record.row_numbers.astype(np.int32)}
    for name in ("right", "true_probability", "loss", "prediction", "probability", "true"):
        values = getattr(record, name)
        if values is not None:
            arrays[name] = values
    return framed(header, arrays)


def _labels(record: ProbePredictions) -> range:
    """Return the numbers of the labels that have a confusion matrix."""
    if record.answer == "value":
        return range(0)
    return range(min(record.classes, MAX_TABLE_ROWS)) if record.answer == "labels" else range(1)


def _occurring(record: ProbePredictions) -> list[int]:
    """Return the numbers of all labels or outputs, or of the classes that are true or predicted, or could be shown."""
    if record.answer != "class":
        return list(range(min(record.classes, MAX_TABLE_ROWS)))
    numbers = [np.arange(min(record.classes, MAX_MATRIX_CLASSES))]
    numbers += [values for values in (record.true, record.prediction) if values is not None]
    counted = cells(record)
    if counted is not None:
        numbers += [counted.true, counted.predicted]
    occurring = np.unique(np.concatenate(numbers).astype(np.int64))
    return [int(number) for number in occurring if number >= 0]


def _matrix(record: ProbePredictions, label: int) -> dict[str, Any] | None:
    """Return the confusion matrix of some classes, or of one label; None where nothing is counted."""
    counted = cells(record, label)
    if counted is None or not counted.total or not is_whole(record):
        return None
    classes = matrix_classes(counted, 2 if record.answer == "labels" else record.classes)
    counts, shares = confusion_matrix(counted, classes)
    return {"classes": classes, "counts": counts, "shares": shares}


def _confusions(record: ProbePredictions) -> list[dict[str, int]]:
    """Return the pairs of a true and another predicted class, the most frequent first."""
    counted = cells(record) if record.answer == "class" else None
    if counted is None:
        return []
    wrong = Cells(*(column[:MAX_CONFUSIONS] for column in counted.wrong))
    return [
        {"true": int(true), "predicted": int(predicted), "count": int(count)}
        for true, predicted, count in zip(*wrong, strict=True)
    ]


def _metrics(record: ProbePredictions) -> list[dict[str, float]]:
    """Return precision, recall, F1 and support by class or label; of very many the lowest F1."""
    metrics = None if record.answer == "value" else metrics_of(record)
    if metrics is None:
        return []
    order = np.arange(len(metrics.classes))
    if len(order) > MAX_TABLE_ROWS:
        order = np.sort(np.argsort(np.nan_to_num(metrics.f1, nan=-1), kind="stable")[:MAX_TABLE_ROWS])
    rows = []
    for k in order.tolist():
        figures = {"precision": metrics.precision[k], "recall": metrics.recall[k], "f1": metrics.f1[k]}
        numbers = {name: float(value) for name, value in figures.items()}
        rows.append({"index": int(metrics.classes[k]), **numbers, "support": int(metrics.support[k])})
    return rows


def _predicted(record: ProbePredictions) -> list[dict[str, float]]:
    """Return the predicted classes of rows without labels, the most frequent first."""
    shares = predicted_classes(record)
    if shares is None:
        return []
    order = np.argsort(-shares.counts, kind="stable")[:MAX_TABLE_ROWS].tolist()
    return [
        {"index": int(shares.classes[k]), "count": int(shares.counts[k]), "certainty": float(shares.certainty[k])}
        for k in order
    ]


def _errors(record: ProbePredictions) -> list[dict[str, float]]:
    """Return the errors of every output of numbers."""
    measured = errors(record)
    if measured is None:
        return []
    columns = zip(*measured, strict=True)
    return [
        {"rmse": float(rmse), "mae": float(mae), "r2": float(r2), "count": int(count)}
        for rmse, mae, r2, count in columns
    ]
