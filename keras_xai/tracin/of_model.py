"""The influence of training rows, with the weights of a model as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai import tree
from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput, unknown
from keras_xai.frames import as_arrays
from keras_xai.labels import coded, of_output
from keras_xai.model.fitting import arrays_for, fit_probe
from keras_xai.model.inputs import check_input_shapes, check_samples, prepare_inputs
from keras_xai.model.samples import Samples
from keras_xai.model.scores import Output
from keras_xai.outputs.spec import output_name
from keras_xai.probe import Probe
from keras_xai.tracin.last_layer import LastLayer, RowGradients
from keras_xai.tracin.result import Influence
from keras_xai.tracin.row_loss import labels_of_loss

MAX_BYTES = 1 << 30  # of scores
RANKINGS = ("relative", "score")


class _Rows(NamedTuple):
    """Rows with labels, as the model and its loss take them."""

    x: list[Samples]
    like: Any  # the input as the user holds it
    y: NDArray[np.float32]
    labels: NDArray[Any]  # as the user has them, in numbers


def influence_in_model(
    model: keras.Model,
    x_train: Any,
    y_train: Any,
    x: Any,
    y: Any,
    output: Output = None,
    layer: str | None = None,
    sample_weight: Any = None,
    by: str = "relative",
) -> Influence:
    """Return the influence of training rows on some rows; see `influence`."""
    if by not in RANKINGS:
        raise unknown("ranking", by, RANKINGS)
    if not model.built:
        raise InvalidInput("The model has no weights yet: call it once, or build it, before it is asked.")
    rows = _rows(model, x, y, output, "")
    training = _rows(model, x_train, y_train, output, "_train")
    count, size = len(training.y), len(rows.y)
    if 4 * count * size > MAX_BYTES:
        raise InvalidInput(
            f"The influence of {count:,} training rows on {size:,} rows are {4 * count * size / 2**30:.1f} GiB of numbers: "
            f"explain at most {MAX_BYTES // (4 * count):,} rows in a call."
        )
    weights = _weights(sample_weight, count)
    last = LastLayer(model, rows.x, rows.like, output, layer)
    explained = joined(list(last.gradients(rows.x, rows.y)))
    scores, lengths = np.empty((size, count), np.float32), np.empty(count, np.float32)
    begin = 0
    for part in last.gradients(training.x, training.y):
        end = begin + len(part.errors)
        weighted = part if weights is None else part._replace(errors=part.errors * weights[begin:end, None])
        scores[:, begin:end] = products(explained, weighted, uses_bias=last.uses_bias)
        lengths[begin:end] = gradient_lengths(weighted, uses_bias=last.uses_bias)
        begin = end
    ranked_by = lengths if by == "relative" else None
    return Influence(scores, last.path, last.loss, training.labels, rows.labels, lengths=ranked_by)


def products(explained: RowGradients, training: RowGradients, *, uses_bias: bool) -> NDArray[np.float64]:
    """Return the inner products (B, N) of the gradients of two sets of rows: (h·h′ + 1) · (e·e′), without the 1 where no bias is.

    Example:
        >>> a = RowGradients(np.array([[1.0, 2.0]]), np.array([[3.0]]))
        >>> products(a, a, uses_bias=True).tolist()
        [[54.0]]
    """
    left, right = explained.features.astype(np.float64), training.features.astype(np.float64)
    of_features = left @ right.T + uses_bias
    errors: NDArray[np.float64] = explained.errors.astype(np.float64) @ training.errors.astype(np.float64).T
    return of_features * errors


def gradient_lengths(rows: RowGradients, *, uses_bias: bool) -> NDArray[np.float64]:
    """Return the lengths (n,) of the gradients.

    Example:
        >>> gradient_lengths(RowGradients(np.array([[1.0, 2.0]]), np.array([[3.0]])), uses_bias=False).round(3).tolist()
        [6.708]
    """
    features, errors = rows.features.astype(np.float64), rows.errors.astype(np.float64)
    squares: NDArray[np.float64] = ((features**2).sum(1) + uses_bias) * (errors**2).sum(1)
    return np.sqrt(squares)


def joined(parts: list[RowGradients]) -> RowGradients:
    """Return the gradients of several parts as those of one."""
    features, errors = zip(*parts, strict=True)
    return RowGradients(np.concatenate(features), np.concatenate(errors))


def _rows(model: keras.Model, x: Any, y: Any, output: Output, suffix: str) -> _Rows:
    """Return rows and labels of an argument, whose name ends in `suffix`.

    Raises:
        InvalidInput: samples that do not fit the model; labels that are missing, no numbers, or not as many.
    """
    name_x, name_y = f"x{suffix}", f"y{suffix}"
    if isinstance(x, Probe):
        probe = fit_probe(model, x)
        if probe.x is None:
            raise InvalidInput(f"{name_x} is a probe that holds no samples (store='none').")
        inputs, y = probe.x, probe.y if y is None else y
    else:
        inputs = arrays_for(model, as_arrays(x, name_x))
    if y is None:
        raise InvalidInput(f"{name_y} is missing: the influence is one on the loss, which needs labels.")
    arrays = tree.leaves(inputs)
    check_samples(arrays)
    check_input_shapes(model, arrays, inputs)
    size = len(arrays[0])
    labels, names = coded(of_output(y, output_name(output), size, f"{name_y} holds"))
    labels = as_array(labels)
    if names is not None and labels.dtype.kind in "iu" and not isinstance(x, Probe):
        raise InvalidInput(f"{name_y} holds the words {names[:3]}: give the numbers that the loss gets in `fit`.")
    if len(labels) != size:
        raise InvalidInput(f"{name_y} has shape {labels.shape} for the {size} rows of {name_x}: one label a row.")
    return _Rows(prepare_inputs(model, arrays, inputs), inputs, labels_of_loss(labels, name_y), labels)


def _weights(sample_weight: Any, count: int) -> NDArray[np.float32] | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float32)
    if weights.size != count or not np.isfinite(weights).all():
        raise InvalidInput(
            f"sample_weight has shape {weights.shape}: expected a finite number for each of the {count} training rows."
        )
    return weights.reshape(-1)
