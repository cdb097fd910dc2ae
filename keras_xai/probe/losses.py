"""The loss of each sample, by the meaning of its output: cross-entropy of classes and labels, squared error of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

SMALLEST_PROBABILITY = 1e-7  # as Keras bounds it: no loss is infinite


def class_losses(probabilities: NDArray[Any], classes: NDArray[Any]) -> Float:
    """Return -log of the probability of the true class, in nats.

    Args:
        probabilities: (..., B, K) of the classes; one column is the probability of class 1 of two.
        classes: (B,) the true ones.

    Returns:
        (..., B), 0 to 16.1; NaN where a probability is not finite or that of the true class was not recorded.

    Example:
        >>> class_losses(np.array([[0.25], [0.25]]), np.array([0, 1])).round(3).tolist()
        [0.288, 1.386]
    """
    values = np.asarray(probabilities, np.float64)
    if values.shape[-1] == 1:
        values = np.concatenate([1 - values, values], axis=-1)
    index = np.clip(classes, 0, values.shape[-1] - 1).astype(np.int64)
    column = np.broadcast_to(index[:, None], (*values.shape[:-1], 1))
    true = np.take_along_axis(values, column, -1)[..., 0]
    true = np.where((classes >= 0) & (classes < values.shape[-1]), true, np.nan)
    return np.asarray(-np.log(np.maximum(true, SMALLEST_PROBABILITY)))


def label_losses(probabilities: NDArray[Any], labels: NDArray[Any]) -> Float:
    """Return the binary cross-entropy, in nats, a mean over the labels of a sample.

    Args:
        probabilities: (..., B, K) of each label.
        labels: (B, K) of 0 and 1.

    Returns:
        (..., B).
    """
    values = np.asarray(probabilities, np.float64)
    truth = np.asarray(labels, np.float64)
    low, high = SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY
    values = np.clip(values, low, high)  # which keeps NaN
    return np.asarray(-(truth * np.log(values) + (1 - truth) * np.log1p(-values)).mean(-1))


def number_losses(values: NDArray[Any], numbers: NDArray[Any]) -> Float:
    """Return the squared error, a mean over the numbers of a sample.

    Args:
        values: (..., B, K) the model's numbers.
        numbers: (B,) or (B, K) the true ones.

    Returns:
        (..., B), in the square of the numbers' unit.

    Example:
        >>> number_losses(np.array([[93.0], [1.0]]), np.array([151.0, 1.0])).tolist()
        [3364.0, 0.0]
    """
    predicted = np.asarray(values, np.float64)
    truth = np.asarray(numbers, np.float64).reshape(predicted.shape[-2:])
    return np.asarray(((predicted - truth) ** 2).mean(-1))
