"""The predictions of a run as they stood at an update: which record it is, one sentence on it, and the rows to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import count, percent, short
from keras_xai.analysis.mappings import has_prediction
from keras_xai.analysis.outputs import class_name
from keras_xai.analysis.prediction_metrics import NOT_FINITE, Errors, cells, errors, label_tables
from keras_xai.judgement import why_absent
from keras_xai.probe.gallery import balanced_rows
from keras_xai.probe.losses import SMALLEST_PROBABILITY
from keras_xai.recorded import Recorded
from keras_xai.records import Mappings, ProbePredictions, Slices
from keras_xai.updates import named

MAX_NAME = 40  # letters of a class name in a sentence
PLURALS = {"pixel": "pixels", "voxel": "voxels", "token": "tokens", "box": "boxes"}


def records(run: Recorded) -> Sequence[ProbePredictions]:
    """Return the predictions of every update; of an older run, which recorded none by themselves, those of its mappings."""
    if run.predictions is not None:
        return run.predictions.records
    return [_of_mappings(record) for record in run.mappings if not record.result.unit]


def _of_mappings(record: Mappings) -> ProbePredictions:
    result, finite = record.result, has_prediction(record.result)
    size = len(result.certainty)
    is_class, columns = result.answer == "class", (size, -1)
    true = result.label
    if true is not None and not is_class:
        true = np.asarray(true).reshape(columns)
    prediction = np.asarray(result.prediction)
    prediction = np.where(finite, prediction, NOT_FINITE) if is_class else prediction.reshape(columns)
    truth, right = np.asarray(result.confidence, np.float64), result.share_right
    return ProbePredictions(
        epoch=record.epoch,
        step=record.step,
        answer=result.answer,
        classes=result.classes,
        size=size,
        right=np.full(size, np.nan) if right is None else np.where(finite, right, np.nan),
        true_probability=truth,
        loss=-np.log(np.maximum(truth, SMALLEST_PROBABILITY)),
        prediction=prediction,
        probability=np.asarray(result.certainty, np.float64) if is_class else None,
        true=true,
    )


def at_update(run: Recorded, epoch: int | None) -> ProbePredictions | None:
    """Return the last predictions up to an update that are finite somewhere; None where none were recorded.

    Where none are earlier it is the first; where none is finite, that of the update itself.
    """
    recorded = records(run)
    if not recorded:
        return None
    nearest = position([record.update for record in recorded], epoch)
    return next((record for record in reversed(recorded[: nearest + 1]) if not _is_lost(record)), recorded[nearest])


def _is_lost(record: ProbePredictions) -> bool:
    """Return True where no output is finite."""
    return not_finite(record) == _total(record)


def lost_since(run: Recorded, epoch: int | None) -> int | None:
    """Return the update since when no output is finite, as it is at an update; None where some are."""
    recorded = records(run)
    numbers = [record.update for record in recorded]
    nearest = position(numbers, epoch) if numbers else -1
    if nearest < 0 or not _is_lost(recorded[nearest]):
        return None
    at = nearest
    while at > 0 and _is_lost(recorded[at - 1]):
        at -= 1
    return numbers[at]


def slices_of(run: Recorded, record: ProbePredictions) -> Slices | None:
    """Return the slices of the same update; None without."""
    return next((slices for slices in run.slices if slices.update == record.update), None)


def why_none(run: Recorded) -> str:
    """Return, as a clause, why a run has no predictions."""
    reasons = [note.text for note in run.notes if note.text.startswith("Predictions are not recorded: ")]
    if reasons:
        return reasons[0].partition(": ")[2].rstrip(".")
    callback = "ImportanceDrift"
    absent = why_absent(run, callback)
    if run.importance is not None:
        return "the run is of a version that did not record them"
    return f"{absent}, which records them, as Explain and ProbeMappings do"


def not_finite(record: ProbePredictions) -> int:
    """Return the number of rows, of a dense output of positions, whose outputs are not finite."""
    if record.counts is not None:
        return record.counts.total - round(float(record.counts.certainty_bins[:, 0].sum()))
    if record.answer == "value":
        values = record.loss if record.prediction is None else record.prediction
    else:
        values = record.probability if record.probability is not None else record.true_probability
    if values is None:
        return 0
    return int((~np.isfinite(np.asarray(values)).reshape(len(values), -1).all(1)).sum())


def output_name(run: Recorded, record: ProbePredictions, index: int) -> str:
    """Return the name of a class, a label or an output, or its number."""
    names = run.probe.class_names if run.probe is not None else None
    if names and 0 <= index < len(names):
        return class_name(run, index)
    noun = {"class": "", "labels": "label ", "value": "output "}[record.answer]
    return f"{noun}{index}"


def shown_output(run: Recorded, record: ProbePredictions) -> int:
    """Return the index of the output of several numbers that is explained, the first where that is not known."""
    for method in run.methods:
        outputs = run.outputs(method)
        if outputs is not None and outputs.target.size:
            target = int(outputs.target.flat[-1])
            return target if 0 <= target < record.classes else 0
    return 0


# One sentence.


def sentence(run: Recorded, epoch: int | None = None) -> str:
    """Describe the predictions at an update; "" where none were recorded.

    What is right of how many, and what is most often confused; of numbers the errors.
    """
    record = at_update(run, epoch)
    if record is None:
        return ""
    since = lost_since(run, epoch)
    words = _words(run, record)
    if since is None:
        return words
    instead = "" if _is_lost(record) else f" The last before: {words[0].lower()}{words[1:]}"
    return f"No output is finite since {named(run.unit, since)}.{instead}"


def _words(run: Recorded, record: ProbePredictions) -> str:
    """Describe one update."""
    moment = f"{record.moment[0].upper()}{record.moment[1:]}"
    lost = not_finite(record)
    if lost:
        noun = PLURALS.get(record.unit, "rows")
        return f"{moment}: the outputs of {lost:,} of {_total(record):,} {noun} are not finite."
    if record.answer == "value":
        return f"{moment}: {_errors_clause(run, record)}."
    if not np.isfinite(record.accuracy):
        return f"{moment}: {_unlabelled_clause(run, record)}."
    confused = _confused_clause(run, record)
    return f"{moment}: {percent(record.accuracy)} of {_counted(record)} right{f'; {confused}' if confused else ''}."


def _total(record: ProbePredictions) -> int:
    return len(record.right) if record.counts is None else record.counts.total


def _counted(record: ProbePredictions) -> str:
    """Return what is counted, in words: "256", "3 × 256 labels", "65,536 pixels in 64 rows"."""
    if record.unit and record.counts is not None:
        return f"{record.counts.total:,} {PLURALS[record.unit]} in {count(record.size, 'row')}"
    rows = f"{len(record.right):,}" if record.rows is None else f"{len(record.right):,} of {record.size:,} rows"
    return rows if record.answer == "class" else f"{record.classes:,} × {rows} labels"


def _confused_clause(run: Recorded, record: ProbePredictions) -> str:
    if record.answer == "labels":
        return _wrong_label_clause(run, record)
    counted = cells(record)
    wrong = None if counted is None else counted.wrong
    if wrong is None or not wrong.counts.size:
        return "" if wrong is None else "no class is taken for another"
    noun = record.unit or "row"
    times = int(wrong.counts[0])
    plural = noun if times == 1 else PLURALS.get(noun, f"{noun}s")
    true, predicted = (output_name(run, record, int(k))[:MAX_NAME] for k in (wrong.true[0], wrong.predicted[0]))
    return f"most often {true} is read as {predicted} ({times:,} {plural})"


def _wrong_label_clause(run: Recorded, record: ProbePredictions) -> str:
    tables = label_tables(record)
    if tables is None or not tables.sum():
        return ""
    shares = (tables[:, 0, 1] + tables[:, 1, 0]) / np.maximum(tables.sum((1, 2)), 1)
    worst = int(np.argmax(shares))
    return f"most often wrong is {output_name(run, record, worst)[:MAX_NAME]} ({percent(shares[worst])} of its rows)"


def _unlabelled_clause(run: Recorded, record: ProbePredictions) -> str:
    rows = count(len(record.right), "row")
    if record.answer != "class" or record.prediction is None:
        return f"{rows} without labels"
    classes, times = np.unique(record.prediction, return_counts=True)
    most = int(times.argmax())
    name = output_name(run, record, int(classes[most]))[:MAX_NAME]
    return f"{rows} without labels; {percent(times[most] / times.sum())} are read as {name}"


def _errors_clause(run: Recorded, record: ProbePredictions) -> str:
    measured = errors(record)
    if measured is None:
        loss = np.asarray(record.loss, np.float64)
        if not np.isfinite(loss).any():
            is_stored = run.probe is None or run.probe.x is not None
            return f"{count(len(record.right), 'row')}, {'without labels' if is_stored else 'whose labels are not written'}"
        return f"mean squared error {short(float(np.nanmean(loss)))} over {count(len(loss), 'row')}"
    at = shown_output(run, record) if record.classes > 1 else 0
    of_output = f"{output_name(run, record, at)[:MAX_NAME]}: " if record.classes > 1 else ""
    return f"{of_output}{errors_text(measured, at)} over {count(int(measured.counts[at]), 'row')}"


def errors_text(measured: Errors, column: int) -> str:
    """Format the errors of one output: "RMSE 53, MAE 41, R² 0.45"."""
    rmse, mae, r2 = (float(figures[column]) for figures in measured[:3])
    return f"RMSE {short(rmse)}, MAE {short(mae)}, R² {short(r2)}".replace("-", "−")


# Rows to look at.


def surest_first(record: ProbePredictions, rows: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return indices of recorded rows by the probability of their prediction, the highest first; of numbers by their error."""
    if record.probability is None or record.probability.ndim > 1:
        key = np.asarray(record.loss, np.float64)
    else:
        key = np.asarray(record.probability, np.float64)
    order = np.argsort(-np.nan_to_num(key[rows], nan=-np.inf), kind="stable")
    return np.asarray(rows, np.int64)[order]


def rows_of_cell(record: ProbePredictions, true: int, predicted: int, label: int = 0) -> NDArray[np.int64]:
    """Return the indices of the recorded rows of a cell of the confusion matrix, the surest first.

    Args:
        record: of an update.
        true: the true class, or 0 or 1 for a label.
        predicted: the predicted one.
        label: of several labels a row.
    """
    if record.true is None or record.prediction is None or record.answer == "value":
        return np.zeros(0, np.int64)
    size = len(record.true)
    pair = record.true.reshape(size, -1)[:, label], record.prediction.reshape(size, -1)[:, label]
    rows = np.flatnonzero((pair[0] == true) & (pair[1] == predicted))
    if record.answer == "labels" and record.probability is not None:
        probability = np.asarray(record.probability, np.float64)[rows, label]
        return np.asarray(rows[np.argsort(-np.abs(probability - 0.5), kind="stable")], np.int64)
    return surest_first(record, rows)


def surest_wrong(record: ProbePredictions, most: int) -> NDArray[np.int64]:
    """Return the indices of recorded rows that are wrong, those with the largest loss first."""
    wrong = np.flatnonzero(np.isfinite(record.loss) & ((np.asarray(record.right) < 1) | (record.answer == "value")))
    return wrong[np.argsort(-np.asarray(record.loss)[wrong], kind="stable")][:most]


def gallery_rows(run: Recorded, record: ProbePredictions) -> list[int]:
    """Return the numbers of the probe's rows that the gallery shows, in its order; [] where they cannot be found.

    An older file does not hold them. They are chosen again from the labels, and kept only if they have the gallery's labels.
    """
    probe = run.probe
    if probe is not None and probe.rows is not None:
        return [int(row) for row in probe.rows]
    if probe is None or record.rows is not None or record.unit:
        return []
    if record.true is None:
        return list(range(probe.size)) if probe.y is None and record.counts is None else []
    label = np.asarray(record.true)
    if record.answer == "class":
        if probe.classes is None:
            return []
        rows = balanced_rows(label, len(label), probe.size)
        fits = len(rows) == len(probe.classes) and (label[rows] == probe.classes).all()
        return rows.tolist() if fits else []
    rows = np.arange(min(probe.size, len(label)))
    if probe.y is None or probe.y.size != label[rows].size:
        return []
    fits = np.allclose(probe.y.reshape(len(rows), -1).astype(np.float64), label[rows], rtol=1e-4, equal_nan=True)
    return rows.tolist() if fits else []
