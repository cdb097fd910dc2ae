"""Surrogates: linear models fitted from pooled inputs to the network's predictions."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.image import SURROGATE_CELLS, cell_edges, grid_mean
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.predictions import Predictions
from keras_xai.mapping.ridge import ridge
from keras_xai.probe import Probe
from keras_xai.probe.chunks import row_chunks
from keras_xai.records import Surrogate
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, kind_of_input

Array = NDArray[np.float64]

TIME_STRETCHES = SURROGATE_CELLS  # into which a series is divided
MAX_CELLS = SURROGATE_CELLS**3  # of a volume or a video
MAX_CLASSES = 64  # whose coefficients are kept
SVM_FOLDS = 5
ROUNDING_SHARE = 1e-7  # of a column's largest value: a smaller standard deviation is a rounding error


class Columns(NamedTuple):
    """Pooled inputs, each column with mean 0 and standard deviation 1, or all 0 where it never changes."""

    names: tuple[str, ...]  # (F)
    values: Array  # (B, F)
    gram: GramDecomposition

    @classmethod
    def of(cls, names: Sequence[str], values: NDArray[Any]) -> Columns:
        """Standardised columns of values (B, F)."""
        values = np.asarray(values)
        centred = np.asarray(values, np.float64) - np.mean(values, 0, dtype=np.float64)
        deviation = centred.std(0)
        # The standard deviation of a constant column is the rounding error of its mean.
        constant = deviation <= ROUNDING_SHARE * np.abs(np.asarray(values, np.float64)).max(0)
        standardised = np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))
        is_wide = standardised.shape[1] > standardised.shape[0]
        gram = GramDecomposition(standardised @ standardised.T if is_wide else standardised, is_wide)
        return cls(tuple(names), standardised, gram)


def pooled_inputs(probe: Probe) -> tuple[list[str], Array] | None:
    """The inputs of a surrogate, with their names.

    The columns of a table, 8 × 8 cells of an image (of a video or volume 8 × 8 × 8), 8 stretches of each channel of a series.

    Returns:
        None for tokens: their mean embedding moves with the training and is read from the model.
    """
    if probe.kind == "tokens":
        return None
    names: list[str] = []
    blocks = []
    keys = probe.keys or range(len(probe.inputs))
    for k, (key, array) in enumerate(zip(keys, probe.inputs, strict=True)):
        if array.dtype.kind not in "fiub":
            continue
        spatial = _spatial_in(probe, k)
        input_names = () if spatial is not None else _names_in(probe, k)
        chunks = [_pooled(np.asarray(rows, np.float64), spatial, input_names) for rows in row_chunks(array)]
        column_names = chunks[0][0]
        if len(probe.inputs) > 1 and not probe.is_columns:
            column_names = [f"{key}: {name}" for name in column_names]
        names += column_names
        blocks.append(np.concatenate([values for _, values in chunks]))
    return (names, np.concatenate(blocks, 1)) if blocks else None


def _names_in(probe: Probe, k: int) -> Sequence[str]:
    """The names of the columns or channels of input k."""
    if probe.is_columns:
        return [probe.feature_map.column_names[k]]
    return probe.feature_map.names_of(k)


def _spatial_in(probe: Probe, k: int) -> SpatialShape | None:
    """The spatial shape of input k, whose cells are named by their position; None for columns and series."""
    shape = probe.shapes[k]
    kind = kind_of_input(probe.kind, shape, probe.shapes)
    return SpatialShape.of_kind(kind, shape) if kind in SPATIAL_KINDS else None


def _pooled(a: Array, spatial: SpatialShape | None, input_names: Sequence[str]) -> tuple[list[str], Array]:
    """The names (F) and values (B, F) of an input, pooled."""
    if spatial is not None:
        return _cells(a if spatial.channel_axis is None else a.mean(spatial.channel_axis))
    if a.ndim > 3:
        return _cells(a.mean(-1))
    if a.ndim == 3:
        return _stretches(a, input_names)
    a = a.reshape(len(a), -1)
    if len(input_names) == a.shape[1]:
        return list(input_names), a
    return [f"column {f}" for f in range(a.shape[1])], a


def _stretches(a: Array, input_names: Sequence[str]) -> tuple[list[str], Array]:
    """The means of (B, T, C) over stretches of the time steps, with their names."""
    edges = cell_edges(a.shape[1], TIME_STRETCHES)
    means = np.add.reduceat(a, edges[:-1], 1) / np.diff(edges)[:, None]
    channels = input_names if len(input_names) == a.shape[2] else [f"channel {c}" for c in range(a.shape[2])]
    names = []
    for begin, end in itertools.pairwise(edges):
        names += [f"{channel}, steps {begin}–{end - 1}" for channel in channels]
    return names, means.reshape(len(a), -1)


def _cells(a: Array) -> tuple[list[str], Array]:
    """The means of (B, H, W) over cells, with their names; with more spatial axes no more cells than for a volume."""
    spatial_axes = a.ndim - 1
    cells_a_side = SURROGATE_CELLS if spatial_axes <= 3 else max(1, int(MAX_CELLS ** (1 / spatial_axes)))
    means = grid_mean(a, cells_a_side)
    names = [f"cell ({','.join(map(str, cell))})" for cell in np.ndindex(*means.shape[1:])]
    return names, means.reshape(len(a), -1)


def linear(columns: Columns, predictions: Predictions) -> Surrogate:
    """Ridge regression from the inputs to the logits, with each sample left out in turn: how linear the network is.

    Logits of classes are centred over the classes first: adding a constant to all changes no prediction.
    """
    targets = predictions.logits
    if predictions.is_multiclass:
        targets = targets - targets.mean(1, keepdims=True)
    fit = ridge(columns.gram, targets)
    variation = float(np.square(targets - targets.mean(0)).sum())
    r2 = 1 - float(np.square(targets - fit.left_out).sum()) / variation if variation > 0 else np.nan
    columns_kept = _kept_columns(predictions)
    coefficients = fit.coefficients(columns.gram, columns.values, targets[:, columns_kept])
    single_logit = predictions.answer == "class" and not predictions.is_multiclass
    classes = (1,) if single_logit else tuple(map(int, columns_kept))
    agreement = _agreement(fit.left_out, predictions)
    return Surrogate(columns.names, classes, coefficients.astype(np.float32), agreement, r2)


def _agreement(left_out: Array, predictions: Predictions) -> float:
    """The share of samples (or pairs of sample and label) for which surrogate and model predict the same; NaN for numbers."""
    if predictions.answer == "value":
        return np.nan
    if predictions.is_multiclass:
        return float((left_out.argmax(1) == predictions.prediction).mean())
    return float(((left_out > 0) == predictions.prediction.reshape(left_out.shape)).mean())


def _kept_columns(predictions: Predictions) -> NDArray[np.int64]:
    """The columns of the logits whose coefficients are kept: all, or of many classes those that are predicted most often."""
    width = predictions.logits.shape[1]
    if width <= MAX_CLASSES:
        return np.arange(width)
    if predictions.answer == "class":
        counts = np.bincount(predictions.prediction, minlength=width)
    else:
        counts = predictions.prediction.sum(0)
    return np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])


def svm(columns: Columns, predictions: Predictions) -> Surrogate | None:
    """scikit-learn's linear SVM from the inputs to the class that the model predicts, each class against the others.

    Its agreement is by cross-validation in five seeded folds.

    Returns:
        None where the model predicts no classes, or one class for all samples.

    Cost:
        Six fits.
    """
    prediction = predictions.prediction
    classes = np.unique(prediction)
    if predictions.answer != "class" or len(classes) < 2:
        return None
    fold = np.random.default_rng(0).permutation(len(prediction)) % SVM_FOLDS
    guesses = np.empty_like(prediction)
    for k in range(SVM_FOLDS):
        guesses[fold == k] = _guesses(columns.values, prediction, fold != k)
    machine = _fitted_svm(columns.values, prediction)
    weights = np.asarray(machine.coef_.T)  # (F, C), one column for two classes: towards the second
    weighted_classes = classes[1:] if len(classes) == 2 else classes
    commonest = np.argsort(-np.bincount(prediction)[weighted_classes], kind="stable")
    kept_classes = np.sort(commonest[:MAX_CLASSES])
    return Surrogate(
        features=columns.names,
        classes=tuple(map(int, weighted_classes[kept_classes])),
        coefficients=weights[:, kept_classes].astype(np.float32),
        agreement=float((guesses == prediction).mean()),
    )


def _guesses(x: Array, y: NDArray[Any], is_fitted: NDArray[np.bool_]) -> NDArray[Any]:
    """The classes that an SVM predicts for the rows which are left out of its fit."""
    if len(np.unique(y[is_fitted])) < 2:
        return np.full(int((~is_fitted).sum()), y[is_fitted][0])
    return np.asarray(_fitted_svm(x[is_fitted], y[is_fitted]).predict(x[~is_fitted]))


def _fitted_svm(x: Array, y: NDArray[Any]) -> Any:
    """A fitted `LinearSVC`; of few iterations, since an explanation needs no more."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LinearSVC(C=0.1, dual=x.shape[1] > x.shape[0], random_state=0, max_iter=300).fit(x, y)
