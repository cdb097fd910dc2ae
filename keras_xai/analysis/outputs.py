"""Outputs of the gallery's samples as all views show them: classes, labels or numbers, by the recorded task."""

from __future__ import annotations

import weakref

import numpy as np

from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import percent, short
from keras_xai.recorded import OfProbe, Recorded
from keras_xai.records import Float, Outputs, Quantity
from keras_xai.updates import BEFORE

SUM_OF_COLUMNS = -1  # the target where the sum of all columns was explained
LARGE_COMPLETENESS_ERROR = 0.05  # above it a sum of attributions is marked


_titles: weakref.WeakKeyDictionary[Outputs, tuple[Float, Float]] = weakref.WeakKeyDictionary()


def is_percent(table: Outputs) -> bool:
    """Return True where outputs are shown as probabilities; margins and numbers are shown as they are."""
    return table.task in ("binary", "classes", "labels") and table.link != ""


def has_classes(table: Outputs) -> bool:
    """Return True where one class is predicted for each sample."""
    return table.task in ("binary", "classes")


def probabilities(table: Outputs) -> Float:
    """Return outputs (E, B, K) as probabilities; margins and numbers as they are.

    The recorded link is applied to logits. The single column of two classes becomes two columns, class 0 first.
    """
    values: Float = np.asarray(table.outputs, np.float64)
    if not is_percent(table) or not values.size:
        return values
    if _are_logits(table, values):
        with np.errstate(invalid="ignore"):  # infinite logits have the probability NaN
            softmax = table.link == "softmax" and values.shape[-1] > 1
            values = _softmax(values) if softmax else _sigmoid(values)
    if table.task == "binary" and values.shape[-1] == 1:
        return np.concatenate([1 - values, values], axis=-1)
    return values


def _are_logits(table: Outputs, values: Float) -> bool:
    """Return True where outputs are logits, not yet probabilities: they lie outside 0 to 1, or are the explained score."""
    finite = values[np.isfinite(values)]
    if table.space == "probability" or not finite.size:
        return False
    if finite.min() < 0 or finite.max() > 1:
        return True
    if table.link == "softmax" and np.allclose(values[np.isfinite(values).all(-1)].sum(-1), 1, atol=1e-3):
        return False
    score = np.asarray(table.score, np.float64)
    signed = score * np.where(table.target == 0, -1, 1) if table.task == "binary" else score
    column = _column(values, np.zeros_like(table.target) if table.task == "binary" else table.target)
    finite_pairs = np.isfinite(column) & np.isfinite(signed)
    if not finite_pairs.any():
        return False
    return bool(np.allclose(column[finite_pairs], signed[finite_pairs], rtol=1e-4, atol=1e-6))


def _sigmoid(values: Float) -> Float:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))  # does not overflow


def _softmax(values: Float) -> Float:
    values = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(values / values.sum(-1, keepdims=True))


def _column(values: Float, column: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Float:
    """Return one column for each sample (E, B), of values (E, B, K).

    Args:
        values: (E, B, K).
        column: (E, B) their indices; `SUM_OF_COLUMNS` for the sum of all. NaN is returned for one that was not recorded.
    """
    width = values.shape[-1]
    if not width:
        return np.full(column.shape, np.nan)
    index = np.clip(column, 0, width - 1)[..., None].astype(np.int64)
    selected = np.take_along_axis(values, index, -1)[..., 0]
    selected = np.where(column < width, selected, np.nan)
    return np.asarray(np.where(column == SUM_OF_COLUMNS, values.sum(-1), selected), np.float64)


def predicted(table: Outputs) -> Float:
    """Return the predicted classes (E, B); NaN where the task has no classes or the outputs are not finite."""
    if not has_classes(table):
        return np.full(table.target.shape, np.nan)
    finite = np.isfinite(table.outputs).all(-1) & np.isfinite(table.prediction)
    return np.where(finite, table.prediction, np.nan)


def explained(table: Outputs) -> Float:
    """Return the probability of the explained class or label, or the raw value of the explained column (E, B)."""
    values = probabilities(table)
    single = values.shape[-1] == 1 and table.task in ("binary", "number")
    return _column(values, np.zeros_like(table.target) if single else np.asarray(table.target, np.int64))


def title_value(table: Outputs) -> Float:
    """Return the numbers in the titles of samples (E, B): of the predicted class, else of the explained output."""
    if not has_classes(table):
        return explained(table)
    values, classes = probabilities(table), predicted(table)
    if values.shape[-1] == 1:
        return np.asarray(values[..., 0], np.float64)
    numbers = _column(values, np.nan_to_num(classes, nan=0).astype(np.int64))
    return np.asarray(np.where(np.isfinite(classes), numbers, np.nan))


def titles_of(table: Outputs) -> tuple[Float, Float]:
    """Return the predicted classes and the numbers in the titles of samples (E, B); computed once for a table.

    Whether its outputs are logits is read off all of it, and a gallery at twenty epochs has hundreds of titles.
    """
    values = _titles.get(table)
    if values is None:
        values = _titles[table] = predicted(table), title_value(table)
    return values


def trajectory(table: Outputs, classes: np.ndarray[tuple[int], np.dtype[np.int64]] | None) -> Float:
    """Return the values that are drawn over epochs (E, B): of the true class where it is known, else of the explained output.

    Args:
        table: outputs over epochs.
        classes: (B) true classes; None where they are not known.
    """
    values = probabilities(table)
    if classes is None or not has_classes(table) or values.shape[-1] == 1 or len(classes) != table.target.shape[1]:
        return explained(table)
    return _column(values, np.broadcast_to(np.asarray(classes, np.int64), table.target.shape))


def number(table: Outputs, value: float) -> str:
    """Format an output: 97 %, or 21.5 where outputs are no probabilities."""
    return percent(value) if is_percent(table) else short(value)


def class_name(run: OfProbe, index: int) -> str:
    """Return the name of a class, or its number."""
    names = run.probe.class_names if run.probe is not None else None
    return names[index] if names and 0 <= index < len(names) else str(index)


def target_name(run: OfProbe, table: Outputs, target: int) -> str:
    """Return the name of a target: the class, the label or the column that was explained."""
    if target == SUM_OF_COLUMNS:
        return "the sum of all outputs"
    names = run.probe.class_names if run.probe is not None else None
    has_name = bool(names) and 0 <= target < len(names or ()) and (table.task != "number" or len(names or ()) == 1)
    if has_classes(table) or has_name:
        return class_name(run, target)
    if table.task == "labels":
        return f"label {target}"
    return f"output {target}" if table.task == "numbers" else "the output"


def outputs_at(run: Recorded, method: str, epoch: int | None) -> Outputs | None:
    """Return the outputs among which those of an update are: over updates, or of the untrained model alone for `BEFORE`."""
    before = run.outputs_before(method) if epoch == BEFORE else None
    return run.outputs(method) if before is None else before


def finite_at(table: Outputs, epoch: int | None) -> tuple[int, int | None]:
    """Return the index of the epoch to show, and the epoch since when scores are not finite, None where they are.

    The epoch is the last one up to `epoch` at which some score is finite; where there is none, the last one.
    """
    nearest = position(table.updates, epoch)
    finite = np.asarray(np.isfinite(table.score).any(1))
    if finite[nearest]:
        return nearest, None
    before = np.flatnonzero(finite[:nearest])
    if not before.size:
        return nearest, int(table.updates[0])
    return int(before[-1]), int(table.updates[before[-1] + 1])


def sides(
    run: Recorded, table: Outputs, targets: np.ndarray[tuple[int], np.dtype[np.int64]], method: str
) -> tuple[str, str]:
    """Return the meaning of a negative and of a positive attribution: "against malignant", "for malignant"."""
    return sides_of(run, table, targets, run.method_quantity(method))


def sides_of(
    run: OfProbe, table: Outputs, targets: np.ndarray[tuple[int], np.dtype[np.int64]], quantity: Quantity
) -> tuple[str, str]:
    """Return the same for values of a quantity: contributions, slopes, or another figure."""
    names = list(dict.fromkeys(target_name(run, table, int(target)) for target in targets))
    is_categorical = has_classes(table) or table.task == "labels"
    has_several = len(names) > 1
    target = names[0] if names else "the output"
    if quantity == "other":
        return "low", f"high for {'the output explained at each sample' if has_several else target}"
    if quantity == "slope":
        rising = f"score of {target}" if is_categorical else target
        return f"{'score' if has_several else rising} falls", "rises as the value grows"
    if has_several and is_categorical:
        return "against", "for the class named at each sample"
    if has_several:
        return "lowers", "raises the output named at each sample"
    if is_categorical:
        return f"against {target}", f"for {target}"
    return f"lowers {target}", f"raises {target}"
