"""Label, prediction, loss and probability of rows, against closed forms in NumPy."""

import keras
import numpy as np
import pytest

from keras_xai.backend.recorder import NotCaptured
from keras_xai.errors import InvalidInput
from keras_xai.training_rows.figures import RowFigures

pytestmark = [pytest.mark.oldest, pytest.mark.every_backend]
LOSSES = keras.losses
R = np.random.default_rng(0)
SCORES = R.normal(size=(6, 3)).astype(np.float32)
SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
CLASSES = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
OF_CLASS = SOFTMAX[np.arange(6), CLASSES]
SIGMOID = 1 / (1 + np.exp(-SCORES))
BINARY = (CLASSES > 0).astype(np.float32)
OF_BINARY = np.where(BINARY > 0, SIGMOID[:, 0], 1 - SIGMOID[:, 0])
OF_LABELS = np.where(ONE_HOT > 0, SIGMOID, 1 - SIGMOID)
NONE = np.full(6, np.nan)
CASES = {
    "logits": (
        LOSSES.SparseCategoricalCrossentropy(from_logits=True), CLASSES, SCORES, CLASSES, SCORES.argmax(1),
        -np.log(OF_CLASS), OF_CLASS,
    ),
    "column": (
        "sparse_categorical_crossentropy", CLASSES[:, None], SOFTMAX, CLASSES, SCORES.argmax(1), -np.log(OF_CLASS), OF_CLASS,
    ),
    "one-hot": ("categorical_crossentropy", ONE_HOT, SOFTMAX, CLASSES, SCORES.argmax(1), -np.log(OF_CLASS), OF_CLASS),
    "one sigmoid": (
        "binary_crossentropy", BINARY, SIGMOID[:, :1], BINARY, SIGMOID[:, 0] > 0.5, -np.log(OF_BINARY), OF_BINARY,
    ),
    "one logit": (
        LOSSES.BinaryCrossentropy(from_logits=True), BINARY[:, None], SCORES[:, :1], BINARY, SCORES[:, 0] > 0, -np.log(OF_BINARY),
        OF_BINARY,
    ),
    "labels": (
        "binary_crossentropy", ONE_HOT, SIGMOID, NONE, (OF_LABELS > 0.5).mean(1), -np.log(OF_LABELS).mean(1), OF_LABELS.mean(1),
    ),
    "number": ("mse", BINARY, SCORES[:, :1], BINARY, NONE, (SCORES[:, 0] - BINARY) ** 2, NONE),
    "numbers": ("mae", ONE_HOT, SCORES, NONE, NONE, np.abs(SCORES - ONE_HOT).mean(1), NONE),
    "hinge": (
        "hinge", 2 * BINARY - 1,
        SCORES[:, :1], BINARY, SCORES[:, 0] > 0, np.maximum(1 - (2 * BINARY - 1) * SCORES[:, 0], 0), NONE,
    ),
}  # fmt: skip


def figures_of(loss):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", loss)
    return RowFigures(model)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_closed_forms(case):
    """Cross-entropies, errors and probabilities of each row, and labels as the host has them."""
    loss, y, outputs, *expected = case
    figures = figures_of(loss)
    values = figures(keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(outputs))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(values), np.stack(expected, 1), 1e-4, 1e-5)
    np.testing.assert_array_equal(figures.host_labels(y), expected[0])


def test_what_has_no_rows():
    """Outputs at positions are no figures of a row; a model without a loss or with several outputs is a misuse."""
    with pytest.raises(NotCaptured, match="one score vector a row"):
        figures_of("mse")(keras.ops.zeros((2, 4, 1)), keras.ops.zeros((2, 4, 1)))
    inputs = keras.Input((2,))
    two = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    two.compile("sgd", ["mse", "mse"])
    with pytest.raises(InvalidInput, match="2 losses"):
        RowFigures(two)
    with pytest.raises(InvalidInput, match="without a loss"):
        RowFigures(keras.Model(inputs, keras.layers.Dense(1)(inputs)))
