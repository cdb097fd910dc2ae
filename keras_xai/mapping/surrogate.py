"""Simple models that stand for the network: from pooled inputs to what it says."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.image import SURROGATE_CELLS, cell_edges, grid_mean
from keras_xai.mapping.factor import Factor
from keras_xai.mapping.result import Said
from keras_xai.mapping.ridge import ridge
from keras_xai.probe import Probe, parts_of
from keras_xai.records import Surrogate

Array = NDArray[np.float64]

STRETCHES = SURROGATE_CELLS  # of a series
MOST_CELLS = SURROGATE_CELLS**3  # of a volume or a film
CLASSES = 64  # whose coefficients are kept
FOLDS = 5


class Columns(NamedTuple):
    """Pooled inputs, each column with mean 0 and standard deviation 1, or all 0 where it never changes."""

    names: tuple[str, ...]  # (F)
    values: Array  # (B, F)
    factor: Factor

    @classmethod
    def of(cls, names: Sequence[str], values: NDArray[Any]) -> Columns:
        """Standardised."""
        centred = np.asarray(values, np.float64) - np.mean(values, 0, dtype=np.float64)
        spread = centred.std(0)
        # A constant column has the rounding of its mean for a spread.
        same = spread <= 1e-7 * np.abs(np.asarray(values, np.float64)).max(0)
        scaled = np.where(same, 0.0, centred / np.where(same, 1.0, spread))
        wide = scaled.shape[1] > scaled.shape[0]
        return cls(tuple(names), scaled, Factor(scaled @ scaled.T if wide else scaled, wide))


def pooled_inputs(probe: Probe) -> tuple[list[str], Array] | None:
    """What a surrogate gets to see: the columns of a table, 8 × 8 cells of a picture (of a film or volume 8 × 8 × 8), 8 stretches
    of each channel of a series.

    None for tokens: their mean embedding moves with the training and is read from the model.
    """
    if probe.kind == "tokens":
        return None
    names: list[str] = []
    parts = []
    keys = probe.keys or range(len(probe.inputs))
    for k, (key, array) in enumerate(zip(keys, probe.inputs, strict=True)):
        if array.dtype.kind not in "fiub":
            continue
        if probe.is_columns:
            own: Sequence[str] = [probe.column_names[k]]
        else:
            own = () if probe.kind == "image" and array.ndim > 2 else probe.names_of(k)
        pooled = [_pooled(np.asarray(rows, np.float64), probe, own) for rows in parts_of(array)]
        columns = pooled[0][0]
        names += [f"{key}: {name}" for name in columns] if len(probe.inputs) > 1 and not probe.is_columns else columns
        parts.append(np.concatenate([values for _, values in pooled]))
    return (names, np.concatenate(parts, 1)) if parts else None


def _pooled(a: Array, probe: Probe, own: Sequence[str]) -> tuple[list[str], Array]:
    if a.ndim > 3 or (probe.kind == "image" and a.ndim == 3):
        channel_axis = 1 if a.ndim == 4 and probe.channels_first else -1
        return _cells(a.mean(channel_axis) if a.ndim > 3 else a)
    if a.ndim == 3:
        steps = cell_edges(a.shape[1], STRETCHES)
        means = np.add.reduceat(a, steps[:-1], 1) / np.diff(steps)[:, None]
        channels = own if len(own) == a.shape[2] else [f"channel {c}" for c in range(a.shape[2])]
        names = [f"{c}, steps {b}–{e - 1}" for b, e in itertools.pairwise(steps) for c in channels]
        return names, means.reshape(len(a), -1)
    a = a.reshape(len(a), -1)
    return list(own) if len(own) == a.shape[1] else [f"column {f}" for f in range(a.shape[1])], a


def _cells(places: Array) -> tuple[list[str], Array]:
    """Means over the cells of (B, H, W), or of more axes of places: as many cells as a volume has at most."""
    sides = places.ndim - 1
    most = SURROGATE_CELLS if sides <= 3 else max(1, int(MOST_CELLS ** (1 / sides)))
    means = grid_mean(places, most)
    names = [f"cell ({','.join(map(str, cell))})" for cell in np.ndindex(*means.shape[1:])]
    return names, means.reshape(len(places), -1)


def linear(columns: Columns, told: Said) -> Surrogate:
    """Ridge regression from the inputs to the logits, left-out: how much of the network a straight line explains.

    Logits of classes are centred over the classes first: what all of them share decides nothing.
    """
    targets = told.logits
    if told.answer == "class" and targets.shape[1] > 1:
        targets = targets - targets.mean(1, keepdims=True)
    fit = ridge(columns.factor, targets)
    total = float(np.square(targets - targets.mean(0)).sum())
    r2 = 1 - float(np.square(targets - fit.left_out).sum()) / total if total > 0 else np.nan
    if told.answer == "value":
        agreement = np.nan
    elif told.answer == "class" and targets.shape[1] > 1:
        agreement = float((fit.left_out.argmax(1) == told.prediction).mean())
    else:
        agreement = float(((fit.left_out > 0) == told.prediction.reshape(fit.left_out.shape)).mean())
    shown = _shown(told)
    coefficients = fit.coefficients(columns.factor, columns.values, targets[:, shown])
    classes = (1,) if told.answer == "class" and targets.shape[1] == 1 else tuple(map(int, shown))
    return Surrogate(columns.names, classes, coefficients.astype(np.float32), agreement, r2)


def _shown(told: Said) -> NDArray[np.int64]:
    """All columns, or of many classes those predicted most."""
    width = told.logits.shape[1]
    if width <= CLASSES:
        return np.arange(width)
    counts = np.bincount(told.prediction, minlength=width) if told.answer == "class" else told.prediction.sum(0)
    return np.sort(np.argsort(-counts, kind="stable")[:CLASSES])


def svm(columns: Columns, told: Said) -> Surrogate | None:
    """scikit-learn's linear SVM from the inputs to the model's own class, each class against the rest; its agreement over
    five seeded folds. None where the model does not choose between classes, or chooses one alone.

    Cost:
        Six fits.
    """
    classes = np.unique(told.prediction)
    if told.answer != "class" or len(classes) < 2:
        return None
    fold = np.random.default_rng(0).permutation(len(told.prediction)) % FOLDS
    guessed = np.empty_like(told.prediction)
    for k in range(FOLDS):
        guessed[fold == k] = _guessed(columns.values, told.prediction, fold != k)
    whole = _fitted(columns.values, told.prediction)
    weights = np.asarray(whole.coef_.T)  # (F, C), one column for two classes: towards the second
    named = classes[1:] if len(classes) == 2 else classes
    kept = np.argsort(-np.bincount(told.prediction)[named], kind="stable")[:CLASSES]
    kept = np.sort(kept)
    return Surrogate(
        features=columns.names,
        classes=tuple(map(int, named[kept])),
        coefficients=weights[:, kept].astype(np.float32),
        agreement=float((guessed == told.prediction).mean()),
    )


def _guessed(x: Array, y: NDArray[Any], fitted: NDArray[np.bool_]) -> NDArray[Any]:
    """The classes of the rows that are not fitted."""
    if len(np.unique(y[fitted])) < 2:
        return np.full(int((~fitted).sum()), y[fitted][0])
    return np.asarray(_fitted(x[fitted], y[fitted]).predict(x[~fitted]))


def _fitted(x: Array, y: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an explanation, not a model: near enough is enough
        return LinearSVC(C=0.1, dual=x.shape[1] > x.shape[0], random_state=0, max_iter=300).fit(x, y)
